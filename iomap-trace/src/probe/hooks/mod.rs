//! The hook table: what we want to see, and in each plan the programs that can show it.

mod parties;
mod writes;

use super::hook::Hook;

/// Name of a hook that post failures hang on.
pub const DIO: &str = "dio";
/// Name of the hook that tells of post failures.
pub const STALE_WARN: &str = "stale-warn";
/// The hook without which there is nothing to trace.
pub const ESSENTIAL: &str = "invalidate";

/// Evidence first, failures last: when the first failure is seen, its evidence is there. Of a direct
/// write the end comes first, and its begin last: what is known of a write that is over would be
/// believed of the next one of its task.
pub const HOOKS: &[Hook] = &[
    parties::DIRTY,
    parties::CACHED,
    parties::WRITEBACK_ERROR,
    parties::EXTENT_LOCK,
    parties::ORDERED,
    parties::RELEASE,
    writes::DIO,
    writes::STALE_WARN,
    writes::INVALIDATE,
];

/// Programs sorted by this are in the order in which they are to be detached: first the hooks that tell
/// of failures, which without the others would tell them wrongly, and of a hook the end of a write
/// before its begin, as it tells, too. What the table does not have comes last.
pub fn detached_at(program: &str) -> (usize, usize) {
    let program = spared(program);
    let of_hook = |hook: &Hook| hook.attaches().position(|attach| attach.program == program);
    let mut hooks = HOOKS.iter().rev().enumerate();
    hooks
        .find_map(|(at, hook)| Some((at, of_hook(hook)?)))
        .unwrap_or((HOOKS.len(), 0))
}

/// The program that a spare stands in for, or the program itself.
pub fn spared(program: &str) -> &str {
    program.strip_suffix("_spare").unwrap_or(program)
}

/// The hooks for which a program runs; none for a program that the table does not have.
pub fn hook_of(program: &str) -> &'static [&'static str] {
    let has = |hook: &&Hook| hook.attaches().any(|attach| attach.program == program);
    HOOKS
        .iter()
        .find(has)
        .map_or(&[], |hook| std::slice::from_ref(&hook.name))
}

#[cfg(test)]
mod tests {
    use super::super::choice::Plan;
    use super::super::hook::{Attach, Kind, Way};
    use super::*;

    #[test]
    fn the_correlator_knows_the_same_hooks() {
        let mut here: Vec<&str> = HOOKS.iter().map(|hook| hook.name).collect();
        let mut there = crate::correlate::HOOKS.to_vec();
        here.sort_unstable();
        there.sort_unstable();
        assert_eq!(here, there);
    }

    #[test]
    fn every_slot_that_a_hook_needs_exists() {
        let slots: Vec<_> = iomap_trace_ebpf::FIELDS.iter().map(|f| f.slot).collect();
        for hook in HOOKS {
            for need in hook.ways.iter().flat_map(|way| way.needs) {
                assert!(slots.contains(need), "{} needs {need}", hook.name);
            }
        }
        assert_eq!(HOOKS.last().map(|h| h.name), Some(ESSENTIAL));
    }

    #[test]
    fn what_tells_of_failures_is_detached_first() {
        let mut programs = [
            "page_dirtied",
            "dio_begin_spare",
            "dio_complete",
            "fentry_post_note",
            "fentry_stale_warn",
            "fexit_invalidate",
            "dio_begin",
            "invalidate_fail",
            "fentry_post",
        ];
        programs.sort_by_key(|program| detached_at(program));
        assert_eq!(
            programs,
            [
                "fexit_invalidate",
                "invalidate_fail",
                "fentry_stale_warn",
                "dio_complete",
                "fentry_post",
                "dio_begin_spare",
                "dio_begin",
                "page_dirtied",
                "fentry_post_note",
            ]
        );
    }

    #[test]
    fn the_end_of_a_write_is_seen_before_its_begin() {
        let generic = |attach: &Attach| attach.target == writes::GENERIC;
        // Of which the first ends what the others begin.
        let ends = ["complete", "exit_generic", "kretprobe_generic"];
        let begins = ["dio_begin", "dio_rw", "entry_generic", "kprobe_generic"];
        let dio = HOOKS.iter().find(|hook| hook.name == DIO).unwrap();
        for way in dio.ways {
            let first_other = way.attaches().position(|attach| !generic(attach));
            let last_generic = way
                .attaches()
                .enumerate()
                .filter(|(_, a)| generic(a))
                .last();
            assert!(last_generic.is_none_or(|(at, _)| Some(at) < first_other));
            for choice in way.parts.iter().flat_map(|part| part.choices) {
                let at = |words: &[&str]| {
                    let is = |word: &&str| choice.iter().position(|a| a.program.ends_with(word));
                    words.iter().find_map(is)
                };
                assert_eq!(at(&ends), Some(0), "{choice:?}");
                let posts = at(&["_post", "entry_complete", "kprobe_complete"]);
                let begin = at(&begins);
                assert!(begin.is_none_or(|at| at + 1 == choice.len()), "{choice:?}");
                assert!(begin.is_none() || posts < begin, "{choice:?}");
            }
        }
    }

    #[test]
    fn a_plan_without_a_way_has_a_reason() {
        for (hook, plan) in HOOKS
            .iter()
            .flat_map(|h| Plan::ALL.iter().map(move |p| (h, p)))
        {
            let has_way = hook.ways.iter().any(|way| way.plans.contains(plan));
            assert!(has_way || !hook.without.is_empty(), "{} {plan}", hook.name);
        }
    }

    #[test]
    fn tracepoints_alone_use_nothing_else() {
        let ways = HOOKS.iter().flat_map(|hook| hook.ways);
        let ways = ways.filter(|way| way.plans.contains(&Plan::Tracepoint));
        for attach in ways.flat_map(Way::attaches) {
            assert_eq!(attach.kind, Kind::RawTp, "{}", attach.program);
        }
    }
}
