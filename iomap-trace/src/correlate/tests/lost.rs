//! What a claim rests on and was lost: the oracle's part.

use super::oracle::{Claim, Known};
use super::strategies::Told;
use crate::correlate::Cause;
use crate::event::*;

impl Known<'_> {
    /// Hooks that lost something on which the claim rests, in the order of this list.
    pub fn lost(&self, told: &Told, claim: &Claim) -> Vec<Text> {
        let failure = &told.failure;
        let begin = match failure.duration_ns {
            0 => failure.ts_ns - 1_000_000,
            long => failure.ts_ns - long,
        };
        let (mut from, mut to) = claim.window.unwrap_or((begin, failure.ts_ns));
        if claim.cause == Cause::Unknown {
            (from, to) = (from.min(begin), to.max(self.until(told)).max(failure.ts_ns));
        }
        // Hooks, and whether records of them are only written at the failure.
        let all = [
            ("invalidate", true),
            ("release", false),
            ("ordered", false),
            ("extent-lock", false),
            ("dirty", false),
            ("cached", false),
            ("dio", false),
            ("writeback-error", false),
            ("stale-warn", false),
            ("ring", true),
            ("later", true),
        ];
        let btrfs = failure.fs == "btrfs";
        let matters = |hook: &str| match (claim.cause, hook) {
            (Cause::Writeback | Cause::Journal | Cause::Buffers | Cause::Launder, _) => false,
            (_, "ring" | "later") => true,
            (Cause::WritebackError, "invalidate") => true,
            (Cause::OrderedIo | Cause::ExtentLock, "ordered" | "extent-lock") => true,
            (Cause::OrderedIo | Cause::ExtentLock, "cached") => !claim.refused,
            (Cause::Redirtied | Cause::Reappeared, "dirty" | "cached") => true,
            (Cause::WritebackError, "writeback-error" | "dio" | "dirty" | "release") => true,
            (Cause::Unknown, "ordered" | "extent-lock") => btrfs,
            (Cause::Unknown, "stale-warn") => failure.phase == Phase::Post,
            (Cause::Unknown, _) => true,
            _ => false,
        };
        let met = |hook: &str, late: bool| {
            let to = if late { to.max(failure.ts_ns) } else { to };
            let mut of = self.losses.iter().filter(|loss| loss.hook == hook);
            of.any(|loss| loss.since_ns <= to && from <= loss.ts_ns)
        };
        let lost = all
            .into_iter()
            .filter(|(hook, late)| matters(hook) && met(hook, *late));
        lost.map(|(hook, _)| hook.into()).collect()
    }
}
