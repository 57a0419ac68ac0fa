//! What the system holds, before and after.

use super::{Wrong, bpf, kernel, process};
use crate::signal;
use anyhow::Result;
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// The kernel frees some objects late: after a grace period, or when a work item has run.
const PATIENCE: Duration = Duration::from_secs(30);
/// A workload writes back and reads again what it wrote: long on a busy disk.
const ORPHANS: Duration = Duration::from_secs(240);

/// What there was before.
pub struct Held {
    bpf: BTreeSet<bpf::Id>,
    system: BTreeSet<String>,
}

impl Held {
    /// What there is now.
    pub fn now() -> Result<Self> {
        Ok(Self {
            bpf: bpf::all(),
            system: system()?,
        })
    }

    /// Waits until nothing more is there than before, but not for long.
    pub fn check(&self, wrong: &mut Wrong) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            process::reap();
            let left = self.left()?;
            if left.is_empty() {
                println!("  left behind: nothing");
                return Ok(());
            }
            if Instant::now() > until || signal::interrupted() {
                wrong.add(format!("left behind: {}", left.join(", ")));
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    fn left(&self) -> Result<Vec<String>> {
        let mut left: Vec<_> = system()?.difference(&self.system).cloned().collect();
        let present = bpf::all();
        let held = bpf::held();
        let new: BTreeSet<_> = present.difference(&self.bpf).copied().collect();
        left.extend(orphans(&new, &held).map(|(kind, id)| format!("BPF {kind} {id}")));
        for pid in children() {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            left.push(format!("process {pid} ({})", words.trim()));
        }
        Ok(left)
    }
}

/// Waits until no process is left but this one and its child `but`, and those who have ended are
/// waited for. A workload whose tracer was killed goes on without it, and fails on: the kernel's
/// count must not end before that.
pub fn outlive_orphans(but: u32, wrong: &mut Wrong) {
    let until = Instant::now() + ORPHANS;
    loop {
        let orphans: Vec<_> = children().into_iter().filter(|pid| *pid != but).collect();
        if orphans.is_empty() {
            return;
        }
        if Instant::now() > until || signal::interrupted() {
            return wrong.add(format!("orphans do not end: {orphans:?}"));
        }
        orphans.into_iter().for_each(process::reap_one);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Of the objects that are new, those for which no living process answers. Where somebody else has
/// loaded programs meanwhile, their maps and types have no descriptor but belong to these.
fn orphans<'a>(
    new: &'a BTreeSet<bpf::Id>,
    held: &'a BTreeSet<bpf::Id>,
) -> impl Iterator<Item = &'a bpf::Id> {
    let others = new.iter().any(|id| held.contains(id));
    new.difference(held)
        .filter(move |(kind, _)| !others || matches!(*kind, "prog_id" | "link_id"))
}

/// Mounts, loop devices and tracefs instances of this program and its children.
fn system() -> Result<BTreeSet<String>> {
    let mut held = BTreeSet::new();
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let at = line.split(' ').nth(4).unwrap_or_default();
        // Mounted once for the whole system, and left.
        if at != "/sys/kernel/tracing" {
            held.insert(format!("mount {at}"));
        }
    }
    let scratch = format!("-demo-{}/", std::process::id());
    for entry in fs::read_dir("/sys/block")?.flatten() {
        let file = fs::read_to_string(entry.path().join("loop/backing_file"));
        if let Some(file) = file.ok().filter(|file| file.contains(&scratch)) {
            let device = entry.file_name();
            held.insert(format!("{} of {}", device.display(), file.trim()));
        }
    }
    for instance in fs::read_dir(kernel::INSTANCES)
        .into_iter()
        .flatten()
        .flatten()
    {
        held.insert(format!(
            "tracefs instance {}",
            instance.file_name().display()
        ));
    }
    Ok(held)
}

/// All processes.
pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Processes whose parent is this one: also those whose own parents are gone.
fn children() -> Vec<u32> {
    let me = std::process::id();
    let parent = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parent_in(&stat)
    };
    let mut children = processes();
    children.retain(|pid| parent(pid) == Some(me));
    children
}

/// The parent in `/proc/PID/stat`: second behind the name, which may hold anything.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_stands_behind_the_name() {
        assert_eq!(parent_in("12 (a) b) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in(""), None);
    }

    #[test]
    fn objects_of_living_processes_are_no_orphans() {
        let ids = |ids: &[bpf::Id]| ids.iter().copied().collect::<BTreeSet<_>>();
        let new = ids(&[("prog_id", 1), ("prog_id", 2), ("map_id", 3)]);
        let of = |held: &BTreeSet<_>| orphans(&new, held).copied().collect::<Vec<_>>();
        assert_eq!(of(&ids(&[])).len(), 3);
        assert_eq!(of(&ids(&[("prog_id", 1)])), [("prog_id", 2)]);
        assert!(of(&ids(&[("prog_id", 1), ("prog_id", 2)])).is_empty());
    }
}
