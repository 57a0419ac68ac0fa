//! The version that a kernel goes by.

use serde::Serialize;

use crate::event::KernelInfo;

/// A kernel's version, as far as its names tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Version {
    /// `6` of 6.12.107.
    pub major: u32,
    /// `12` of 6.12.107.
    pub minor: u32,
    /// `107` of 6.12.107: the release of the stable series, if it is told.
    pub stable: Option<u32>,
}

impl Version {
    /// The version of `kernel`: its release, and the stable release from its build, where a
    /// distribution numbers its releases otherwise (`5.10.0-32` of Debian is 5.10.223).
    pub fn of(kernel: &KernelInfo) -> Option<Self> {
        let (major, minor, stable) = numbers(&kernel.release)?;
        let words = kernel.build.split([' ', '(', ')']);
        let built = words
            .filter_map(numbers)
            .filter(|(a, b, stable)| (*a, *b) == (major, minor) && stable.is_some())
            .find_map(|(_, _, stable)| stable);
        // A distribution's first release of a series is `.0` as well as all the following ones.
        let named = stable.filter(|stable| *stable > 0 || !kernel.release.contains('-'));
        Some(Self {
            major,
            minor,
            stable: built.or(named),
        })
    }

    /// Whether it is the series `major.minor` or a later one.
    pub fn reaches(self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }
}

/// The numbers that `text` begins with: two at least.
fn numbers(text: &str) -> Option<(u32, u32, Option<u32>)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let mut parts = text[..end.unwrap_or(text.len())].split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, minor, parts.next().and_then(|n| n.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions() {
        let cases = [
            (
                "5.10.0-32-cloud-amd64",
                "#1 SMP Debian 5.10.223-1 (2024-08-10)",
                Some((5, 10, Some(223))),
            ),
            (
                "6.12.107+deb13-cloud-amd64",
                "#1 SMP Debian 6.12.107-1",
                Some((6, 12, Some(107))),
            ),
            (
                "4.18.0-553.el8_10.x86_64",
                "#1 SMP Fri May 24 13:05:10 UTC 2024",
                Some((4, 18, None)),
            ),
            (
                "6.8.0-31-generic",
                "#31-Ubuntu SMP PREEMPT_DYNAMIC",
                Some((6, 8, None)),
            ),
            ("7.0.0", "#1 SMP", Some((7, 0, Some(0)))),
            ("6.19-rc3", "", Some((6, 19, None))),
            ("6", "", None),
            ("", "6.1.2", None),
            ("99999999999.1", "", None),
        ];
        for (release, build, expected) in cases {
            let kernel = KernelInfo {
                release: release.to_owned(),
                build: build.to_owned(),
                arch: String::new(),
            };
            let version = Version::of(&kernel).map(|v| (v.major, v.minor, v.stable));
            assert_eq!(version, expected, "{release}");
        }
    }
}
