//! Where the kernel's pseudo-filesystems are.

use std::path::PathBuf;

/// Directories to read from. Tests point them at fixtures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Type information, `/sys/kernel/btf`.
    pub btf: PathBuf,
    /// procfs, `/proc`.
    pub proc: PathBuf,
    /// sysfs, `/sys`.
    pub sys: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            btf: "/sys/kernel/btf".into(),
            proc: "/proc".into(),
            sys: "/sys".into(),
        }
    }
}

impl Roots {
    /// A file below procfs as text, trimmed; `None` when it cannot be read.
    pub fn proc_text(&self, path: &str) -> Option<String> {
        text(self.proc.join(path))
    }

    /// A file below sysfs as text, trimmed; `None` when it cannot be read.
    pub fn sys_text(&self, path: &str) -> Option<String> {
        text(self.sys.join(path))
    }
}

fn text(path: PathBuf) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
