//! One program: loaded, attached, detached, unloaded, whatever its kind.

use aya::programs::fentry::FEntryLinkId;
use aya::programs::fexit::FExitLinkId;
use aya::programs::kprobe::KProbeLinkId;
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf};

/// Loads a program and attaches it to `target`.
///
/// # Errors
/// Those of [`load`] and [`attach_to`].
pub fn load_and_attach(
    program: &mut Program,
    target: &str,
    btf: Option<&Btf>,
) -> Result<(), ProgramError> {
    load(program, target, btf)?;
    attach_to(program, target).map(drop)
}

/// Loads a program; one for fentry or fexit is loaded for the function `target`.
///
/// # Errors
/// Those of the kernel; [`ProgramError::NotLoaded`] when types are needed and there are none.
pub fn load(program: &mut Program, target: &str, btf: Option<&Btf>) -> Result<(), ProgramError> {
    match program {
        Program::RawTracePoint(program) => program.load(),
        Program::FEntry(program) => program.load(target, btf.ok_or(ProgramError::NotLoaded)?),
        Program::FExit(program) => program.load(target, btf.ok_or(ProgramError::NotLoaded)?),
        Program::KProbe(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Attaches a program that is loaded.
///
/// # Errors
/// Those of the kernel.
pub fn attach_to(program: &mut Program, target: &str) -> Result<Link, ProgramError> {
    match program {
        Program::RawTracePoint(program) => program.attach(target).map(Link::RawTp),
        Program::FEntry(program) => program.attach().map(Link::Fentry),
        Program::FExit(program) => program.attach().map(Link::Fexit),
        Program::KProbe(program) => program.attach(target, 0).map(Link::Kprobe),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Where a program is attached; the program itself owns it.
#[derive(Debug)]
pub enum Link {
    RawTp(RawTracePointLinkId),
    Fentry(FEntryLinkId),
    Fexit(FExitLinkId),
    Kprobe(KProbeLinkId),
}

/// Detaches a program so that it can be attached to `target` again. Before 5.13 one for fentry or fexit
/// can be attached once: then it is loaded anew.
pub fn hold_back(program: &mut Program, target: &str, link: Link, btf: Option<&Btf>) {
    detach(program, link);
    if !matches!(program, Program::FEntry(_) | Program::FExit(_)) {
        return;
    }
    match attach_to(program, target) {
        Ok(link) => detach(program, link),
        Err(_) => {
            unload_program(program);
            // It was loaded a moment before; if it is refused now, that is said when it is attached.
            let _ = load(program, target, btf);
        }
    }
}

/// Detaches a program, which stays loaded.
fn detach(program: &mut Program, link: Link) {
    let _ = match (program, link) {
        (Program::RawTracePoint(program), Link::RawTp(link)) => program.detach(link),
        (Program::FEntry(program), Link::Fentry(link)) => program.detach(link),
        (Program::FExit(program), Link::Fexit(link)) => program.detach(link),
        (Program::KProbe(program), Link::Kprobe(link)) => program.detach(link),
        _ => Ok(()),
    };
}

/// Unloads a program, which detaches it; one that was never loaded is left alone.
pub fn unload(ebpf: &mut Ebpf, program: &str) {
    if let Some(program) = ebpf.program_mut(program) {
        unload_program(program);
    }
}

/// As [`unload`].
pub fn unload_program(program: &mut Program) {
    let _ = match program {
        Program::RawTracePoint(program) => program.unload(),
        Program::FEntry(program) => program.unload(),
        Program::FExit(program) => program.unload(),
        Program::KProbe(program) => program.unload(),
        _ => Ok(()),
    };
}
