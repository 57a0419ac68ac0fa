//! A block device that can be made to fail and to heal: zram, whose limit of memory ends every write
//! that needs some with EIO, and whose flushes and reads go on.
//!
//! A device-mapper `error` target would do the same, but is in fewer kernels.

use crate::harness::skip;
use std::fs;
use std::path::{Path, PathBuf};

const CONTROL: &str = "/sys/class/zram-control";

/// The device; it goes with this value.
#[derive(Debug)]
pub struct Zram {
    number: String,
}

impl Zram {
    /// A new one of `size` bytes; `None` where the kernel has no zram.
    pub fn new(size: u64) -> Option<Self> {
        let control = Path::new(CONTROL);
        if !control.exists() {
            // Where it is a module, this loads it.
            let _ = std::process::Command::new("modprobe").arg("zram").status();
        }
        let Ok(number) = fs::read_to_string(control.join("hot_add")) else {
            skip("this kernel has no zram");
            return None;
        };
        let zram = Self {
            number: number.trim().to_owned(),
        };
        zram.set("disksize", &size.to_string());
        Some(zram)
    }

    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/zram{}", self.number))
    }

    fn set(&self, name: &str, value: &str) {
        let file = format!("/sys/block/zram{}/{name}", self.number);
        fs::write(&file, value).unwrap_or_else(|e| panic!("{file} cannot be set: {e}"));
    }

    /// From now on writes fail with EIO, or no longer.
    pub fn fail(&self, fails: bool) {
        // The least limit is one page, far below what is in use; 0 is none.
        self.set("mem_limit", if fails { "4096" } else { "0" });
    }
}

impl Drop for Zram {
    fn drop(&mut self) {
        // Something that has just closed the device may hold it for a moment.
        for _ in 0..40 {
            let reset = format!("/sys/block/zram{}/reset", self.number);
            let gone = fs::write(reset, "1").is_ok()
                && fs::write(Path::new(CONTROL).join("hot_remove"), &self.number).is_ok();
            if gone {
                return;
            }
            crate::harness::sleep_ms(50);
        }
        eprintln!("/dev/zram{} could not be removed", self.number);
    }
}
