//! Tracers that are started, and ended by a signal at any moment of their lives.

use super::logs;
use super::process::{Program, Running};
use super::rng::Rng;
use super::{Stage, Wrong};
use anyhow::Result;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// So many at the same time.
const AT_ONCE: usize = 2;

/// What is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `record`, in small parts of which few are kept.
    Record,
    /// `trace --format json` into a file.
    Trace,
    /// `exec` of a workload, with a log.
    Exec,
}

/// A life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fate {
    kind: Kind,
    signal: i32,
    /// When the signal comes. Starting takes some hundred milliseconds: some do not live as long.
    after: Duration,
    compressed: bool,
    /// It begins in standby.
    standby: bool,
}

fn fate(rng: &mut Rng) -> Fate {
    let signals = [libc::SIGKILL, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    Fate {
        kind: rng.pick(&[Kind::Record, Kind::Trace, Kind::Exec]),
        signal: rng.pick(&signals),
        after: Duration::from_millis(rng.within(20..6000)),
        compressed: rng.pick(&[true, false]),
        standby: rng.pick(&[true, false]),
    }
}

/// What an end by a signal may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its accounts closed.
    Well,
    /// By the signal.
    Killed,
}

/// How it ended, if it may end like that. `attached` says that it had come so far before the signal;
/// a signal that comes earlier may find no handler yet.
fn judged(fate: Fate, attached: bool, status: ExitStatus) -> Result<End, String> {
    let dies = match (fate.kind, fate.signal) {
        (_, libc::SIGKILL) => true,
        // Of a service, it opens the log anew: what ends it is the SIGTERM after that.
        (Kind::Record, libc::SIGHUP) => false,
        (_, libc::SIGHUP) => true,
        _ => false,
    };
    let by = status.signal();
    match status.code() {
        Some(0) if fate.signal != libc::SIGKILL => Ok(End::Well),
        // Its command was done before the signal came.
        Some(0) if fate.kind == Kind::Exec => Ok(End::Well),
        // The command was ended by the signal before it had a handler.
        Some(143) if fate.kind == Kind::Exec && fate.signal == libc::SIGTERM => Ok(End::Well),
        None if by == Some(fate.signal) && (dies || !attached) => Ok(End::Killed),
        _ => Err(format!(
            "{fate:?} ended with {status}, attached: {attached}"
        )),
    }
}

/// All of them.
pub struct Guests<'a> {
    stage: &'a Stage<'a>,
    rng: Rng,
    present: Vec<Guest>,
    next: Instant,
    number: u64,
    ended: BTreeMap<String, u64>,
    read: u64,
    cut: u64,
    early: u64,
}

struct Guest {
    fate: Fate,
    dir: PathBuf,
    log: PathBuf,
    running: Running,
    due: Instant,
    /// It had come so far when the signal was sent.
    attached: Option<bool>,
    /// When a SIGTERM follows.
    second: Option<Instant>,
    give_up: Instant,
}

impl<'a> Guests<'a> {
    /// None yet.
    pub fn new(stage: &'a Stage<'a>, rng: Rng) -> Self {
        Self {
            stage,
            rng,
            present: Vec::new(),
            next: Instant::now(),
            number: 0,
            ended: BTreeMap::new(),
            read: 0,
            cut: 0,
            early: 0,
        }
    }

    /// Starts, signals and examines them, each when it is time.
    pub fn tend(&mut self, wrong: &mut Wrong) -> Result<()> {
        if self.present.len() < AT_ONCE && Instant::now() >= self.next {
            let guest = self.start()?;
            self.present.push(guest);
            self.next = Instant::now() + Duration::from_millis(self.rng.within(50..1500));
        }
        self.advance(wrong)
    }

    /// Waits for the last ones.
    pub fn end(mut self, wrong: &mut Wrong) -> Result<()> {
        while !self.present.is_empty() {
            self.advance(wrong)?;
            std::thread::sleep(Duration::from_millis(20));
        }
        let ended: Vec<_> = self.ended.iter().map(|(k, n)| format!("{k} {n}")).collect();
        println!("  tracers: {} started; {}", self.number, ended.join(", "));
        println!(
            "  their logs: {} read, {} of them cut off; {} tracers ended before their first record",
            self.read, self.cut, self.early
        );
        Ok(())
    }

    fn advance(&mut self, wrong: &mut Wrong) -> Result<()> {
        let mut at = 0;
        while at < self.present.len() {
            match self.present[at].step()? {
                None => at += 1,
                Some(status) => {
                    let guest = self.present.swap_remove(at);
                    self.examine(guest, status, wrong)?;
                }
            }
        }
        Ok(())
    }

    fn start(&mut self) -> Result<Guest> {
        self.number += 1;
        let fate = fate(&mut self.rng);
        let dir = self.stage.scratch.join(format!("guest{}", self.number));
        fs::create_dir(&dir)?;
        let ending = match fate.compressed && fate.kind != Kind::Trace {
            true => "log.jsonl.zst",
            false => "log.jsonl",
        };
        let log = dir.join(ending);
        let mut command = self.stage.program.command();
        let mut out = Stdio::null();
        match fate.kind {
            Kind::Record => {
                command.args(["record", "--rotate-size", "16K", "--keep", "3", "-o"]);
                command.arg(&log);
            }
            Kind::Trace => {
                command.args(["trace", "--format", "json"]);
                out = File::create(&log)?.into();
            }
            Kind::Exec => {
                command.args(["exec", "-o"]).arg(&log).arg("--");
                command.arg(self.stage.program.path());
                command.args(["repro", "mmap", "--seconds", "3", "--dir"]);
                let mount = self.rng.within(0..self.stage.mounts.len() as u64) as usize;
                command.arg(self.stage.mounts[mount].1.path());
            }
        }
        if fate.standby && fate.kind != Kind::Exec {
            command.arg("--standby");
        }
        let running = Running::start(command, out, dir.join("stderr"))?;
        let due = Instant::now() + fate.after;
        Ok(Guest {
            fate,
            dir,
            log,
            running,
            due,
            attached: None,
            second: None,
            // The workload of `exec` writes back and reads again what it wrote: long on a busy disk.
            give_up: due + Duration::from_secs(240),
        })
    }

    fn examine(
        &mut self,
        guest: Guest,
        status: Option<ExitStatus>,
        wrong: &mut Wrong,
    ) -> Result<()> {
        let Guest {
            fate,
            dir,
            log,
            running,
            attached,
            ..
        } = guest;
        let what = format!("{:?} by {}", fate.kind, name(fate.signal)).to_lowercase();
        let end = match status.map(|status| judged(fate, attached.unwrap_or(true), status)) {
            Some(Ok(end)) => end,
            Some(Err(why)) => {
                wrong.add(format!("{why}: {}", running.words().trim()));
                return Ok(());
            }
            None => {
                wrong.add(format!(
                    "{what}: it does not end: {}",
                    running.words().trim()
                ));
                return Ok(());
            }
        };
        *self.ended.entry(what.clone()).or_default() += 1;
        let parts = logs::parts(&log)?;
        if parts.is_empty() {
            self.early += 1;
        }
        self.read += parts.len() as u64;
        let cut = self.read_all(&parts, &what, wrong);
        self.cut += cut;
        // A recorder that is killed between two parts has closed the one and not begun the other.
        let between = end == End::Killed && parts.last() != Some(&log);
        // One whose command is done has ended its log some moments before itself.
        let done = fate.kind == Kind::Exec && cut == 0;
        let as_expected = between || done || (end == End::Well) == (cut == 0);
        wrong.unless(parts.is_empty() || as_expected, || {
            format!("{what}: {cut} of {} logs are cut off", parts.len())
        });
        fs::remove_dir_all(&dir)?;
        Ok(())
    }

    /// Each part by itself, then all of them; gives how many are cut off.
    fn read_all(&self, parts: &[PathBuf], what: &str, wrong: &mut Wrong) -> u64 {
        let program: &Program = &self.stage.program;
        let mut cut = 0;
        for part in parts {
            match logs::report(program, std::slice::from_ref(part)) {
                Ok(read) => cut += u64::from(read.cut()),
                Err(e) => wrong.add(format!("{what}: {} is not readable: {e:#}", part.display())),
            }
        }
        if parts.len() > 1
            && let Err(e) = logs::report(program, parts)
        {
            wrong.add(format!(
                "{what}: its parts are not readable together: {e:#}"
            ));
        }
        cut
    }
}

impl Guest {
    /// `Some` when it has ended; `Some(None)` when it had to be killed for that.
    fn step(&mut self) -> Result<Option<Option<ExitStatus>>> {
        if let Some(status) = self.running.ended()? {
            return Ok(Some(Some(status)));
        }
        let now = Instant::now();
        if self.attached.is_none() && now >= self.due {
            self.attached = Some(self.running.words().contains("  hooks: "));
            self.running.signal(self.fate.signal);
            if (self.fate.kind, self.fate.signal) == (Kind::Record, libc::SIGHUP) {
                self.second = Some(now + Duration::from_millis(500));
            }
        }
        if self.second.is_some_and(|at| now >= at) {
            self.second = None;
            self.running.signal(libc::SIGTERM);
        }
        if now >= self.give_up {
            self.running.signal(libc::SIGKILL);
            self.running.wait(Duration::from_secs(10))?;
            return Ok(Some(None));
        }
        Ok(None)
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        libc::SIGINT => "SIGINT",
        _ => "SIGHUP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: Kind, signal: i32) -> Fate {
        Fate {
            kind,
            signal,
            after: Duration::ZERO,
            compressed: false,
            standby: false,
        }
    }

    /// As wait(2) gives it.
    fn exited(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    #[test]
    fn a_seed_gives_the_same_lives() {
        let lives = |seed| {
            let mut rng = Rng::new(seed);
            (0..50).map(|_| fate(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(lives(3), lives(3));
        for kind in [Kind::Record, Kind::Trace, Kind::Exec] {
            assert!(lives(3).iter().any(|fate| fate.kind == kind));
        }
    }

    #[test]
    fn attached_tracers_end_well_by_what_they_listen_to() {
        use libc::{SIGHUP, SIGINT, SIGKILL, SIGTERM};
        for kind in [Kind::Record, Kind::Trace, Kind::Exec] {
            for signal in [SIGTERM, SIGINT] {
                assert_eq!(judged(of(kind, signal), true, exited(0)), Ok(End::Well));
                let killed = ExitStatus::from_raw(signal);
                assert!(judged(of(kind, signal), true, killed).is_err());
                assert_eq!(judged(of(kind, signal), false, killed), Ok(End::Killed));
                assert!(judged(of(kind, signal), true, exited(1)).is_err());
            }
            let killed = ExitStatus::from_raw(SIGKILL);
            assert_eq!(judged(of(kind, SIGKILL), true, killed), Ok(End::Killed));
            assert!(judged(of(kind, SIGTERM), true, killed).is_err());
            // A command may be done before; nothing else ends by itself.
            let done = judged(of(kind, SIGKILL), true, exited(0));
            assert_eq!(done.is_ok(), kind == Kind::Exec);
        }
        let hung_up = ExitStatus::from_raw(SIGHUP);
        assert!(judged(of(Kind::Record, SIGHUP), true, hung_up).is_err());
        assert_eq!(
            judged(of(Kind::Trace, SIGHUP), true, hung_up),
            Ok(End::Killed)
        );
        assert_eq!(
            judged(of(Kind::Exec, SIGTERM), true, exited(143)),
            Ok(End::Well)
        );
    }
}
