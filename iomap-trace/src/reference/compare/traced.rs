//! What the tracer saw of the kernel's own column, and what other policies would have made of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::correlate::{Engine, Judged};
use crate::event::{Event, HookState, OutcomeKind, Phase};
use crate::log::Reader;
use crate::reference::policy::EBUSY;
use crate::reference::{Next, Policy};

/// What a policy would have made of the failures before submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Writes through the page cache.
    pub buffered: u64,
    /// Writes made directly over a page that stayed: the page cache may be stale.
    pub stale_risk: u64,
    /// Errors to the caller.
    pub errors: u64,
}

impl Outlook {
    fn add(&mut self, next: Next) {
        match next {
            Next::Buffered => self.buffered += 1,
            Next::GoOn => self.stale_risk += 1,
            Next::Fail(_) => self.errors += 1,
        }
    }
}

/// What the tracer saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// Release of the kernel.
    pub release: String,
    /// Plan of the probes.
    pub plan: String,
    /// Hooks without a probe: what they tell is not known.
    pub without: Vec<String>,
    /// Direct writes that reached the kernel's direct path, where a probe sees them.
    pub direct_writes: Option<u64>,
    /// Invalidations that failed before submission.
    pub pre: u64,
    /// Pages that btrfs met while it mapped the range.
    pub map: u64,
    /// Invalidations that failed after completion.
    pub post: u64,
    /// All of these by cause.
    pub causes: BTreeMap<String, u64>,
    /// Those that were the writer's own doing.
    pub self_inflicted: u64,
    /// All of these by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Records that were lost: everything may be more.
    pub lost: u64,
    /// What each policy would have made of the failures before submission and while mapping.
    pub outlook: BTreeMap<String, Outlook>,
    /// Policies that would have made of each failure before submission what the kernel did.
    pub behaves_as: Vec<String>,
}

impl Traced {
    /// Reads the log of the run.
    ///
    /// # Errors
    /// When it cannot be read to its end.
    pub(super) fn read(log: &Path) -> Result<Self> {
        let mut tally = Tally::default();
        let mut engine = None;
        let mut judged = Vec::new();
        for event in Reader::open(log)? {
            match event? {
                Event::Start(start) => {
                    engine = Some(Engine::new(&start));
                    tally.start(&start);
                }
                Event::End(end) => tally.end(&end),
                event => {
                    if let Some(engine) = &mut engine {
                        engine.push(event, &mut judged);
                    }
                }
            }
            judged.drain(..).for_each(|judged| tally.judged(&judged));
        }
        if let Some(mut engine) = engine {
            engine.finish(&mut judged);
            judged.iter().for_each(|judged| tally.judged(judged));
        }
        Ok(tally.done())
    }
}

#[derive(Debug, Default)]
struct Tally {
    traced: Traced,
    dio: bool,
    /// Whether each policy of [`Policy::ALL`] has done otherwise than the kernel.
    otherwise: [bool; Policy::ALL.len()],
}

impl Tally {
    fn start(&mut self, start: &crate::event::Start) {
        self.traced.release.clone_from(&start.kernel.release);
        self.traced.plan.clone_from(&start.plan);
        for hook in &start.hooks {
            match hook.state {
                HookState::Attached => self.dio |= hook.hook == "dio",
                HookState::Skipped => self.traced.without.push(hook.hook.clone()),
            }
        }
    }

    fn end(&mut self, end: &crate::event::End) {
        let writes = end.counters.get("dio.writes").copied();
        self.traced.direct_writes = writes.filter(|_| self.dio);
        self.traced.lost += end.losses.values().sum::<u64>();
    }

    fn judged(&mut self, Judged { failure, verdict }: &Judged) {
        if verdict.withdrawn.is_some() {
            return;
        }
        let traced = &mut self.traced;
        let add = |map: &mut BTreeMap<String, u64>, name: &str| {
            *map.entry(name.to_owned()).or_default() += 1;
        };
        add(&mut traced.causes, verdict.cause.name());
        add(&mut traced.outcomes, outcome(verdict.outcome));
        traced.self_inflicted += u64::from(verdict.self_inflicted);
        match failure.phase {
            Phase::Pre => traced.pre += 1,
            Phase::Map => traced.map += 1,
            Phase::Post => traced.post += 1,
        }
        if failure.phase == Phase::Post {
            return;
        }
        // What was seen by its tracepoint alone has no errno; all that is likely there is EBUSY.
        let errno = failure.errno.unwrap_or(EBUSY);
        for (policy, otherwise) in Policy::ALL.into_iter().zip(&mut self.otherwise) {
            let next = match failure.phase {
                Phase::Map => policy.after_mapping(),
                _ => policy.after_invalidation(errno),
            };
            let outlook = traced.outlook.entry(policy.name().to_owned());
            outlook.or_default().add(next);
            *otherwise |= !matches!(
                (next, verdict.outcome),
                (_, OutcomeKind::Unknown)
                    | (Next::Buffered, OutcomeKind::BufferedFallback)
                    | (Next::GoOn, OutcomeKind::StaleCache)
                    | (Next::Fail(_), OutcomeKind::Error)
            );
        }
    }

    fn done(mut self) -> Traced {
        if self.traced.pre + self.traced.map > 0 {
            let policies = Policy::ALL.into_iter().zip(self.otherwise);
            let alike = policies.filter(|(_, otherwise)| !otherwise);
            self.traced.behaves_as = alike.map(|(policy, _)| policy.name().to_owned()).collect();
        }
        self.traced
    }
}

fn outcome(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::BufferedFallback => "buffered-fallback",
        OutcomeKind::StaleCache => "stale-cache",
        OutcomeKind::Error => "error",
        OutcomeKind::Unknown => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::model::{Culprit, Degrade, Scenario};
    use std::io::Write as _;

    fn log_of(culprit: Culprit, policy: Policy) -> Traced {
        let run = Scenario::directed(culprit, policy, 1).play_in_words();
        let mut log = tempfile::NamedTempFile::new().unwrap();
        for event in run.events(Degrade::default()) {
            serde_json::to_writer(&mut log, &event).unwrap();
            log.write_all(b"\n").unwrap();
        }
        Traced::read(log.path()).unwrap()
    }

    #[test]
    fn the_models_kernel_is_told_by_what_it_does() {
        let traced = log_of(Culprit::OrderedIo, Policy::Fallback);
        assert!(traced.pre > 0, "{traced:?}");
        assert_eq!(traced.causes["ordered-io"], traced.pre);
        assert_eq!(traced.behaves_as, ["generic", "fallback", "enotblk"]);
        let of = |policy: Policy| traced.outlook[policy.name()];
        assert_eq!(of(Policy::Warn).stale_risk, traced.pre);
        assert_eq!(of(Policy::Generic).buffered, traced.pre);
        assert_eq!(of(Policy::Strict).errors, traced.pre);
    }

    #[test]
    fn an_error_to_the_caller_is_strict() {
        let traced = log_of(Culprit::OrderedIo, Policy::Strict);
        assert_eq!(traced.behaves_as, ["strict"], "{traced:?}");
    }
}
