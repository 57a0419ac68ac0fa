//! What the programs cost, by the kernel's run-time statistics, which are on a part of the time.
//!
//! Statistics take two looks at the clock for each run of each BPF program of the system: for a
//! program that ends at its first test that is more than the program itself.

use aya::sys::{Stats, enable_stats};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// They stay on for so long at first: short runs are measured whole.
const FIRST: Duration = Duration::from_secs(1);
/// After that once in this time.
const EVERY: Duration = Duration::from_secs(1);
/// And while next to nothing is attached: the kernel changes its own code for each switch.
const IDLE_EVERY: Duration = Duration::from_secs(10);
/// For at least so long.
const FOR: Duration = Duration::from_millis(100);

/// Run time in nanoseconds and number of runs, by program.
pub type ByProgram = BTreeMap<String, (u64, u64)>;

/// The statistics, and what they have shown.
#[derive(Debug)]
pub struct Cost {
    /// Keeps them on.
    on: Option<OwnedFd>,
    always: bool,
    begun: Instant,
    /// Since when they are on, or off.
    since: Instant,
    /// How often they are switched on.
    every: Duration,
    /// The kernel's figures then.
    base: ByProgram,
    /// What the programs cost up to `until`.
    sums: ByProgram,
    until: Instant,
    /// What they cost in the last window, and how long that was.
    last: (ByProgram, Duration),
    /// They could not be switched on again.
    refused: bool,
}

impl Cost {
    /// Switches them on.
    pub fn begin() -> Self {
        let now = Instant::now();
        Self {
            on: enable_stats(Stats::RunTime).ok(),
            always: false,
            begun: now,
            since: now,
            every: EVERY,
            base: ByProgram::new(),
            sums: ByProgram::new(),
            until: now,
            last: (ByProgram::new(), Duration::ZERO),
            refused: false,
        }
    }

    /// Lets them be on all the time; false when they are off.
    pub fn keep_on(&mut self) -> bool {
        self.always = true;
        self.on.is_some()
    }

    /// Switches them on or off, when it is time; seldom where it is `idle`. `read` gives the kernel's
    /// figures.
    pub fn tick(&mut self, idle: bool, read: impl FnOnce() -> ByProgram) {
        let now = Instant::now();
        self.every = if idle { IDLE_EVERY } else { EVERY };
        let so_long = now - self.since;
        match self.on {
            Some(_) if !self.always && now - self.begun >= FIRST && so_long >= FOR => {
                let window = since(&read(), &self.base);
                let gap = now - self.until;
                add(&mut self.sums, &window, gap, so_long);
                self.last = (window, so_long);
                (self.until, self.since, self.on) = (now, now, None);
            }
            // Where they could not be switched on nothing was ever measured.
            None if !self.last.1.is_zero() && so_long >= self.every - FOR => {
                self.since = now;
                self.on = enable_stats(Stats::RunTime).ok();
                self.refused = self.on.is_none();
                if self.on.is_some() {
                    self.base = read();
                }
            }
            _ => {}
        }
    }

    /// What the programs have cost up to now, by the kernel's figures; `None` where it is not known.
    /// What was not measured is taken to be as what was measured next, or last.
    pub fn sums(&self, figures: &ByProgram) -> Option<ByProgram> {
        let now = Instant::now();
        let mut sums = self.sums.clone();
        if self.on.is_some() {
            // The time before this window counts with it when it is over.
            let one = Duration::from_secs(1);
            add(&mut sums, &since(figures, &self.base), one, one);
        } else if self.last.1.is_zero() {
            return None;
        } else if !self.refused {
            let gap = (now - self.until).min(self.every);
            add(&mut sums, &self.last.0, gap, self.last.1);
        }
        Some(sums)
    }

    /// For how long it was measured at the start, where it could not be after that: switching the
    /// statistics on takes CAP_SYS_ADMIN, which a run gives up.
    pub fn only_first(&self) -> Option<Duration> {
        self.refused.then(|| self.until - self.begun)
    }
}

fn since(now: &ByProgram, base: &ByProgram) -> ByProgram {
    let less = |(program, (ns, runs)): (&String, &(u64, u64))| {
        let (ns_before, runs_before) = base.get(program).copied().unwrap_or_default();
        let more = (
            ns.saturating_sub(ns_before),
            runs.saturating_sub(runs_before),
        );
        (program.clone(), more)
    };
    now.iter().map(less).collect()
}

/// Adds what a window of `measured` tells of `whole`.
fn add(sums: &mut ByProgram, window: &ByProgram, whole: Duration, measured: Duration) {
    let scaled = |figure: u64| {
        let scaled =
            u128::from(figure).saturating_mul(whole.as_nanos()) / measured.as_nanos().max(1);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    for (program, (ns, runs)) in window {
        let sum = sums.entry(program.clone()).or_default();
        sum.0 = sum.0.saturating_add(scaled(*ns));
        sum.1 = sum.1.saturating_add(scaled(*runs));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(ns: u64) -> ByProgram {
        BTreeMap::from([("a".to_owned(), (ns, ns / 10))])
    }

    #[test]
    fn a_figure_of_a_part_is_scaled_to_the_whole() {
        let of = |figure, whole, measured| {
            let mut sums = ByProgram::new();
            let ms = Duration::from_millis;
            add(&mut sums, &figures(figure), ms(whole), ms(measured));
            sums["a"].0
        };
        assert_eq!(of(1234, 1_000, 1_000), 1234);
        assert_eq!(of(19, 10_000, 1_900), 100);
        assert_eq!(of(u64::MAX, u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn sums_are_those_of_the_windows_each_for_the_time_before_it() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut cost = Cost {
            on: None,
            always: false,
            begun: now - ms(2_000),
            since: now - ms(1),
            every: EVERY,
            base: figures(1_000),
            sums: figures(5_000),
            until: now,
            last: (figures(100), ms(100)),
            refused: false,
        };
        // Off: as in the last window.
        cost.until = now - ms(500);
        let (ns, runs) = cost.sums(&figures(1_000)).unwrap()["a"];
        assert!((5_500..6_100).contains(&ns), "{ns}");
        assert!((550..610).contains(&runs), "{runs}");
        // Nothing is made up when they are off for good.
        cost.refused = true;
        assert_eq!(cost.sums(&figures(1_000)).unwrap()["a"].0, 5_000);
        assert!(cost.only_first().is_some());
        // Never on: nothing is known.
        cost.last = (ByProgram::new(), Duration::ZERO);
        assert_eq!(cost.sums(&figures(0)), None);
    }
}
