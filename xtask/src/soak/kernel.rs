//! The kernel's own count of failed invalidations, in tracefs instances that nobody reads.

use super::Stage;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where tracefs has its instances.
pub const INSTANCES: &str = "/sys/kernel/tracing/instances";
const EVENT: &str = "events/iomap/iomap_dio_invalidate_fail";

/// Counts of a filesystem each.
pub struct Counts(Vec<Instance>);

struct Instance {
    dir: PathBuf,
    dev: String,
}

impl Counts {
    /// Counts from now on.
    pub(super) fn start(stage: &Stage<'_>) -> Result<Self> {
        let mounts = stage.mounts.iter();
        Self::of(mounts.map(|(kind, mounted)| (*kind, mounted.path())))
    }

    /// Counts those of these mounts from now on; each has a name that no other has.
    ///
    /// # Errors
    /// When tracefs refuses, or one is not mounted.
    pub fn of<'a>(mounts: impl Iterator<Item = (&'a str, &'a Path)>) -> Result<Self> {
        if !Path::new(INSTANCES).exists() {
            let mut mount = std::process::Command::new("mount");
            mount.args(["-t", "tracefs", "nodev", "/sys/kernel/tracing"]);
            crate::util::output(&mut mount)?;
        }
        let instances = mounts.map(|(kind, path)| {
            let dir = Path::new(INSTANCES)
                .join(format!("iomap-trace-soak-{}-{kind}", std::process::id()));
            fs::create_dir(&dir).context("a tracefs instance cannot be made")?;
            let dev = dev_of(path)?;
            let instance = Instance { dir, dev };
            // Overwriting: what is overwritten is counted, so the sum stays exact.
            instance.set("options/overwrite", "1")?;
            let filter = format!("dev == {}", kernel_dev(&instance.dev)?);
            instance.set(&format!("{EVENT}/filter"), &filter)?;
            instance.set(&format!("{EVENT}/enable"), "1")?;
            Ok(instance)
        });
        instances.collect::<Result<_>>().map(Self)
    }

    /// Failures by device (`major:minor`).
    pub fn stop(self) -> Result<BTreeMap<String, u64>> {
        self.0
            .iter()
            .map(|instance| Ok((instance.dev.clone(), instance.count()?)))
            .collect()
    }
}

impl Instance {
    fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, value).with_context(|| format!("{} refuses {value}", path.display()))
    }

    fn count(&self) -> Result<u64> {
        self.set("tracing_on", "0")?;
        let mut sum = 0;
        for cpu in fs::read_dir(self.dir.join("per_cpu"))? {
            sum += events(&fs::read_to_string(cpu?.path().join("stats"))?)?;
        }
        Ok(sum)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.dir) {
            eprintln!("cannot remove {}: {error}", self.dir.display());
        }
    }
}

/// Events that a CPU's buffer took: those that are in it, and those that were overwritten
/// (`ring_buffer_entries_cpu`, `ring_buffer_overrun_cpu`). None may be missing otherwise.
fn events(stats: &str) -> Result<u64> {
    let number = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().parse::<u64>().ok());
        number.with_context(|| format!("the buffer's statistics have no {name}"))
    };
    for lost in ["commit overrun:", "dropped events:"] {
        ensure!(
            number(lost)? == 0,
            "the kernel's own trace lost events ({lost})"
        );
    }
    Ok(number("entries:")? + number("overrun:")? + number("read events:")?)
}

/// The super block's device, which on btrfs is not that of `stat(2)`.
fn dev_of(mount: &Path) -> Result<String> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let of = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        (Path::new(words.get(4)?) == mount).then(|| words[2].to_owned())
    };
    let found = table.lines().filter_map(of).next_back();
    found.with_context(|| format!("{} is not mounted", mount.display()))
}

/// The kernel's `dev_t`.
fn kernel_dev(dev: &str) -> Result<u32> {
    let (major, minor) = dev.split_once(':').context("no device")?;
    Ok(major.parse::<u32>()? << 20 | minor.parse::<u32>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = "entries: 12\noverrun: 30\ncommit overrun: 0\nbytes: 8\n\
        oldest event ts:  1.5\nnow ts:  2.5\ndropped events: 0\nread events: 2\n";

    #[test]
    fn what_was_overwritten_counts() {
        assert_eq!(events(STATS).unwrap(), 44);
        assert!(events(&STATS.replace("commit overrun: 0", "commit overrun: 1")).is_err());
        assert!(events("entries: 1\n").is_err());
    }

    #[test]
    fn a_device_is_a_number() {
        assert_eq!(kernel_dev("7:3").unwrap(), 7 << 20 | 3);
        assert!(kernel_dev("x").is_err());
    }
}
