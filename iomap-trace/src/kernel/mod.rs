//! What the running kernel offers: types, symbols, tracefs, privileges, mounts. Only read.

pub mod btf;
pub mod btrfs;
pub mod constants;
pub mod details;
pub mod facts;
pub mod filesystems;
pub mod flags;
pub mod kallsyms;
pub mod layout;
mod lazy;
pub mod mountinfo;
pub mod mounts;
mod names;
mod notes;
pub mod privileges;
mod roots;
pub mod system;
pub mod tracefs;

use anyhow::Result;

pub use btf::{Missing, NoBtf, Types};
pub use constants::Constants;
pub use details::open_if;
pub use kallsyms::Symbols;
pub use layout::Resolved;
pub use names::Names;
pub use privileges::Privileges;
pub use roots::Roots;
pub use tracefs::Tracefs;

use crate::error::{ExitKind, Fail};
use crate::event::{Facts, Filesystem, FlagNames, KernelInfo, Mount};
use lazy::LazySymbols;

/// The running kernel, as far as this process may look.
pub struct Kernel {
    /// Release, build and architecture.
    pub info: KernelInfo,
    /// Size of a page in bytes.
    pub page_size: u64,
    /// Id of this boot.
    pub boot_id: String,
    /// What this process may do.
    pub privileges: Privileges,
    /// Type information.
    pub types: Result<Types, NoBtf>,
    /// tracefs, or why it cannot be used.
    pub tracefs: Result<Tracefs, String>,
    /// Where the layout of btrfs comes from.
    pub btrfs: btrfs::Source,
    /// Offsets for the programs.
    pub layout: Resolved,
    /// Constants for the programs.
    pub constants: Constants,
    /// Names of flag bits.
    pub flags: FlagNames,
    /// What follows for verdicts.
    pub facts: Facts,
    /// Mounts of disk filesystems.
    pub mounts: Vec<Mount>,
    /// What their filesystems say of themselves.
    pub filesystems: Vec<Filesystem>,
    roots: Roots,
    symbols: LazySymbols,
}

impl Kernel {
    /// Looks at everything, at the types and the symbols at the same time. Never fails: what cannot
    /// be read carries its reason.
    pub fn probe(roots: &Roots) -> Self {
        let symbols = LazySymbols::new(roots);
        let mut kernel = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("symbols".to_owned());
            // Without a thread they are read when they are first asked for.
            let _ = thread.spawn_scoped(scope, || symbols.get().is_ok());
            Self::look(roots)
        });
        kernel.symbols = symbols;
        let types = kernel.types.as_ref().ok();
        kernel.facts = facts::read(types, kernel.btrfs.build(), |name| {
            kernel.tracepoint_exists(name)
        });
        kernel
    }

    /// All but the symbols, and what follows from both.
    fn look(roots: &Roots) -> Self {
        let lines = mountinfo::read(roots);
        let filesystems = details::read(lines.as_deref().unwrap_or_default(), roots);
        let tracefs = match &lines {
            Ok(lines) => Tracefs::find(lines),
            Err(e) => Err(format!("the mounts cannot be read: {e}")),
        };
        let types = Types::load(roots);
        let known = types.as_ref().ok();
        let info = system::kernel_info();
        let btrfs = match &types {
            Ok(types) => {
                let loaded = has_filesystem(roots, "btrfs");
                btrfs::find(types, &info, roots, tracefs.as_ref().ok(), loaded)
            }
            Err(e) => btrfs::Source::Unknown(format!("no type information ({e})")),
        };
        Self {
            page_size: system::page_size(),
            boot_id: system::boot_id(roots),
            privileges: Privileges::read(roots),
            layout: match &types {
                Ok(types) => layout::resolve(types, &btrfs),
                Err(e) => Resolved::unknown(&format!("no type information ({e})")),
            },
            constants: known
                .map(|types| constants::read(types, btrfs.build()))
                .unwrap_or_default(),
            flags: known
                .map(|types| flags::read(types, btrfs.build()))
                .unwrap_or_default(),
            info,
            btrfs,
            mounts: mounts::disks(&lines.unwrap_or_default()),
            filesystems,
            types,
            tracefs,
            facts: Facts::default(),
            roots: roots.clone(),
            symbols: LazySymbols::new(roots),
        }
    }

    /// Kernel symbols, read on the first call; an error says why there are none.
    pub fn symbols(&self) -> Result<&Symbols, &str> {
        self.symbols.get()
    }

    /// What gives addresses names; no address has one when the symbols cannot be read. The types,
    /// which take most of the memory, are gone while they are packed.
    pub fn into_names(self) -> Names {
        drop(self.types);
        self.symbols.get().map(Symbols::names).unwrap_or_default()
    }

    /// The type information, or the error that ends the program without it.
    pub fn require_types(&self) -> Result<&Types> {
        self.types.as_ref().map_err(|e| {
            let message = format!(
                "this kernel gives no type information ({e}): run one built with \
                 CONFIG_DEBUG_INFO_BTF=y (Debian 11, Ubuntu 20.10, Fedora 31, RHEL 8.2 and later \
                 have it)"
            );
            Fail::error(ExitKind::NoProbe, message)
        })
    }

    /// Whether the kernel, or a module that is loaded, has a tracepoint; `None` when nothing
    /// that could be read can tell.
    pub fn tracepoint_exists(&self, name: &str) -> Option<bool> {
        let types = self.types.as_ref().ok();
        if types.is_some_and(|t| t.tracepoint_home(name).is_some()) {
            return Some(true);
        }
        // Not every module has types: only the symbols can deny.
        let symbols = self.symbols().ok().and_then(|s| s.has_tracepoint(name));
        symbols.or_else(|| Some(self.tracefs.as_ref().ok()?.has_any(name)))
    }

    /// Offset of a task's user registers from `task_struct.stack`, see [`constants::pt_regs_at`].
    pub fn pt_regs_at(&self) -> Option<u64> {
        let types = self.types.as_ref().ok()?;
        constants::pt_regs_at(&self.info.arch, types, self.symbols().ok()?)
    }

    /// Whether the kernel, or a module that is loaded, has a function of exactly this name in its
    /// symbols; `None` when they cannot be read.
    pub fn has_function(&self, name: &str) -> Option<bool> {
        let symbols = self.symbols().ok()?;
        (!symbols.is_empty()).then(|| symbols.has(name))
    }

    /// The build whose table gave the layout of btrfs; `None` when types did, or nothing.
    pub fn table(&self) -> Option<String> {
        self.btrfs.build().map(btrfs::Build::name)
    }

    /// Whether a filesystem type is registered; `None` when procfs does not tell.
    pub fn has_filesystem(&self, fs: &str) -> Option<bool> {
        has_filesystem(&self.roots, fs)
    }

    /// Numbers of the release, for notes only: nothing is decided by them.
    pub fn version(&self) -> Option<(u32, u32, u32)> {
        system::version(&self.info.release)
    }

    /// What this kernel will and will not show, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        notes::notes(self)
    }
}

fn has_filesystem(roots: &Roots, fs: &str) -> Option<bool> {
    let list = roots.proc_text("filesystems")?;
    Some(list.lines().any(|l| l.split('\t').next_back() == Some(fs)))
}
