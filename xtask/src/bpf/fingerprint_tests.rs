//! Tests of `fingerprint.rs`, in a file of their own because `iomap-trace/build.rs` includes that one.

use super::fingerprint::{LOCK, PACKAGE, sha256, sources};
use std::fs;
use std::path::{Path, PathBuf};

const LOCK_TEXT: &str = r#"version = 4

[[package]]
name = "iomap-trace-ebpf"
version = "0.1.0"
dependencies = [
 "aya-ebpf",
 "twice 2.0.0",
]

[[package]]
name = "aya-ebpf"
version = "0.2.1"
source = "registry"
checksum = "00"

[[package]]
name = "twice"
version = "1.0.0"

[[package]]
name = "twice"
version = "2.0.0"
"#;

/// A workspace in a temporary directory, removed at the end.
struct Workspace(PathBuf);

impl Workspace {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let workspace = Self(dir);
        workspace.write(LOCK, LOCK_TEXT);
        workspace.write(&format!("{PACKAGE}/Cargo.toml"), "[package]");
        workspace.write(&format!("{PACKAGE}/src/main.rs"), "mod a;");
        workspace.write(&format!("{PACKAGE}/src/a/mod.rs"), "");
        workspace
    }

    fn write(&self, file: &str, content: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, content).unwrap();
    }

    fn hash(&self) -> String {
        sources(&self.0).unwrap()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn sha256_of_nothing() {
    assert_eq!(
        sha256(b""),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

#[test]
fn changes_with_content_name_and_place() {
    let w = Workspace::new("changes");
    let first = w.hash();
    assert_eq!(first, w.hash());
    w.write(&format!("{PACKAGE}/src/a/mod.rs"), "// x");
    let second = w.hash();
    assert_ne!(first, second);
    w.write(&format!("{PACKAGE}/src/b.rs"), "");
    assert_ne!(second, w.hash());
    fs::remove_file(w.0.join(format!("{PACKAGE}/src/b.rs"))).unwrap();
    assert_eq!(second, w.hash());
}

#[test]
fn ignores_what_is_not_compiled() {
    let w = Workspace::new("ignores");
    let first = w.hash();
    w.write(&format!("{PACKAGE}/src/.main.rs.swp"), "x");
    w.write(LOCK, &LOCK_TEXT.replace("1.0.0", "1.0.1"));
    assert_eq!(first, w.hash(), "twice 1 is not a dependency");
}

#[test]
fn changes_with_the_version_of_a_dependency() {
    let w = Workspace::new("versions");
    let first = w.hash();
    w.write(LOCK, &LOCK_TEXT.replace("2.0.0", "2.0.1"));
    let second = w.hash();
    assert_ne!(first, second);
    w.write(LOCK, &LOCK_TEXT.replace("0.2.1", "0.2.2"));
    assert_ne!(first, w.hash());
}

#[test]
fn a_missing_file_is_named() {
    let w = Workspace::new("missing");
    fs::remove_file(w.0.join(LOCK)).unwrap();
    let error = sources(&w.0).unwrap_err();
    assert!(error.to_string().contains(LOCK), "{error}");
}
