//! tracefs, where it is mounted. It is only read: nothing here mounts it or writes to it.

use std::path::{Path, PathBuf};

use super::mountinfo::MountLine;

mod format;
pub use format::{Field, Format};

/// A readable tracefs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracefs {
    root: PathBuf,
}

impl Tracefs {
    /// The first mounted tracefs; an error says why there is none, and what to do.
    pub fn find(mounts: &[MountLine]) -> Result<Self, String> {
        let mut mounted = mounts.iter().filter(|m| m.fs == "tracefs");
        let Some(mount) = mounted.next() else {
            let remedy = "mount -t tracefs nodev /sys/kernel/tracing";
            return Err(format!("tracefs is not mounted: {remedy}"));
        };
        Self::at(&mount.at)
    }

    /// The tracefs at `root`; an error says why it cannot be read.
    pub fn at(root: &Path) -> Result<Self, String> {
        match std::fs::read_dir(root.join("events")) {
            Ok(_) => Ok(Self {
                root: root.to_owned(),
            }),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(format!("{} cannot be read: run as root", root.display()))
            }
            Err(e) => Err(format!("{}/events cannot be read: {e}", root.display())),
        }
    }

    /// Where it is mounted.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it has the event `name` of `system` (`iomap`).
    pub fn has(&self, system: &str, name: &str) -> bool {
        self.event(system, name).is_dir()
    }

    /// Whether it has an event `name` of any system.
    pub fn has_any(&self, name: &str) -> bool {
        let systems = std::fs::read_dir(self.root.join("events"));
        let mut systems = systems.into_iter().flatten().flatten();
        systems.any(|system| system.path().join(name).is_dir())
    }

    /// The record layout of an event; an error says what is wrong with it.
    pub fn format(&self, system: &str, name: &str) -> Result<Format, String> {
        let path = self.event(system, name).join("format");
        let text = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Format::parse(&text).ok_or_else(|| format!("{}: not a format file", path.display()))
    }

    fn event(&self, system: &str, name: &str) -> PathBuf {
        self.root.join("events").join(system).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::mountinfo::parse;

    #[test]
    fn found_by_mountinfo() {
        let why = Tracefs::find(&parse(b"1 0 8:1 / / rw - ext4 x rw\n")).unwrap_err();
        assert!(why.contains("mount -t tracefs nodev /sys/kernel/tracing"));
        let dir = tempfile::tempdir().unwrap();
        let line = format!("2 1 0:9 / {} rw - tracefs x rw\n", dir.path().display());
        let mounts = parse(line.as_bytes());
        assert!(
            Tracefs::find(&mounts)
                .unwrap_err()
                .contains("events cannot be read")
        );
        let event = dir.path().join("events/iomap/iomap_dio_complete");
        std::fs::create_dir_all(&event).unwrap();
        let tracefs = Tracefs::find(&mounts).unwrap();
        assert!(tracefs.has("iomap", "iomap_dio_complete") && !tracefs.has("iomap", "other"));
        assert!(tracefs.has_any("iomap_dio_complete") && !tracefs.has_any("other"));
        let format = || tracefs.format("iomap", "iomap_dio_complete");
        assert!(format().unwrap_err().contains("No such file"));
        std::fs::write(event.join("format"), "ID: x").unwrap();
        assert!(format().unwrap_err().ends_with("not a format file"));
        std::fs::write(event.join("format"), "name: x\nID: 3\nformat:\n").unwrap();
        assert_eq!(format().unwrap().id, 3);
    }
}
