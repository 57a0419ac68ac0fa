//! The licences of the crates in the program: their authors ask that these go with it.

use super::release::{PACKAGE, Release};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

/// How the files begin in which crates have their licences.
const NAMES: &[&str] = &[
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];
const HEAD: &str = "\
The program iomap-trace has parts of these crates in it, and parts of the Rust standard library (MIT
OR Apache-2.0, The Rust Project Developers) and of the GNU C library (LGPL-2.1-or-later, the Free
Software Foundation). Sources of all crates: crates.io, in the versions given here.
";

/// One text with all of them: a table of the crates, then each licence text once, with its crates.
///
/// # Errors
/// When cargo's description of the packages is not what it has been, or a file cannot be read.
pub fn licences(release: &Release) -> Result<String> {
    let mut table = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for crate_ in crates(&release.metadata)? {
        let name = format!("{} {}", text(crate_, "name")?, text(crate_, "version")?);
        let licence = crate_["license"].as_str().unwrap_or("see below");
        table.push_str(&format!("{name}: {licence}\n"));
        let manifest = Path::new(text(crate_, "manifest_path")?);
        for file in files(manifest.parent().unwrap_or(manifest))? {
            texts.entry(file).or_default().push(name.clone());
        }
    }
    let mut parts: Vec<_> = texts.into_iter().collect();
    parts.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    let mut all = format!("{HEAD}\n{table}");
    for (text, crates) in parts {
        let line = "-".repeat(80);
        all.push_str(&format!("\n{line}\n{}\n\n{text}\n", crates.join(", ")));
    }
    Ok(all)
}

/// The crates of other authors that are in the program, by name and version: what is only needed to
/// build or to test is not in it.
fn crates(metadata: &Value) -> Result<Vec<&Value>> {
    let by_id = |list: &'static str| -> Result<HashMap<&str, &Value>> {
        let root = if list == "nodes" {
            &metadata["resolve"]
        } else {
            metadata
        };
        let items = root[list].as_array();
        let items = items.with_context(|| format!("cargo metadata has no {list}"))?;
        items
            .iter()
            .map(|item| Ok((text(item, "id")?, item)))
            .collect()
    };
    let (packages, nodes) = (by_id("packages")?, by_id("nodes")?);
    let own = packages
        .iter()
        .find(|(_, package)| package["name"] == PACKAGE);
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = own.into_iter().map(|(id, _)| *id).collect();
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else {
            bail!("cargo metadata has no node {id}")
        };
        let edges = node["deps"].as_array().into_iter().flatten();
        next.extend(
            edges
                .filter(|edge| is_linked(edge))
                .filter_map(|edge| edge["pkg"].as_str()),
        );
    }
    let mut crates: Vec<_> = seen
        .iter()
        .filter_map(|id| packages.get(id).copied())
        .collect();
    // What has no source is of this workspace.
    crates.retain(|package| !package["source"].is_null());
    crates.sort_by_key(|package| (package["name"].to_string(), package["version"].to_string()));
    Ok(crates)
}

/// True for a dependency of kind `normal`, which cargo writes as null.
fn is_linked(edge: &Value) -> bool {
    let kinds = edge["dep_kinds"].as_array().into_iter().flatten();
    kinds.into_iter().any(|kind| kind["kind"].is_null())
}

/// The texts of the licence files in `directory`, by name, without space at the ends of lines.
fn files(directory: &Path) -> Result<Vec<String>> {
    let cannot = || format!("cannot read {}", directory.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if NAMES.iter().any(|start| name.starts_with(start)) && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<_> = text.trim_matches('\n').lines().map(str::trim_end).collect();
            Ok(lines.join("\n"))
        })
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    let text = value[key].as_str();
    text.with_context(|| format!("cargo metadata has a package without {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn takes_what_is_linked_and_of_others() {
        let package = |name: &str, source: Value| json!({"id": name, "name": name, "version": "1.0.0", "source": source});
        let dep = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let crates_io = json!("registry");
        let metadata = json!({
            "packages": [
                package(PACKAGE, Value::Null), package("abi", Value::Null),
                package("z", crates_io.clone()), package("a", crates_io.clone()),
                package("cc", crates_io.clone()), package("insta", crates_io),
            ],
            "resolve": {"nodes": [
                {"id": PACKAGE, "deps": [dep("abi", Value::Null), dep("z", Value::Null),
                                         dep("insta", json!("dev")), dep("cc", json!("build"))]},
                {"id": "abi", "deps": []},
                {"id": "z", "deps": [dep("a", Value::Null)]},
                {"id": "a", "deps": [dep("z", Value::Null)]},
            ]},
        });
        let names: Vec<_> = crates(&metadata)
            .unwrap()
            .iter()
            .map(|c| c["name"].clone())
            .collect();
        assert_eq!(names, ["a", "z"]);
    }
}
