//! Refuses to build with a BPF object that is older than its sources: it would be loaded as it is.

#[path = "../xtask/src/bpf/fingerprint.rs"]
mod fingerprint;

use fingerprint::{DIR, LOCK, MANIFEST, OBJECT, PACKAGE};
use std::path::Path;

/// Set to 1 while the BPF programs are being changed: a stale object is then only a warning.
const ALLOW: &str = "IOMAP_TRACE_ALLOW_STALE_BPF";

fn main() {
    let workspace = Path::new("..");
    for input in [
        &format!("{PACKAGE}/src"),
        &format!("{PACKAGE}/Cargo.toml"),
        LOCK,
        DIR,
    ] {
        println!("cargo::rerun-if-changed=../{input}");
    }
    println!("cargo::rerun-if-env-changed={ALLOW}");
    let Err(why) = fresh(workspace) else { return };
    let level = if std::env::var_os(ALLOW).is_some_and(|value| value == "1") {
        "warning"
    } else {
        "error"
    };
    println!("cargo::{level}={why}: run `cargo xtask bpf`");
}

/// Compares the object and its sources with the manifest.
fn fresh(workspace: &Path) -> Result<(), String> {
    let read = |file: &str| {
        std::fs::read(workspace.join(file)).map_err(|error| format!("{file}: {error}"))
    };
    let manifest: serde_json::Value =
        serde_json::from_slice(&read(MANIFEST)?).map_err(|error| format!("{MANIFEST}: {error}"))?;
    if manifest["object_sha256"] != fingerprint::sha256(&read(OBJECT)?) {
        return Err(format!("{OBJECT} is not the object of {MANIFEST}"));
    }
    let sources = fingerprint::sources(workspace).map_err(|error| error.to_string())?;
    if manifest["sources_sha256"] != sources {
        return Err(format!("{DIR} is older than {PACKAGE}/src"));
    }
    Ok(())
}
