//! Release, architecture, boot and clocks of the running system.

use super::Roots;
use crate::clock::boot_ns;
use crate::event::{Clock, KernelInfo};

/// How often both clocks are read; the closest pair is taken.
const CLOCK_TRIES: usize = 5;

/// What `uname` says.
pub fn kernel_info() -> KernelInfo {
    let uname = rustix::system::uname();
    let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
    KernelInfo {
        release: text(uname.release()),
        build: text(uname.version()),
        arch: text(uname.machine()),
    }
}

/// Name of the machine, as `uname -n` has it; none where it was never set.
pub fn hostname() -> Option<String> {
    let uname = rustix::system::uname();
    let name = uname.nodename().to_string_lossy().into_owned();
    // What the kernel itself puts there (CONFIG_DEFAULT_HOSTNAME).
    (!name.is_empty() && name != "(none)").then_some(name)
}

/// Size of a page in bytes.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Id of this boot, empty when procfs does not tell.
pub fn boot_id(roots: &Roots) -> String {
    let id = roots.proc_text("sys/kernel/random/boot_id");
    id.unwrap_or_default()
}

/// Both clocks at the same moment, as closely as user space can tell.
pub fn clock() -> Clock {
    let pair = || {
        let before = boot_ns();
        let wall_ns = crate::clock::wall_ns();
        let gap = boot_ns().saturating_sub(before);
        let boot_ns = before + gap / 2;
        (gap, Clock { boot_ns, wall_ns })
    };
    let pairs = (0..CLOCK_TRIES).map(|_| pair());
    let closest = pairs.min_by_key(|(gap, _)| *gap);
    closest.map(|(_, clock)| clock).unwrap_or_default()
}

/// Numbers of a release (`6.12.107+deb13-cloud-amd64` is 6, 12, 107); a missing patch level is 0.
pub fn version(release: &str) -> Option<(u32, u32, u32)> {
    let digits = |text: &str| -> Option<u32> {
        let end = text.find(|c: char| !c.is_ascii_digit());
        text[..end.unwrap_or(text.len())].parse().ok()
    };
    let mut parts = release.splitn(3, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = digits(parts.next()?)?;
    Some((major, minor, parts.next().and_then(digits).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(version("6.12.107+deb13-cloud-amd64"), Some((6, 12, 107)));
        assert_eq!(version("5.10.0-32-cloud-amd64"), Some((5, 10, 0)));
        assert_eq!(version("7.3-rc1"), Some((7, 3, 0)));
        assert_eq!(version("weird"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn the_clocks_go_together() {
        let (a, b) = (clock(), clock());
        assert!(b.boot_ns >= a.boot_ns && a.wall_ns > a.boot_ns);
        assert!(!kernel_info().release.is_empty());
        assert!(page_size().is_power_of_two());
        assert_eq!(boot_id(&Roots::default()).len(), 36);
    }
}
