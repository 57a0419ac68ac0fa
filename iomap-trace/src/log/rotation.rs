//! When a log goes on in another part.

use anyhow::{Result, bail};
use std::time::Duration;

/// A part that is due waits for a moment when no failure is undecided, but no longer than this.
const PATIENCE_NS: u64 = 1_000_000_000;

/// Size and age of a log's parts, and how many finished ones are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes on disk.
    pub size: Option<u64>,
    /// Age.
    pub time: Option<Duration>,
    /// Finished parts that are kept; the oldest are removed.
    pub keep: Option<usize>,
}

/// Whether a log is to go on in another part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Not yet.
    No,
    /// As soon as no failure is undecided.
    Soon,
    /// At once.
    Now,
}

impl Rotation {
    /// There are parts.
    pub fn wanted(&self) -> bool {
        self.size.is_some() || self.time.is_some()
    }

    /// Whether a part of so many bytes and that age is due; `since` is when it became so.
    pub(super) fn due(&self, bytes: u64, age_ns: u64, since: &mut Option<u64>, now_ns: u64) -> Due {
        let long = self.size.is_some_and(|size| bytes >= size);
        let old = self
            .time
            .is_some_and(|time| u128::from(age_ns) >= time.as_nanos());
        if !long && !old {
            return Due::No;
        }
        let since_ns = *since.get_or_insert(now_ns);
        // Nor does it grow by more than an eighth meanwhile.
        let too_long = self.size.is_some_and(|size| bytes >= size + size / 8);
        if too_long || now_ns.saturating_sub(since_ns) >= PATIENCE_NS {
            Due::Now
        } else {
            Due::Soon
        }
    }
}

/// Reads a size: `65536`, `64K`, `64M`, `2G`, by powers of 1024.
///
/// # Errors
/// When it is none, or less than 4 KiB.
pub fn size(text: &str) -> Result<u64> {
    let (digits, unit) = number(text);
    let scale: u64 = match unit.to_ascii_lowercase().trim_end_matches("ib") {
        "" | "b" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => bail!("write a size as 64M or 2G"),
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
    {
        Some(bytes) if bytes >= 4096 => Ok(bytes),
        Some(_) => bail!("a part has at least 4K"),
        None => bail!("write a size as 64M or 2G"),
    }
}

/// Reads a time: `90`, `90s`, `15m`, `1h`, `1d`.
///
/// # Errors
/// When it is none, or less than a second.
pub fn time(text: &str) -> Result<Duration> {
    let (digits, unit) = number(text);
    let scale: u64 = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => bail!("write a time as 90s, 15m, 1h or 1d"),
    };
    match digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(scale))
    {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        Some(_) => bail!("the least is a second"),
        None => bail!("write a time as 90s, 15m, 1h or 1d"),
    }
}

fn number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read() {
        let read = |text| size(text).ok();
        assert_eq!(read("65536"), Some(65536));
        assert_eq!(
            [read("64K"), read("64k"), read("64KiB")],
            [Some(64 << 10); 3]
        );
        assert_eq!([read("64M"), read("2G")], [Some(64 << 20), Some(2 << 30)]);
        for wrong in [
            "",
            "M",
            "1X",
            "-1M",
            "1K",
            "99999999999999999999T",
            "16777216T",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let read = |text| time(text).ok().map(|time| time.as_secs());
        assert_eq!(
            [read("90"), read("90s"), read("15m")],
            [Some(90), Some(90), Some(900)]
        );
        assert_eq!([read("1h"), read("1d")], [Some(3600), Some(86400)]);
        for wrong in ["", "0", "h", "1y", "1.5h"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_part_waits_for_a_quiet_moment_but_not_for_long() {
        let rotation = Rotation {
            size: Some(8000),
            time: Some(Duration::from_secs(10)),
            keep: None,
        };
        let mut since = None;
        assert_eq!(rotation.due(7999, 0, &mut since, 5), Due::No);
        assert_eq!(rotation.due(8000, 0, &mut since, 10), Due::Soon);
        assert_eq!(rotation.due(8999, 0, &mut since, 20), Due::Soon);
        assert_eq!(rotation.due(9000, 0, &mut since, 30), Due::Now);
        assert_eq!(
            rotation.due(8000, 0, &mut since, 10 + PATIENCE_NS),
            Due::Now
        );
        let mut since = None;
        assert_eq!(rotation.due(0, 10_000_000_000, &mut since, 1), Due::Soon);
        assert_eq!(
            Rotation::default().due(u64::MAX, u64::MAX, &mut since, 1),
            Due::No
        );
    }
}
