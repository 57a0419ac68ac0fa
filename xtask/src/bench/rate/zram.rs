//! A filesystem on zram: nothing between it and memory, and writes can be made to fail.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::demo::images::Mounted;
use crate::util;

const CONTROL: &str = "/sys/class/zram-control";
/// Size of a device in bytes; it takes memory only for what is written. mkfs.xfs wants 300 MiB.
const SIZE: u64 = 512 << 20;
/// Time stamps stay in memory: a log that cannot be written would shut the filesystem down.
const OPTIONS: &str = "lazytime,noatime";

/// A mounted filesystem on a device of its own; both go with this value.
pub struct Disk {
    /// Its name.
    pub kind: &'static str,
    // Unmounted before its device goes.
    mounted: Mounted,
    zram: Zram,
}

impl Disk {
    /// Makes the device and the filesystem `kind` on it, and mounts it below `dir`.
    ///
    /// # Errors
    /// When the kernel has no zram, or `mkfs` or `mount` fails.
    pub fn new(kind: &'static str, mkfs: &[&str], dir: &Path) -> Result<Self> {
        let zram = Zram::new()?;
        let mounted = Mounted::device(&zram.path(), (kind, mkfs), OPTIONS, dir)?;
        Ok(Self {
            kind,
            mounted,
            zram,
        })
    }

    /// Its root directory.
    pub fn path(&self) -> &Path {
        self.mounted.path()
    }

    /// From now on, until the value goes, writes to the device fail with EIO (`zram_write_page`).
    /// For less than 30 s, and with no file open for writing at the start.
    ///
    /// # Errors
    /// When the limit cannot be set.
    pub fn fail(&self) -> Result<Failing<'_>> {
        // xfs writes its log every 30 s (`xfs_log_worker`), and shuts down if it cannot: a clean log
        // begins the 30 s anew.
        for how in ["ro", "rw"] {
            let options = format!("remount,{how},{OPTIONS}");
            let mut mount = Command::new("mount");
            util::output(mount.args(["-o", &options]).arg(self.path()))?;
        }
        let failing = Failing(&self.zram);
        // The least limit is one page, far below what is in use.
        self.zram.set("mem_limit", "4096")?;
        Ok(failing)
    }
}

/// Writes fail as long as this is there.
pub struct Failing<'a>(&'a Zram);

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.set("mem_limit", "0") {
            eprintln!("{error:#}");
        }
    }
}

/// The device.
struct Zram(String);

impl Zram {
    fn new() -> Result<Self> {
        let control = Path::new(CONTROL);
        if !control.exists() {
            // Where it is a module, this loads it; where it is not, the next step says so.
            let _ = Command::new("modprobe").arg("zram").status();
        }
        let number = fs::read_to_string(control.join("hot_add"))
            .context("this kernel gives no zram device: this bench needs one")?;
        let zram = Self(number.trim().to_owned());
        zram.set("disksize", &SIZE.to_string())?;
        Ok(zram)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/zram{}", self.0))
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        let file = format!("/sys/block/zram{}/{name}", self.0);
        fs::write(&file, value).with_context(|| format!("{file} refuses {value}"))
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        // Something that has just closed the device may hold it for a moment.
        for _ in 0..40 {
            let remove = Path::new(CONTROL).join("hot_remove");
            if self.set("reset", "1").is_ok() && fs::write(remove, &self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{} could not be removed", self.path().display());
    }
}
