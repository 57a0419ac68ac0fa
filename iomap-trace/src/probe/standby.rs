//! Standby: most hooks wait, loaded and detached, until a failure is seen.
//!
//! Who might be in the way is followed at a price, whether something fails or not. What tells of a
//! failure costs next to nothing, so a host that is watched for months can do with that until there
//! is one: then the rest is attached. Of the first failure the other party is not known.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::maps::Array;
use aya::programs::ProgramError;
use std::time::{Duration, Instant};

use super::hook::Attach;
use super::hooks::DIO;
use super::program::{attach_to, unload};
use super::trial::root_cause;

/// Added to what is said of a hook that waits.
pub const WAITS: &str = "attached at the first failure";

/// A program that is loaded, and what it is for.
#[derive(Clone, Debug)]
struct Waiting {
    hook: &'static str,
    program: &'static str,
    target: String,
}

/// The programs that wait, in the order in which they are to be attached.
#[derive(Debug, Default)]
pub struct Standby {
    waiting: Vec<Waiting>,
    /// Programs that are attached instead.
    stand_ins: Vec<&'static str>,
}

/// What became of attaching them.
#[derive(Debug)]
pub struct Roused {
    /// Hooks that see from now on.
    pub hooks: Vec<&'static str>,
    /// Hooks that could not be attached any more, and why.
    pub failed: Vec<(&'static str, String)>,
    /// How long it took.
    pub took: Duration,
}

impl Standby {
    /// Lets a program of a hook wait.
    pub fn holds(&mut self, hook: &'static str, program: &'static str, target: String) {
        self.waiting.push(Waiting {
            hook,
            program,
            target,
        });
    }

    /// These are attached as long as others wait.
    pub fn has(&mut self, stand_ins: &[Attach]) {
        self.stand_ins.extend(stand_ins.iter().map(|s| s.program));
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether this program waits.
    pub fn keeps_back(&self, program: &str) -> bool {
        let mut waiting = self.waiting.iter();
        waiting.any(|waiting| waiting.program == program)
    }

    /// The hooks that wait, each once.
    pub fn hooks(&self) -> Vec<&'static str> {
        let mut hooks: Vec<_> = self.waiting.iter().map(|waiting| waiting.hook).collect();
        hooks.dedup();
        hooks
    }

    /// The hook is not to be attached any more.
    pub fn drop_hook(&mut self, hook: &str) {
        self.waiting.retain(|waiting| waiting.hook != hook);
    }

    /// To be called when all hooks were attached, or wait. What they noted while they were tried is
    /// not to be believed later, so until now direct writes were not followed.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn settle(&self, ebpf: &mut Ebpf) -> Result<()> {
        match self.hooks().contains(&DIO) {
            true => Ok(()),
            false => follow_writes(ebpf),
        }
    }

    /// Attaches all that waits, and takes away what stood in for it.
    pub fn rouse(&mut self, ebpf: &mut Ebpf) -> Roused {
        let began = Instant::now();
        let mut roused = Roused {
            hooks: self.hooks(),
            failed: Vec::new(),
            took: Duration::ZERO,
        };
        for waiting in std::mem::take(&mut self.waiting) {
            let attached = match ebpf.program_mut(waiting.program) {
                Some(program) => attach_to(program, &waiting.target).map(drop),
                None => Err(ProgramError::NotLoaded),
            };
            if let Err(e) = attached {
                let why = format!("{} {}: {}", waiting.program, waiting.target, root_cause(e));
                roused.failed.push((waiting.hook, why));
            }
        }
        // Not before: a write whose end is not seen would be taken for the next one of its task.
        if !roused.failed.iter().any(|(hook, _)| *hook == DIO)
            && let Err(e) = follow_writes(ebpf)
        {
            roused.failed.push((DIO, format!("{e:#}")));
        }
        for program in std::mem::take(&mut self.stand_ins) {
            unload(ebpf, program);
        }
        // Half a hook is none.
        let half = |hook: &&str| roused.failed.iter().any(|(failed, _)| failed == hook);
        roused.hooks.retain(|hook| !half(hook));
        roused.took = began.elapsed();
        roused
    }
}

/// Lets the programs follow direct writes.
fn follow_writes(ebpf: &mut Ebpf) -> Result<()> {
    let map = ebpf.map_mut("AWAKE").context("the object lacks a map")?;
    let mut awake = Array::<_, u64>::try_from(map)?;
    awake.set(0, 1, 0).context("direct writes are not followed")
}
