//! On this machine: the same writes with and without the tracer, in turns.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::time::Duration;

use super::Options;
use super::figures::Spread;
use super::guests::Programs;
use super::one::OneCpu;
use super::run::{Load, Ticks, Tracer};
use crate::demo::images::{KINDS, Mounted, TempDir, own_mounts};
use crate::signal;
use crate::util;

/// Before each run: until a tracer no longer measures itself. Without one it rests as long.
const RESTS: Duration = Duration::from_secs(2);

/// Where the images are written to, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    /// Memory, and all of it on one processor: nothing waits for another one to wake up.
    OneCpu,
    /// Memory: the page cache of the filesystem that holds them.
    Memory,
    /// The disk of this machine, past that page cache.
    Disk,
}

impl Place {
    /// What it is, in a heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneCpu => "one processor, images in memory",
            Self::Memory => "images in memory",
            Self::Disk => "images on the disk",
        }
    }
}

/// How the tracer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// With all hooks.
    Full,
    /// With those that tell of failures.
    Standby,
    /// Not at all: what chance does to the figures.
    Control,
}

impl Mode {
    /// What it is, in a heading.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "all hooks",
            Self::Standby => "standby",
            Self::Control => "no tracer",
        }
    }

    /// What is run, unless it is said.
    const fn workloads(self) -> &'static str {
        match self {
            Self::Full => "",
            // A failure would end it.
            Self::Standby | Self::Control => "calm",
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
    pub ratios: Vec<(Mode, Place, Ratios)>,
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
    for place in &args.places {
        for (mode, found) in args.modes.iter().zip(on(args, programs, *place)?) {
            ratios.push((*mode, *place, found));
        }
    }
    Ok(Figures {
        pairs: args.pairs,
        ratios,
    })
}

/// The ratios of each mode.
fn on(args: &Options, programs: &Programs, place: Place) -> Result<Vec<Ratios>> {
    let pairs = args.pairs;
    let wanted =
        |kind: &str| args.filesystems.is_empty() || args.filesystems.iter().any(|f| f == kind);
    let dir = TempDir::new_in(&std::env::temp_dir())?;
    let one = match place {
        Place::OneCpu => Some(OneCpu::take()?),
        _ => None,
    };
    let mut values = vec![BTreeMap::<(String, String), Vec<f64>>::new(); args.modes.len()];
    for (kind, options) in KINDS.iter().filter(|(kind, _)| wanted(kind)) {
        let mounted = Mounted::new(kind, options, dir.path())?;
        if place == Place::Disk {
            mounted.past_cache()?;
        }
        // One process and its files for all runs: where a filesystem puts a new file is chance.
        let mut load = Load::start(&programs.load, mounted.path(), one.as_ref())?;
        // The first run finds cold caches.
        load.run("")?;
        for pair in 0..pairs {
            ensure!(!signal::interrupted(), "interrupted");
            for (mode, values) in args.modes.iter().zip(&mut values) {
                let (at, name) = (place.name(), mode.name());
                eprintln!("{kind}, {at}, {name}: pair {} of {pairs}", pair + 1);
                let standby = *mode == Mode::Standby;
                let start = || Tracer::start(&programs.iomap_trace, standby, dir.path());
                let [with, without] = pair_of(args, *mode, start, &mut load, pair % 2 == 1)?;
                for (workload, plain) in without {
                    let traced = with.get(&workload);
                    let traced = traced.with_context(|| format!("{workload} was not run"))?;
                    let at = ((*kind).to_owned(), workload);
                    values.entry(at).or_default().push(plain / traced);
                }
            }
        }
    }
    let spread = |(at, values)| Some((at, Spread::of(values)?));
    let spreads = values.into_iter();
    Ok(spreads
        .map(|values| values.into_iter().filter_map(spread).collect())
        .collect())
}

/// A run with the tracer and one without. Who comes first takes turns as well.
fn pair_of(
    args: &Options,
    mode: Mode,
    start: impl Fn() -> Result<Tracer>,
    load: &mut Load,
    traced_first: bool,
) -> Result<[Ticks; 2]> {
    let workloads = match args.workloads.as_slice() {
        [] => mode.workloads().to_owned(),
        some => some.join(" "),
    };
    let mut run = |traced: bool| {
        let tracer = match mode {
            Mode::Full | Mode::Standby if traced => Some(start()?),
            _ => None,
        };
        std::thread::sleep(RESTS);
        let ticks = load.run(&workloads)?;
        let roused = tracer.is_some_and(|tracer| tracer.was_roused());
        ensure!(!roused, "a failure ended the standby");
        Ok(ticks)
    };
    let [one, other] = [run(traced_first)?, run(!traced_first)?];
    Ok(match traced_first {
        true => [one, other],
        false => [other, one],
    })
}
