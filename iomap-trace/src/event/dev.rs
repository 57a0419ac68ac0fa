//! Device numbers.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A device number, written `major:minor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dev {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Dev {
    /// From the kernel's `dev_t` (`major << 20 | minor`).
    pub const fn from_kernel(dev: u32) -> Self {
        Self {
            major: dev >> 20,
            minor: dev & 0xf_ffff,
        }
    }

    /// The kernel's `dev_t`.
    pub const fn to_kernel(self) -> u32 {
        self.major << 20 | (self.minor & 0xf_ffff)
    }
}

impl fmt::Display for Dev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for Dev {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (major, minor) = text.split_once(':')?;
            let dev = Self {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            };
            (dev.major < 1 << 12 && dev.minor < 1 << 20).then_some(dev)
        };
        parse().ok_or_else(|| format!("`{text}` is not a device number such as 8:1"))
    }
}

impl Serialize for Dev {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Dev {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
