//! On this machine: the same writes with and without the tracer, in turns.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Options;
use super::figures::Spread;
use super::guests::Programs;
use crate::demo::images::{KINDS, Mounted, TempDir, own_mounts};
use crate::util;

/// Rounds of 512 writes of each kind in one run. What else the machine does makes some of them longer:
/// the one counts that a quarter of them is quicker than.
const ROUNDS: &str = "24";

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

/// How the tracer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Without,
    /// With all hooks.
    Full,
    /// With those that tell of failures.
    Standby,
}

impl Mode {
    /// Those that are compared with none.
    const TRACED: [Self; 2] = [Self::Full, Self::Standby];

    /// What it is, in a heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Without => "without",
            Self::Full => "all hooks",
            Self::Standby => "standby",
        }
    }
}

/// Throughput with the tracer by that without, by filesystem and workload.
pub type Ratios = BTreeMap<(String, String), Spread>;

/// What this machine has told.
pub struct Figures {
    /// How many pairs of runs.
    pub pairs: usize,
    /// By how it runs, and where the images are.
    pub ratios: Vec<(Mode, Backing, Ratios)>,
}

/// Runs on images of all filesystems.
///
/// # Errors
/// When this is not root, or a program fails.
pub fn measure(args: &Options, programs: &Programs) -> Result<Figures> {
    ensure!(
        util::is_root(),
        "only root can mount filesystems and trace: run it as root, or with --no-native"
    );
    own_mounts()?;
    let mut ratios = Vec::new();
    let backings = Backing::ALL.into_iter();
    for backing in backings.filter(|at| !args.no_disk || *at != Backing::Disk) {
        for (mode, found) in Mode::TRACED.into_iter().zip(on(args, programs, backing)?) {
            ratios.push((mode, backing, found));
        }
    }
    Ok(Figures {
        pairs: args.pairs,
        ratios,
    })
}

/// The ratios of each of [`Mode::TRACED`].
fn on(args: &Options, programs: &Programs, backing: Backing) -> Result<[Ratios; 2]> {
    let pairs = args.pairs;
    let wanted =
        |kind: &str| args.filesystems.is_empty() || args.filesystems.iter().any(|f| f == kind);
    let dir = TempDir::new_in(&std::env::temp_dir())?;
    let mut values: [BTreeMap<(String, String), Vec<f64>>; 2] = Default::default();
    for (kind, options) in KINDS.iter().filter(|(kind, _)| wanted(kind)) {
        let mounted = Mounted::new(kind, options, dir.path())?;
        if backing == Backing::Disk {
            mounted.past_cache()?;
        }
        // The first run finds cold caches.
        run(programs, mounted.path(), Mode::Without)?;
        for pair in 0..pairs {
            for (mode, values) in Mode::TRACED.into_iter().zip(&mut values) {
                let (at, name) = (backing.name(), mode.name());
                eprintln!("{kind}, {at}, {name}: pair {} of {pairs}", pair + 1);
                // Who comes first takes turns as well.
                let first = pair % 2 == 1;
                let order = match first {
                    true => [mode, Mode::Without],
                    false => [Mode::Without, mode],
                };
                let [one, other] = order.map(|mode| run(programs, mounted.path(), mode));
                let (with, without) = match first {
                    true => (one?, other?),
                    false => (other?, one?),
                };
                for (workload, plain) in without {
                    // In standby there is none that fails.
                    let Some(traced) = with.get(&workload) else {
                        ensure!(mode == Mode::Standby, "a workload was not run: {workload}");
                        continue;
                    };
                    let at = ((*kind).to_owned(), workload);
                    values.entry(at).or_default().push(plain / traced);
                }
            }
        }
    }
    let spread = |(at, values)| Some((at, Spread::of(values)?));
    Ok(values.map(|values| values.into_iter().filter_map(spread).collect()))
}

/// Ticks of the time stamp counter in a good round, by workload.
fn run(programs: &Programs, at: &Path, mode: Mode) -> Result<BTreeMap<String, f64>> {
    let tracer = match mode {
        Mode::Without => None,
        mode => Some(Tracer::start(programs, mode)?),
    };
    let dir = at.join("load");
    std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut load = Command::new(&programs.load);
    load.arg(&dir).arg(ROUNDS);
    if mode == Mode::Standby {
        load.arg("calm");
    }
    let told = util::output(&mut load)?;
    std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    if let Some(tracer) = tracer {
        ensure!(!tracer.was_roused(), "a failure ended the standby");
    }
    told.lines().map(time).collect()
}

/// Reads `NAME WRITES TICKS QUARTER`.
fn time(line: &str) -> Result<(String, f64)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [name, _, _, quarter] = words[..] else {
        bail!("a line of the workload is not understood: {line}");
    };
    Ok((name.to_owned(), quarter.parse()?))
}

/// A tracer that runs; it ends with this value.
struct Tracer {
    child: Child,
    roused: Arc<AtomicBool>,
}

impl Tracer {
    fn start(programs: &Programs, mode: Mode) -> Result<Self> {
        let mut trace = Command::new(&programs.iomap_trace);
        trace.args(["trace", "--format", "json"]);
        if mode == Mode::Standby {
            trace.arg("--standby");
        }
        let mut child = trace
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run iomap-trace")?;
        let said = child.stderr.take();
        let roused = Arc::new(AtomicBool::new(false));
        let sees = Arc::clone(&roused);
        let tracer = Self { child, roused };
        let mut lines = BufReader::new(said.context("iomap-trace says nothing")?).lines();
        let ready = lines.any(|line| line.is_ok_and(|line| line.contains("Ctrl-C ends")));
        ensure!(ready, "iomap-trace does not run");
        // It must not wait for a reader.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("a failure: attached") {
                    sees.store(true, Ordering::Relaxed);
                }
            }
        });
        // Until it no longer measures itself.
        std::thread::sleep(std::time::Duration::from_secs(2));
        Ok(tracer)
    }

    /// Whether hooks that waited were attached.
    fn was_roused(&self) -> bool {
        self.roused.load(Ordering::Relaxed)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: kill(2) takes no memory, and the child has not been waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_workload_prints() {
        let (name, ticks) = time("direct-none 1024 99 40").unwrap();
        assert_eq!(name, "direct-none");
        assert!((ticks - 40.0).abs() < 1e-9);
        assert!(time("direct-none 512 1").is_err());
        assert!(time("direct-none 512 1 x").is_err());
    }
}
