//! The files that a guest leaves behind, by the names that the script gives them.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The plans, all of which are run at the same time.
pub const PLANS: &[&str] = &["fexit", "kprobe", "tracepoint"];

/// A workload's run on a file.
#[derive(Debug, Default)]
pub struct Run {
    /// `buffered`, `lockers` or `mmap`; after `standby-` where the tracers were in standby.
    pub workload: String,
    /// Filesystem.
    pub fs: String,
    /// Inode number of its file.
    pub ino: u64,
    /// Its threads.
    pub tids: Vec<u32>,
    /// Name of the kernel's trace, which can be that of several runs.
    pub trace: String,
}

impl Run {
    /// Whether the tracers were in standby when it began.
    pub fn in_standby(&self) -> bool {
        self.workload.starts_with("standby-")
    }

    /// Whether its filesystem is not on iomap: no tracepoint tells of its failures.
    pub fn is_generic(&self) -> bool {
        self.fs == "vfat"
    }
}

/// What `iomap-trace repro --json` printed.
#[derive(Deserialize)]
struct Repro {
    file: File,
    threads: Vec<Thread>,
}

#[derive(Deserialize)]
struct File {
    ino: u64,
}

#[derive(Deserialize)]
struct Thread {
    tid: u32,
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read.
pub fn text(dir: &Path, name: &str) -> Result<String> {
    std::fs::read_to_string(dir.join(name)).with_context(|| format!("cannot read {name}"))
}

/// Checks the status that a command left; if it is another, its last words are the error.
///
/// # Errors
/// Then, and when it left none.
pub fn status(dir: &Path, name: &str, expected: u8) -> Result<()> {
    let status = text(dir, &format!("{name}.status"))?;
    if status.trim() == expected.to_string() {
        return Ok(());
    }
    bail!("exit status {}: {}", status.trim(), last_words(dir, name))
}

/// The last line that a command wrote to its standard error.
pub fn last_words(dir: &Path, name: &str) -> String {
    let said = text(dir, &format!("{name}.err")).unwrap_or_default();
    let last = said.lines().rfind(|line| !line.trim().is_empty());
    last.unwrap_or("it did not say why").to_owned()
}

/// All runs, sorted by workload and filesystem.
///
/// # Errors
/// When one did not come to its end.
pub fn runs(dir: &Path) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for name in names(dir)? {
        let Some((workload, fs)) = name.strip_suffix(".repro").and_then(|n| n.split_once('.'))
        else {
            continue;
        };
        let repro: Repro = serde_json::from_str(&text(dir, &name)?).with_context(|| {
            let said = last_words(dir, &format!("{workload}.{fs}"));
            format!("repro {workload} on {fs}: {said}")
        })?;
        // Those on xfs and ext4 share a trace, which has the name of the first one.
        let traced = if fs == "ext4" { "xfs" } else { fs };
        runs.push(Run {
            workload: workload.to_owned(),
            fs: fs.to_owned(),
            ino: repro.file.ino,
            tids: repro.threads.iter().map(|thread| thread.tid).collect(),
            trace: format!("{workload}.{traced}"),
        });
    }
    runs.sort_by(|a, b| (&a.workload, &a.fs).cmp(&(&b.workload, &b.fs)));
    Ok(runs)
}

/// The log of a plan's tracer: `run`, or `standby`.
pub fn log(dir: &Path, tracer: &str, plan: &str) -> PathBuf {
    dir.join(format!("{tracer}.{plan}.jsonl.zst"))
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("no {}", dir.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_left_is_found() {
        let dir = std::env::temp_dir().join(format!("iomap-trace-files-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("a.status", "0\n");
        write("b.status", "4\n");
        write("b.err", "x\nerror: no BPF\n\n");
        write(
            "mmap.ext4.repro",
            r#"{"file":{"ino":7,"dev":"1:2"},"threads":[{"tid":3}]}"#,
        );
        let all = runs(&dir).unwrap();
        let statuses = ["a", "b", "c"].map(|name| status(&dir, name, 0).map_err(|e| e.to_string()));
        write("mmap.xfs.repro", "");
        write("mmap.xfs.err", "error: x\n");
        let error = runs(&dir).unwrap_err().to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!((all[0].ino, &*all[0].trace), (7, "mmap.xfs"));
        assert_eq!(all[0].tids, [3]);
        assert_eq!(error, "repro mmap on xfs: error: x");
        assert_eq!(statuses[0], Ok(()));
        assert_eq!(
            statuses[1].as_ref().unwrap_err(),
            "exit status 4: error: no BPF"
        );
        assert_eq!(statuses[2].as_ref().unwrap_err(), "cannot read c.status");
    }
}
