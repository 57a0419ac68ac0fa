//! The manifest beside the object: what it was built from, and with what.

use super::fingerprint::{self, MANIFEST};
use super::{build, linker};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// `iomap-trace/bpf/manifest.json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`fingerprint::sources`].
    pub sources_sha256: String,
    /// SHA-256 of the object.
    pub object_sha256: String,
    /// First line of `rustc --version`.
    pub rustc: String,
    /// Version of bpf-linker.
    pub bpf_linker: String,
    /// The target, and the machine whose registers the programs read.
    pub target: String,
}

impl Manifest {
    /// The manifest of an object that has just been built.
    pub fn new(workspace: &Path, toolchain: &Toolchain, object: &[u8]) -> Result<Self> {
        Ok(Self {
            sources_sha256: fingerprint::sources(workspace).context("cannot read the sources")?,
            object_sha256: fingerprint::sha256(object),
            rustc: toolchain.version.clone(),
            bpf_linker: linker::VERSION.to_owned(),
            target: format!("{} ({})", build::TARGET, build::ARCH),
        })
    }

    /// The committed manifest.
    pub fn read(workspace: &Path) -> Result<Self> {
        let text = fs::read_to_string(workspace.join(MANIFEST)).context(MANIFEST)?;
        serde_json::from_str(&text).context(MANIFEST)
    }

    /// As it stands in the file.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// One line for each value that is not the same in `built`.
    pub fn differences(&self, built: &Self) -> Vec<String> {
        [
            (
                "sources_sha256",
                &self.sources_sha256,
                &built.sources_sha256,
            ),
            ("object_sha256", &self.object_sha256, &built.object_sha256),
            ("rustc", &self.rustc, &built.rustc),
            ("bpf_linker", &self.bpf_linker, &built.bpf_linker),
            ("target", &self.target, &built.target),
        ]
        .into_iter()
        .filter(|(_, committed, built)| committed != built)
        .map(|(name, committed, built)| {
            format!("{MANIFEST}: {name} is {committed}, the build gives {built}")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            sources_sha256: "a".into(),
            object_sha256: "b".into(),
            rustc: "rustc 1".into(),
            bpf_linker: "0".into(),
            target: "bpf".into(),
        }
    }

    #[test]
    fn json_and_back() {
        let json = manifest().to_json().unwrap();
        assert!(json.ends_with("}\n"));
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest());
    }

    #[test]
    fn differences_name_the_value() {
        assert!(manifest().differences(&manifest()).is_empty());
        let other = Manifest {
            rustc: "rustc 2".into(),
            ..manifest()
        };
        assert_eq!(
            manifest().differences(&other),
            ["iomap-trace/bpf/manifest.json: rustc is rustc 1, the build gives rustc 2"]
        );
    }
}
