//! The committed BPF object.

use anyhow::{Context, Result};
use aya::{Ebpf, EbpfLoader};

use super::settings::Resolved;
use super::{blind, cast, trial};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/iomap-trace.bpf.o");

/// Level of aya-log at which the programs' own warnings are compiled in by the verifier.
const LOG_WARNINGS: u8 = 2;

/// Opens the object for one plan after the other.
pub struct Opener {
    verbose: bool,
    /// Whether the kernel takes casts, and if it does not, why, once that was tried.
    casts: Option<Result<(), String>>,
}

impl Opener {
    /// Nothing was tried yet. With `verbose` the programs tell their own warnings.
    pub const fn new(verbose: bool) -> Self {
        Self {
            verbose,
            casts: None,
        }
    }

    /// Creates the maps and prepares the programs; none is loaded yet. Where casts are refused
    /// `resolved` does without.
    ///
    /// # Errors
    /// When the kernel does not take the maps.
    pub fn open(&mut self, resolved: &mut Resolved) -> Result<Ebpf> {
        if matches!(self.casts, Some(Err(_))) {
            resolved.without_cast();
        }
        let mut ebpf = open(resolved, self.verbose)?;
        if self.casts.is_none() && resolved.cast.is_some() {
            let tried = trial::cast(&mut ebpf);
            if tried.is_err() {
                resolved.without_cast();
                drop(ebpf);
                ebpf = open(resolved, self.verbose)?;
            }
            self.casts = Some(tried);
        }
        Ok(ebpf)
    }

    /// How the programs read.
    pub fn reads(&self) -> String {
        match &self.casts {
            Some(Ok(())) => "casts".to_owned(),
            Some(Err(why)) => format!("helpers, since a cast is refused: {why}"),
            None => "helpers".to_owned(),
        }
    }
}

fn open(resolved: &Resolved, verbose: bool) -> Result<Ebpf> {
    let level = if verbose { LOG_WARNINGS } else { 0 };
    loader()
        .override_global("LAYOUT", &resolved.layout[..], true)
        .override_global("SETTINGS", &resolved.settings, true)
        .override_global("AYA_LOG_LEVEL", &level, true)
        .load(&cast::put(OBJECT, resolved.cast))
        .context("the kernel does not take the BPF maps")
}

/// A loader without the types of vmlinux: the programs are compiled without relocations.
///
/// `EbpfLoader::new` reads and keeps all of them before it can be told not to (aya 0.14), which
/// takes 30 MiB of memory and 20 ms for each object that is opened; it goes on without those that it
/// cannot open.
fn loader<'a>() -> EbpfLoader<'a> {
    let mut loader = blind::run(EbpfLoader::new).unwrap_or_else(EbpfLoader::new);
    loader.btf(None);
    loader
}
