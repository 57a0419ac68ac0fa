//! Whether this kernel takes probes of a plan, found by trying with an empty program.

use aya::programs::{FExit, KProbe, RawTracePoint};
use aya::{Btf, Ebpf};

use super::choice::Plan;
use crate::kernel::Privileges;

/// What the empty programs go to.
pub const SYMBOL: &str = "invalidate_inode_pages2_range";

/// Attaches an empty program and takes it away again.
///
/// # Errors
/// Why the kernel does not take it, in one line.
pub fn plan(
    ebpf: &mut Ebpf,
    plan: Plan,
    btf: Option<&Btf>,
    privileges: &Privileges,
) -> Result<(), String> {
    match plan {
        Plan::Tracepoint => Ok(()),
        Plan::Fexit => fexit(ebpf, btf),
        Plan::Kprobe => kprobe(ebpf, privileges),
    }
}

fn fexit(ebpf: &mut Ebpf, btf: Option<&Btf>) -> Result<(), String> {
    let btf = btf.ok_or("the types of vmlinux cannot be read")?;
    let program = ebpf.program_mut("trial_fexit");
    let program = program.ok_or("the object lacks its trial program")?;
    let program: &mut FExit = program.try_into().map_err(root_cause)?;
    program
        .load(SYMBOL, btf)
        .map_err(|e| format!("loading is refused: {}", root_cause(e)))?;
    program
        .attach()
        .map_err(|e| format!("attaching is refused: {}", root_cause(e)))?;
    program.unload().map_err(root_cause)
}

fn kprobe(ebpf: &mut Ebpf, privileges: &Privileges) -> Result<(), String> {
    let program = ebpf.program_mut("trial_kprobe");
    let program = program.ok_or("the object lacks its trial program")?;
    let program: &mut KProbe = program.try_into().map_err(root_cause)?;
    program
        .load()
        .map_err(|e| format!("loading is refused: {}", root_cause(e)))?;
    program
        .attach(SYMBOL, 0)
        .map_err(|e| match kprobe_denied(&e, privileges) {
            Some(why) => why,
            None => format!("the kernel has no kprobes ({})", root_cause(e)),
        })?;
    program.unload().map_err(root_cause)
}

/// Loads a program that reads without a helper: one of this kind and one of the others are refused
/// for the same reasons.
///
/// # Errors
/// Why the kernel does not take it, in one line.
pub fn cast(ebpf: &mut Ebpf) -> Result<(), String> {
    let program = ebpf.program_mut("trial_cast");
    let program = program.ok_or("the object lacks its trial program")?;
    let program: &mut RawTracePoint = program.try_into().map_err(root_cause)?;
    program.load().map_err(root_cause)?;
    program.unload().map_err(root_cause)
}

/// Why a kprobe was denied, if it was, and the host says why.
pub fn kprobe_denied(
    error: &(dyn std::error::Error + 'static),
    privileges: &Privileges,
) -> Option<String> {
    let told = is_denied(innermost(error)) && privileges.kprobes_want_admin();
    told.then(|| {
        "kprobes are for CAP_SYS_ADMIN alone on this host (kernel.perf_event_paranoid above 2)"
            .to_owned()
    })
}

fn innermost<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner
}

fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
}

/// The innermost error, on one line: the outer ones only repeat what was tried.
pub fn root_cause(error: impl std::error::Error + 'static) -> String {
    let inner = innermost(&error);
    let text = inner.to_string();
    let line = text.lines().next().unwrap_or_default();
    if is_denied(inner) {
        return format!("{line}, though the privileges suffice: a policy of this host or kernel");
    }
    line.to_owned()
}
