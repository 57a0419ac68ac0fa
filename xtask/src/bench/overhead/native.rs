//! On this machine: the same writes with and without the tracer, in turns.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::figures::Spread;
use super::guests::Programs;
use crate::demo::images::{KINDS, Mounted, TempDir, own_mounts};
use crate::util;

/// Rounds of 512 writes of each kind in one run.
const ROUNDS: &str = "8";

/// Where the images are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Memory: the page cache of the filesystem that holds them.
    Memory,
    /// The disk of this machine, past that page cache.
    Disk,
}

impl Backing {
    /// Both.
    const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    /// What it is, in a heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "images in memory",
            Self::Disk => "images on the disk",
        }
    }
}

/// Throughput with the tracer by that without, by filesystem and workload.
pub type Ratios = BTreeMap<(String, String), Spread>;

/// What this machine has told.
pub struct Figures {
    /// How many pairs of runs.
    pub pairs: usize,
    /// By where the images are.
    pub ratios: Vec<(Backing, Ratios)>,
}

/// Runs on images of all filesystems.
///
/// # Errors
/// When this is not root, or a program fails.
pub fn measure(programs: &Programs, pairs: usize) -> Result<Figures> {
    ensure!(
        util::is_root(),
        "only root can mount filesystems and trace: run it as root, or with --no-native"
    );
    own_mounts()?;
    let ratios = Backing::ALL
        .into_iter()
        .map(|backing| Ok((backing, on(programs, pairs, backing)?)))
        .collect::<Result<_>>()?;
    Ok(Figures { pairs, ratios })
}

fn on(programs: &Programs, pairs: usize, backing: Backing) -> Result<Ratios> {
    let dir = TempDir::new_in(&std::env::temp_dir())?;
    let mut values: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for (kind, options) in KINDS {
        let mounted = Mounted::new(kind, options, dir.path())?;
        if backing == Backing::Disk {
            mounted.past_cache()?;
        }
        // The first run finds cold caches.
        run(programs, mounted.path(), false)?;
        for pair in 0..pairs {
            eprintln!("{kind}, {}: pair {} of {pairs}", backing.name(), pair + 1);
            // Who comes first takes turns as well.
            let first = pair % 2 == 1;
            let one = run(programs, mounted.path(), first)?;
            let other = run(programs, mounted.path(), !first)?;
            let (with, without) = if first { (one, other) } else { (other, one) };
            for (workload, plain) in without {
                let traced = with.get(&workload).context("a workload was not run")?;
                let at = ((*kind).to_owned(), workload);
                values.entry(at).or_default().push(plain / traced);
            }
        }
    }
    let spread = |(at, values)| Some((at, Spread::of(values)?));
    Ok(values.into_iter().filter_map(spread).collect())
}

/// Ticks of the time stamp counter a write, by workload.
fn run(programs: &Programs, at: &Path, traced: bool) -> Result<BTreeMap<String, f64>> {
    let tracer = traced.then(|| Tracer::start(programs)).transpose()?;
    let dir = at.join("load");
    std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let told = util::output(Command::new(&programs.load).arg(&dir).arg(ROUNDS))?;
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    drop(tracer);
    told.lines().map(time).collect()
}

/// Reads `NAME WRITES TICKS`.
fn time(line: &str) -> Result<(String, f64)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [name, writes, ticks] = words[..] else {
        bail!("a line of the workload is not understood: {line}");
    };
    let (writes, ticks): (f64, f64) = (writes.parse()?, ticks.parse()?);
    Ok((name.to_owned(), ticks / writes))
}

/// A tracer that runs; it ends with this value.
struct Tracer(Child);

impl Tracer {
    fn start(programs: &Programs) -> Result<Self> {
        let mut child = Command::new(&programs.iomap_trace)
            .args(["trace", "--format", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run iomap-trace")?;
        let said = child.stderr.take();
        let tracer = Self(child);
        let mut lines = BufReader::new(said.context("iomap-trace says nothing")?).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains("Ctrl-C ends")));
        ensure!(ready, "iomap-trace does not run");
        // What it says later is of no interest, but it must not wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        // Until it no longer measures itself.
        std::thread::sleep(std::time::Duration::from_secs(2));
        Ok(tracer)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: kill(2) takes no memory, and the child has not been waited for.
        unsafe { libc::kill(self.0.id().cast_signed(), libc::SIGTERM) };
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_workload_prints() {
        let (name, ticks) = time("direct-none 512 1024").unwrap();
        assert_eq!(name, "direct-none");
        assert!((ticks - 2.0).abs() < 1e-9);
        assert!(time("direct-none 512").is_err());
        assert!(time("direct-none 512 x").is_err());
    }
}
