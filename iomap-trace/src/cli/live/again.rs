//! A live run that goes on with other programs: those that waited for the first failure, those of a
//! filesystem that was loaded, and those of standby when all is quiet again.

use anyhow::Result;
use std::time::{Duration, Instant};

use super::super::accounts::Accounts;
use super::super::attach::{self, Attached};
use super::super::plan::Plan;
use super::super::say::Level;
use super::super::standby::Watch;
use super::Live;
use crate::capture::KernelLog;
use crate::cost::memory;

/// How often it is looked whether a filesystem was loaded meanwhile.
const MODULES: Duration = Duration::from_secs(2);

/// Why a run is to go on with other programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// A filesystem was loaded.
    Module,
    /// There was no failure for a while.
    Quiet,
}

impl Again {
    /// As the log's end has it.
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Module => "btrfs was loaded",
            Self::Quiet => "quiet",
        }
    }

    /// What is said of it.
    pub(super) fn told(self) -> String {
        let what = match self {
            Self::Module => "btrfs was loaded: its hooks are attached",
            Self::Quiet => "no failure for a while: in standby again",
        };
        format!("{what}, with a new run in the log")
    }
}

/// Said where other programs are attached, and what they cost cannot be measured.
const NOT_MEASURED: &str = "what the programs cost is not measured from now on: --max-overhead is \
                            not kept";

impl Live {
    /// Ends the run in the log, and begins another one with the programs that are right now.
    ///
    /// # Errors
    /// When they cannot be attached, or output cannot be written.
    pub(super) fn again(mut self, plan: &Plan, again: Again) -> Result<Self> {
        self.end(again.why())?;
        // Before others are loaded: both together would take twice the memory.
        let numbers = self.attached.source.numbers();
        drop(self.attached);
        memory::give_back();
        self.attached = attach::attach(&self.options)?;
        self.attached.source.number_from(numbers);
        memory::give_back();
        self.accounts = Accounts::new(self.upkeep.max_overhead);
        self.accounts.restart();
        self.standby = plan.upkeep.standby.map(Watch::new);
        if self.measure().is_err() {
            self.sink.say(Level::Warning, NOT_MEASURED);
        }
        self.kernel_log = KernelLog::open();
        self.begin()?;
        Ok(self)
    }

    /// Whether hooks wait for the first failure.
    pub(super) fn waits(&self) -> bool {
        self.standby.as_ref().is_some_and(Watch::waits)
    }

    /// Attaches the hooks that wait, if there was a failure; whether there was one.
    pub(super) fn rouse(&mut self) -> bool {
        let Attached { tracer, source, .. } = &mut self.attached;
        let watch = self.standby.as_mut();
        let Some(lines) = watch.and_then(|watch| watch.rouse(tracer, source)) else {
            return false;
        };
        for (level, line) in lines {
            self.sink.say(level, line);
        }
        true
    }

    /// On a timer: why the run is to go on with other programs, if it is.
    pub(super) fn other_programs(&mut self, plan: &Plan) -> Option<Again> {
        if self.waits() {
            self.rouse();
        } else if let Some(watch) = &mut self.standby
            // Which processes are the command's is known to the programs that are attached.
            && plan.command.is_empty()
            && watch.is_quiet(self.sink.session.summary().failures.total(), Instant::now())
        {
            return Some(Again::Quiet);
        }
        let came = self.attached.module_missing && self.module_came(plan);
        came.then_some(Again::Module)
    }

    /// Whether a filesystem came that had no hooks. Where they cannot be had, that is said once.
    fn module_came(&mut self, plan: &Plan) -> bool {
        if self.looked.elapsed() < MODULES {
            return false;
        }
        self.looked = Instant::now();
        if !attach::module_came() {
            return false;
        }
        // Which processes are the command's is known to the programs that are attached.
        let again = plan.command.is_empty();
        if !again {
            self.attached.module_missing = false;
            self.sink.say(
                Level::Warning,
                "btrfs was loaded after the start: this run goes on without its hooks",
            );
        }
        again
    }
}
