//! Loads the programs of a plan before any of them is attached, several at a time.
//!
//! Nearly all the time of a start is the verifier's, on a few large programs; it works on one
//! program for each caller. Attaching, which follows in the order of the hook table, then takes less
//! than a millisecond for a program, and with it the time in which only some of the hooks see.

use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::attach::Attacher;
use super::hook::{Attach, Hook, Kind, Part};
use super::program::{load, unload};

/// A program that is wanted, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    program: &'static str,
    target: String,
    /// It is verified for this function, and for no other.
    bound: bool,
}

/// What came of a job.
#[derive(Debug)]
struct Done {
    job: Job,
    result: Result<(), ProgramError>,
    took: Duration,
}

/// What had come of a program.
#[derive(Debug)]
pub enum Taken {
    /// It was loaded or refused.
    Done(Result<(), ProgramError>),
    /// The same, for another function: it is to be unloaded.
    ForAnother,
    /// It was not tried.
    Nothing,
}

/// The programs that were loaded, or were refused, and are not attached yet.
#[derive(Debug, Default)]
pub struct Ahead {
    done: BTreeMap<&'static str, Done>,
    took: Vec<(&'static str, Duration)>,
}

impl Ahead {
    /// Loads what `attacher` will want of `hooks`, as far as that can be told. What it wants besides
    /// it loads itself.
    pub fn load(attacher: &Attacher<'_>, ebpf: &mut Ebpf, hooks: &[Hook]) -> Self {
        let jobs = wanted(attacher, hooks);
        let mut programs: BTreeMap<String, &mut Program> = ebpf
            .programs_mut()
            .map(|(name, program)| (name.to_owned(), program))
            .collect();
        let pairs = jobs.into_iter().filter_map(|job| {
            let program = programs.remove(job.program)?;
            Some((job, program))
        });
        // Taken from the end: the last hooks are those with the largest programs, and a large
        // program that is begun late makes all wait.
        let done = all(pairs.collect(), attacher.btf);
        let took = done.iter().map(|done| (done.job.program, done.took));
        Self {
            took: took.collect(),
            done: done
                .into_iter()
                .map(|done| (done.job.program, done))
                .collect(),
        }
    }

    /// What came of loading a program, once, when it was loaded for `target` or for any.
    pub fn take(&mut self, program: &str, target: &str) -> Taken {
        match self.done.remove(program) {
            None => Taken::Nothing,
            Some(done) if done.job.bound && done.job.target != target => Taken::ForAnother,
            Some(done) => Taken::Done(done.result),
        }
    }

    /// Whether nobody has taken the program yet.
    pub fn has(&self, program: &str) -> bool {
        self.done.contains_key(program)
    }

    /// Unloads what nobody took.
    pub fn unload_rest(&mut self, ebpf: &mut Ebpf) {
        for program in std::mem::take(&mut self.done).into_keys() {
            unload(ebpf, program);
        }
    }

    /// For how long each program was loaded, the longest first.
    pub fn took(mut self) -> Vec<(&'static str, Duration)> {
        self.took.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        self.took
    }
}

/// The programs that a run of `attacher` would attach, each once, in its order.
fn wanted(attacher: &Attacher<'_>, hooks: &[Hook]) -> Vec<Job> {
    let mut seen = BTreeSet::new();
    let mut jobs = Vec::new();
    for hook in hooks {
        let mut ways = hook.ways.iter();
        let way = ways.find(|way| {
            way.plans.contains(&attacher.plan) && attacher.impossible(hook, way).is_none()
        });
        let Some(way) = way else { continue };
        for part in way.parts {
            let likely = likely(attacher, part).unwrap_or_default();
            jobs.extend(likely.into_iter().filter(|job| seen.insert(job.program)));
        }
    }
    jobs
}

/// The first choice of which everything is there; `None` when there is none.
fn likely(attacher: &Attacher<'_>, part: &Part) -> Option<Vec<Job>> {
    let job = |attach: &Attach| {
        if attacher.tracepoint_absent(attach) {
            return None;
        }
        Some(Job {
            program: attach.program,
            target: attacher.target(attach).ok()?,
            bound: matches!(attach.kind, Kind::Fentry | Kind::Fexit),
        })
    };
    let mut choices = part.choices.iter();
    choices.find_map(|choice| choice.iter().map(job).collect())
}

/// Loads programs on as many threads as there are processors, the last one first.
fn all(pairs: Vec<(Job, &mut Program)>, btf: Option<&Btf>) -> Vec<Done> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let others = processors.min(pairs.len()).saturating_sub(1);
    let done = Mutex::new(Vec::with_capacity(pairs.len()));
    let pairs = Mutex::new(pairs);
    let work = || {
        loop {
            let next = lock(&pairs).pop();
            let Some((job, program)) = next else { return };
            let begun = Instant::now();
            let result = load(program, &job.target, btf);
            let took = begun.elapsed();
            lock(&done).push(Done { job, result, took });
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..others {
            let thread = std::thread::Builder::new().name("load".to_owned());
            // With fewer threads it takes longer, and that is all.
            if thread.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A panic of another thread ends the scope with a panic as well: what is locked stays usable.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(program: &'static str, target: &str, bound: bool) -> (&'static str, Done) {
        let job = Job {
            program,
            target: target.to_owned(),
            bound,
        };
        let done = Done {
            job,
            result: Ok(()),
            took: Duration::ZERO,
        };
        (program, done)
    }

    #[test]
    fn a_program_is_taken_once_and_only_for_its_function() {
        let mut ahead = Ahead {
            done: BTreeMap::from([
                done("fentry_release", "folio_unmap_invalidate", true),
                done("page_dirtied", "writeback_dirty_folio", false),
            ]),
            took: Vec::new(),
        };
        let taken = ahead.take("fentry_release", "filemap_release_folio");
        assert!(matches!(taken, Taken::ForAnother), "{taken:?}");
        let taken = ahead.take("fentry_release", "filemap_release_folio");
        assert!(matches!(taken, Taken::Nothing), "{taken:?}");
        let taken = ahead.take("page_dirtied", "writeback_dirty_page");
        assert!(matches!(taken, Taken::Done(Ok(()))), "{taken:?}");
        assert!(ahead.done.is_empty() && !ahead.has("page_dirtied"));
    }
}
