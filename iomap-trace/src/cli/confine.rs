//! Gives up what the running tracer does not need.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use std::io;

use crate::log::Place;

/// What a run goes on to need, and for what.
///
/// - `BPF`: reading counters, where `kernel.unprivileged_bpf_disabled` is set (5.10 asks for it with
///   each call of `bpf(2)`); with `PERFMON`: the programs that stand in for missed ones (since 7.0).
/// - `SYS_PTRACE`, `DAC_READ_SEARCH`, `CHECKPOINT_RESTORE`: descriptors and mappings of other users'
///   processes, which lead to paths.
/// - `SYSLOG`: addresses of kernel symbols, read when the first stack comes.
const RUNNING: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::CHECKPOINT_RESTORE)
    .union(CapabilitySet::SYSLOG);

/// What else this run needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs<'a> {
    /// Parts of the log are to be made there, and old ones removed.
    pub parts_in: Option<&'a Place>,
    /// Parts of the log are to be given to another user: `CHOWN`.
    pub gives_away: bool,
    /// A signal is to be passed on to the command, which may run as another user: `KILL`.
    pub has_command: bool,
    /// Kprobes are to be attached later, on a host that wants `SYS_ADMIN` for it.
    pub kprobes_as_admin: bool,
}

/// Drops every capability that the run does not need, from all sets of this thread, and keeps it and
/// its children from gaining any. There must be no other thread yet.
///
/// # Errors
/// When the kernel refuses: then some may still be there.
pub fn confine(needs: Needs<'_>) -> io::Result<()> {
    set_no_new_privs(true)?;
    let had = capabilities(None)?;
    let mut kept = RUNNING;
    kept.set(CapabilitySet::CHOWN, needs.gives_away);
    kept.set(CapabilitySet::KILL, needs.has_command);
    kept.set(CapabilitySet::SYS_ADMIN, needs.kprobes_as_admin);
    kept &= had.permitted;
    if let Some(place) = needs.parts_in
        && had.permitted.contains(CapabilitySet::DAC_OVERRIDE)
    {
        // A directory of somebody else's: tried without it, as long as it can be had back.
        set(had.permitted, kept)?;
        if place.writable().is_err() {
            kept |= CapabilitySet::DAC_OVERRIDE;
        }
        set(had.permitted, had.effective)?;
    }
    if had.effective.contains(CapabilitySet::SETPCAP) {
        // All that the kernel knows, also those that this program does not.
        let beyond = (0..u64::BITS).map(|n| CapabilitySet::from_bits_retain(1 << n));
        for capability in beyond.filter(|capability| !kept.contains(*capability)) {
            if let Ok(true) = capability_is_in_bounding_set(capability) {
                remove_capability_from_bounding_set(capability)?;
            }
        }
    }
    clear_ambient_capability_set()?;
    set(kept, kept)
}

fn set(permitted: CapabilitySet, effective: CapabilitySet) -> io::Result<()> {
    let sets = CapabilitySets {
        effective,
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}
