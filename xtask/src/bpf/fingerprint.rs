//! What the BPF object is made of, as hashes. `iomap-trace/build.rs` includes this file too, so that
//! the build and `cargo xtask bpf` cannot disagree about what is stale.

use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The directory of the object and its manifest, in the workspace.
pub const DIR: &str = "iomap-trace/bpf";
/// The BPF object, in the workspace.
pub const OBJECT: &str = "iomap-trace/bpf/iomap-trace.bpf.o";
/// What the object was built from and with, in the workspace.
pub const MANIFEST: &str = "iomap-trace/bpf/manifest.json";
/// The package of the BPF programs, and its directory in the workspace.
pub const PACKAGE: &str = "iomap-trace-ebpf";
/// The versions of the dependencies, in the workspace.
pub const LOCK: &str = "Cargo.lock";

/// SHA-256 of `bytes`, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// SHA-256 over the Rust files of the BPF package, its `Cargo.toml`, and the packages and versions
/// that `Cargo.lock` gives it: whatever of the workspace can change the object.
///
/// # Errors
/// When a file cannot be read; the message names it.
pub fn sources(workspace: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for file in files(workspace)? {
        let content = read(&workspace.join(&file))?;
        let name = file.to_string_lossy();
        // Lengths keep the end of one file and the start of the next apart.
        hash.update(format!("{name}\n{}\n", content.len()));
        hash.update(content);
    }
    let lock = read(&workspace.join(LOCK))?;
    for package in closure(&String::from_utf8_lossy(&lock), PACKAGE) {
        hash.update(format!("{package}\n"));
    }
    Ok(hex(hash))
}

/// The files that [`sources`] reads besides [`LOCK`], sorted, relative to the workspace.
fn files(workspace: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::from([Path::new(PACKAGE).join("Cargo.toml")]);
    let mut dirs = vec![Path::new(PACKAGE).join("src")];
    while let Some(dir) = dirs.pop() {
        let full = workspace.join(&dir);
        for entry in fs::read_dir(&full).map_err(|e| named(&full, &e))? {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

/// `name version` of `root` and of everything that it depends on, sorted.
fn closure(lock: &str, root: &str) -> BTreeSet<String> {
    let packages: Vec<Package<'_>> = lock.split("[[package]]").skip(1).map(package).collect();
    let mut found = BTreeSet::new();
    let mut wanted = vec![root];
    while let Some(want) = wanted.pop() {
        // A dependency is `name`, or `name version` where the name alone is not enough.
        let mut words = want.split(' ');
        let (name, version) = (words.next(), words.next());
        for p in &packages {
            if Some(p.name) == name
                && version.is_none_or(|v| v == p.version)
                && found.insert(format!("{} {}", p.name, p.version))
            {
                wanted.extend(&p.dependencies);
            }
        }
    }
    found
}

struct Package<'a> {
    name: &'a str,
    version: &'a str,
    dependencies: Vec<&'a str>,
}

/// Reads one `[[package]]` of `Cargo.lock`, which cargo always writes one value a line.
fn package(text: &str) -> Package<'_> {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .map_or("", quoted)
    };
    Package {
        name: value("name = "),
        version: value("version = "),
        dependencies: text
            .lines()
            .skip_while(|line| *line != "dependencies = [")
            .skip(1)
            .take_while(|line| *line != "]")
            .map(quoted)
            .collect(),
    }
}

fn quoted(text: &str) -> &str {
    text.trim().trim_end_matches(',').trim_matches('"')
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    fs::read(file).map_err(|e| named(file, &e))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
