//! Second programs for hot hooks, attached as soon as any program is seen to be missed.
//!
//! Since 7.0 a task can be preempted inside a program on a tracepoint or an fentry; until it goes
//! on, the kernel skips that program on that CPU (`recursion_misses`). A second program at the same
//! place sees what the first has missed, and changes nothing where it has not.

use aya::{Btf, Ebpf};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use super::functions::Functions;
use super::hook::{Attach, Kind};
use super::program::{load_and_attach, unload};

/// How often the misses are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A program, and the one that stands in for it.
struct Spare {
    program: &'static str,
    spare: Attach,
}

const fn spare(
    program: &'static str,
    kind: Kind,
    name: &'static str,
    target: &'static str,
) -> Spare {
    Spare {
        program,
        spare: Attach {
            kind,
            program: name,
            target,
        },
    }
}

/// Programs that tell who held or touched what.
const PARTIES: &[&str] = &[
    "extent_lock",
    "extent_unlock",
    "ordered_add",
    "page_cached",
    "page_dirtied",
    "work_begin",
    "work_end",
];

const SPARES: &[Spare] = &[
    spare(
        "extent_lock",
        Kind::RawTp,
        "extent_lock_spare",
        "btrfs_set_extent_bit",
    ),
    spare(
        "extent_unlock",
        Kind::RawTp,
        "extent_unlock_spare",
        "btrfs_clear_extent_bit",
    ),
    spare(
        "dio_begin",
        Kind::RawTp,
        "dio_begin_spare",
        "iomap_dio_rw_begin",
    ),
    spare(
        "fentry_post",
        Kind::Fentry,
        "fentry_post_spare",
        "kiocb_invalidate_post_direct_write",
    ),
    spare(
        "fentry_release",
        Kind::Fentry,
        "fentry_release_spare",
        "folio_unmap_invalidate",
    ),
    spare(
        "fexit_unmap",
        Kind::Fexit,
        "fexit_unmap_spare",
        "folio_unmap_invalidate",
    ),
];

/// The spares that are attached, by the program they stand in for, with its misses until then.
#[derive(Default)]
pub struct Spares {
    attached: BTreeMap<&'static str, u64>,
    /// Those that could not be: they are not tried again.
    refused: Vec<&'static str>,
    /// When it was last looked.
    looked: Option<Instant>,
    /// Any program was missed.
    seen: bool,
}

/// The functions that spares for fentry and fexit go to.
pub fn targets() -> impl Iterator<Item = &'static str> {
    let spares = SPARES.iter().map(|spare| &spare.spare);
    spares
        .filter(|spare| matches!(spare.kind, Kind::Fentry | Kind::Fexit))
        .map(|spare| spare.target)
}

impl Spares {
    /// Attaches what is needed by now.
    pub fn mend(&mut self, ebpf: &mut Ebpf, functions: &Functions) {
        if self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.looked = Some(Instant::now());
        let settled = |spare: &&Spare| {
            self.attached.contains_key(spare.program) || self.refused.contains(&spare.program)
        };
        let open: Vec<_> = SPARES.iter().filter(|spare| !settled(spare)).collect();
        // Where one is missed, others will be.
        let any = |ebpf: &Ebpf| {
            let mut programs = ebpf.programs();
            programs.any(|(name, _)| missed(ebpf, name) > Some(0))
        };
        self.seen = self.seen || any(ebpf);
        if open.is_empty() || !self.seen {
            return;
        }
        let btf = OnceCell::new();
        for spare in open {
            let Some(missed) = missed(ebpf, spare.program) else {
                continue;
            };
            if attach(ebpf, &spare.spare, functions, &btf) {
                self.attached.insert(spare.program, missed);
            } else {
                unload(ebpf, spare.spare.program);
                self.refused.push(spare.program);
            }
        }
    }

    /// Misses of the programs that tell who held or touched what, if any was ever seen: cheaper
    /// than [`Spares::missed`], to be read often.
    pub fn missed_parties(&self, ebpf: &Ebpf) -> BTreeMap<String, u64> {
        if !self.seen {
            return BTreeMap::new();
        }
        let missed = PARTIES.iter().filter_map(|name| {
            let missed = self.missed_of(ebpf, name)?;
            Some((format!("{name}.missed"), missed))
        });
        missed.collect()
    }

    /// Runs that were missed, by `NAME.missed`: with a spare, at most those that both can have.
    /// Programs that wait have nothing to miss.
    pub fn missed(&self, ebpf: &Ebpf, waits: impl Fn(&str) -> bool) -> Vec<(String, u64)> {
        let spares = SPARES.iter().map(|spare| spare.spare.program);
        let spares: Vec<_> = spares.collect();
        ebpf.programs()
            .filter(|(name, _)| !spares.contains(name) && !waits(name))
            .filter_map(|(name, _)| {
                let missed = self.missed_of(ebpf, name)?;
                Some((format!("{name}.missed"), missed))
            })
            .collect()
    }

    fn missed_of(&self, ebpf: &Ebpf, name: &str) -> Option<u64> {
        let all = missed(ebpf, name)?;
        let spare = SPARES.iter().find(|spare| spare.program == name);
        let both = spare.and_then(|spare| {
            let before = *self.attached.get(name)?;
            let of_spare = missed(ebpf, spare.spare.program)?;
            Some(before + all.saturating_sub(before).min(of_spare))
        });
        Some(both.unwrap_or(all))
    }
}

fn attach(
    ebpf: &mut Ebpf,
    attach: &Attach,
    functions: &Functions,
    btf: &OnceCell<Option<Btf>>,
) -> bool {
    let btf = match attach.kind {
        Kind::Fentry | Kind::Fexit => btf.get_or_init(|| functions.btf().ok()).as_ref(),
        _ => None,
    };
    ebpf.program_mut(attach.program)
        .is_some_and(|program| load_and_attach(program, attach.target, btf).is_ok())
}

/// Runs that the kernel skipped because the program was running already (`recursion_misses`).
fn missed(ebpf: &Ebpf, program: &str) -> Option<u64> {
    let fd = ebpf.program(program)?.fd().ok()?.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}
