//! Whether this kernel takes probes of a kind, found by trying with an empty program.

use aya::Ebpf;
use aya::programs::{FExit, KProbe};
use std::collections::BTreeMap;

use super::hooks::Better;
use crate::event::Rejected;

/// Answers of the trials, asked once for each kind.
#[derive(Default)]
pub struct Trials {
    answers: BTreeMap<&'static str, Result<(), String>>,
}

impl Trials {
    /// Why the better probes of a hook are not used.
    pub fn reject(&mut self, ebpf: &mut Ebpf, better: &[Better]) -> Vec<Rejected> {
        better
            .iter()
            .map(|probe| {
                let kind = if probe.via == "kprobe" {
                    "kprobe"
                } else {
                    "fexit"
                };
                let answer = self
                    .answers
                    .entry(kind)
                    .or_insert_with(|| try_kind(ebpf, kind));
                let why = match answer {
                    Ok(()) => format!(
                        "possible on {}, but this version of iomap-trace has no such program yet",
                        probe.symbol
                    ),
                    Err(why) => why.clone(),
                };
                Rejected {
                    via: probe.via.to_owned(),
                    why,
                }
            })
            .collect()
    }
}

fn try_kind(ebpf: &mut Ebpf, kind: &str) -> Result<(), String> {
    const SYMBOL: &str = "invalidate_inode_pages2_range";
    let program = format!("trial_{kind}");
    let program = ebpf
        .program_mut(&program)
        .ok_or("the object lacks its trial program")?;
    if kind == "fexit" {
        let types = aya::Btf::from_sys_fs().map_err(root_cause)?;
        let fexit: &mut FExit = program.try_into().map_err(root_cause)?;
        fexit
            .load(SYMBOL, &types)
            .map_err(|e| format!("loading is refused: {}", root_cause(e)))?;
        fexit
            .attach()
            .map_err(|e| format!("attaching is refused: {}", root_cause(e)))?;
        return fexit.unload().map_err(root_cause);
    }
    let kprobe: &mut KProbe = program.try_into().map_err(root_cause)?;
    kprobe
        .load()
        .map_err(|e| format!("loading is refused: {}", root_cause(e)))?;
    kprobe
        .attach(SYMBOL, 0)
        .map_err(|e| format!("the kernel has no kprobes ({})", root_cause(e)))?;
    kprobe.unload().map_err(root_cause)
}

/// The innermost error, on one line: the outer ones only repeat what was tried.
pub fn root_cause(error: impl std::error::Error + 'static) -> String {
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    let text = inner.to_string();
    let line = text.lines().next().unwrap_or_default();
    let denied = inner
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
    if denied {
        return format!("{line}, though the privileges suffice: a policy of this host or kernel");
    }
    line.to_owned()
}
