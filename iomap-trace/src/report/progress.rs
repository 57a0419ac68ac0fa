//! How far a replay is, in words.

use std::time::Duration;

use super::cell;

/// Columns of the bar itself.
const BAR: usize = 24;

/// How far a replay is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read of the logs, as they are on disk.
    pub bytes: u64,
    /// Bytes of all logs together; unknown when one is no regular file.
    pub size: Option<u64>,
    /// Records judged.
    pub events: u64,
}

impl Progress {
    /// A line of at most 79 columns: a bar, how much of how much, the speed, and the time left at
    /// that speed; without a size, how much and the speed. `elapsed`: since the replay began.
    pub fn text(&self, elapsed: Duration) -> String {
        let ms = elapsed.as_millis().max(1);
        let speed = u128::from(self.events) * 1000 / ms;
        let speed = format!("{} events/s", count(speed));
        let bytes = cell::size(self.bytes);
        let Some(size) = self.size.filter(|size| *size > 0) else {
            let events = count(self.events.into());
            return format!("{bytes} read, {events} events, {speed}");
        };
        // A log can grow while it is read.
        let read = u128::from(self.bytes.min(size));
        let whole = u128::from(size);
        let filled = usize::try_from(read * BAR as u128 / whole).unwrap_or(BAR);
        let bar = "#".repeat(filled) + &"-".repeat(BAR - filled);
        let left_ms = (whole - read).saturating_mul(ms).checked_div(read);
        let left = left_ms.map_or_else(String::new, |ms| format!(", {} left", time(ms / 1000)));
        format!(
            "[{bar}] {:3}% of {}, {speed}{left}",
            read * 100 / whole,
            cell::size(size)
        )
    }
}

/// A number in at most four characters, or above 999T more: `999`, `1.2k`, `34M`.
fn count(n: u128) -> String {
    let mut unit = 1;
    let mut name = "";
    for next in ["k", "M", "G", "T"] {
        if n < unit * 1000 {
            break;
        }
        unit *= 1000;
        name = next;
    }
    match n * 10 / unit {
        _ if unit == 1 => n.to_string(),
        tenths @ ..100 => format!("{}.{}{name}", tenths / 10, tenths % 10),
        tenths => format!("{}{name}", tenths / 10),
    }
}

/// Seconds in few characters: `5s`, `2m05s`, `3h07m`, `over 99h`.
fn time(seconds: u128) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..360_000 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => "over 99h".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn how_far_how_fast_and_how_long() {
        let progress = Progress {
            bytes: 512 << 20,
            size: Some(1 << 30),
            events: 2_600_000,
        };
        assert_eq!(
            progress.text(Duration::from_secs(2)),
            "[############------------]  50% of 1.0G, 1.3M events/s, 2s left"
        );
        let all = Progress {
            bytes: 1 << 30,
            ..progress
        };
        assert_eq!(
            all.text(Duration::from_secs(4)),
            "[########################] 100% of 1.0G, 650k events/s, 0s left"
        );
        let pipe = Progress {
            size: None,
            ..progress
        };
        assert_eq!(
            pipe.text(Duration::from_secs(2)),
            "512M read, 2.6M events, 1.3M events/s"
        );
        assert_eq!(
            Progress::default().text(Duration::ZERO),
            "0 read, 0 events, 0 events/s"
        );
        let begun = Progress {
            size: Some(5),
            ..Progress::default()
        };
        assert_eq!(
            begun.text(Duration::ZERO),
            "[------------------------]   0% of 5, 0 events/s"
        );
    }

    #[test]
    fn numbers_and_times_are_short() {
        let counts = [
            (0, "0"),
            (999, "999"),
            (1_000, "1.0k"),
            (34_567, "34k"),
            (999_999, "999k"),
            (1_000_000_000_000, "1.0T"),
        ];
        for (n, text) in counts {
            assert_eq!(count(n), text);
        }
        let times = [
            (59, "59s"),
            (125, "2m05s"),
            (11_220, "3h07m"),
            (1 << 80, "over 99h"),
        ];
        for (seconds, text) in times {
            assert_eq!(time(seconds), text);
        }
    }

    proptest! {
        #[test]
        fn it_fits_a_line(bytes: u64, size: Option<u64>, events: u64, ms: u64) {
            let events = events % 10_u64.pow(15);
            let text = Progress { bytes, size, events }.text(Duration::from_millis(ms));
            prop_assert!(text.len() < 80, "{} columns: {text}", text.len());
        }
    }
}
