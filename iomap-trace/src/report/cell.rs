//! Values as short text that is safe to print and of a known width.

use tabled::grid::util::string::{get_char_width, get_string_width};

use crate::event::Clock;

const ELLIPSIS: &str = "…";

/// Text of somebody else's (command names, paths) for a terminal: control characters, and those
/// that hide or reorder text, become escapes. `backslashes`: `\` becomes `\\`, so that escapes
/// cannot be imitated.
pub(super) fn clean(text: &str, backslashes: bool) -> String {
    if text
        .bytes()
        .all(|b| matches!(b, b' '..=b'~') && (b != b'\\' || !backslashes))
    {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) || (backslashes && c == '\\') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Format characters: no glyph of their own, but they change or hide what is around them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// Columns that `text` takes.
pub(super) fn width(text: &str) -> usize {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.len();
    }
    get_string_width(text)
}

/// `text`, its end cut off if it is wider than `columns`.
pub(super) fn fit_end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = take_columns(text.chars(), columns.saturating_sub(1));
    out.push_str(ELLIPSIS);
    out
}

/// `text`, its beginning cut off if it is wider than `columns`: a path keeps its file name.
pub(super) fn fit_start(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let reversed = take_columns(text.chars().rev(), columns.saturating_sub(1));
    let mut out = ELLIPSIS.to_owned();
    out.extend(reversed.chars().rev());
    out
}

fn take_columns(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut left = columns;
    chars
        .take_while(|c| {
            let width = get_char_width(*c);
            let fits = width <= left;
            left = left.saturating_sub(width);
            fits
        })
        .collect()
}

/// `text` as lines of at most `columns`, broken at spaces; a word that is too wide is cut off.
pub(super) fn wrap(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for word in text.split_whitespace() {
        let word = fit_end(word, columns);
        let wide = width(&word);
        if column > 0 && column + 1 + wide > columns {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(&word);
        column += wide;
    }
    out
}

/// `comm/pid`, the command name shortened if needed.
pub(super) fn task(comm: &str, pid: u32, columns: usize) -> String {
    let pid = format!("/{pid}");
    fit_end(&clean(comm, true), columns.saturating_sub(pid.len())) + &pid
}

/// Bytes in at most four characters, rounded down: `512`, `4.0K`, `16K`, `0.9M`.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut unit = 1_u128 << 10;
    let mut units = "KMGTPE".chars();
    let mut name = units.next();
    while u128::from(bytes) >= 1000 * unit {
        unit <<= 10;
        name = units.next();
    }
    let name = name.unwrap_or('E');
    match u128::from(bytes) * 10 / unit {
        tenths @ ..100 => format!("{}.{}{name}", tenths / 10, tenths % 10),
        tenths => format!("{}{name}", tenths / 10),
    }
}

/// A size in bytes, as `11.3 MiB`.
pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Nanoseconds with the unit that suits them: `850ns`, `1.2ms`, `34s`, `2m05s`.
pub(super) fn duration(ns: u64) -> String {
    if ns >= 60_000_000_000 {
        let seconds = ns / 1_000_000_000;
        return format!("{}m{:02}s", seconds / 60, seconds % 60);
    }
    let (unit, name) = match ns {
        0..1_000 => return format!("{ns}ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        1_000_000_000.. => (1_000_000_000, "s"),
    };
    match ns / (unit / 10) {
        tenths @ ..100 => format!("{}.{}{name}", tenths / 10, tenths % 10),
        tenths => format!("{}{name}", tenths / 10),
    }
}

/// Time of day, UTC so that a log reads the same everywhere: `12:34:56.789`.
pub(super) fn time_of_day(clock: Clock, ts_ns: u64) -> String {
    const DAY: i128 = 86_400_000;
    let wall_ns = i128::from(clock.wall_ns) + i128::from(ts_ns) - i128::from(clock.boot_ns);
    let ms = wall_ns.div_euclid(1_000_000).rem_euclid(DAY);
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_short() {
        let cases = [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (16 << 10, "16K"),
            (1000 << 10, "0.9M"),
            (1 << 20, "1.0M"),
            ((5 << 30) + 1, "5.0G"),
            (u64::MAX, "15E"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn durations_are_short() {
        let cases = [
            (0, "0ns"),
            (999, "999ns"),
            (1_000, "1.0us"),
            (12_345, "12us"),
            (1_250_000, "1.2ms"),
            (34_000_000_000, "34s"),
            (125_000_000_000, "2m05s"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn the_time_of_day_is_utc_and_never_panics() {
        let clock = Clock {
            boot_ns: 5_000_000_000,
            wall_ns: 1_795_392_000_000_000_000,
        };
        assert_eq!(
            time_of_day(clock, 5_000_000_000 + 45_296_789_000_000),
            "12:34:56.789"
        );
        assert_eq!(time_of_day(clock, 4_999_000_000), "23:59:59.999");
        time_of_day(
            Clock {
                boot_ns: u64::MAX,
                wall_ns: 0,
            },
            0,
        );
    }

    #[test]
    fn the_file_name_and_the_pid_stay() {
        assert_eq!(fit_start("/mnt/data/file.bin", 12), "…ta/file.bin");
        assert_eq!(fit_end("postgres", 5), "post…");
        assert_eq!(task("kworker/u8:3", 77, 12), "kworker/…/77");
        assert_eq!(fit_start("日本語", 4), "…語");
    }

    proptest! {
        #[test]
        fn hostile_text_is_harmless_and_fits(text: String, columns in 1..40_usize) {
            let clean = clean(&text, true);
            prop_assert!(!clean.chars().any(|c| c.is_control() || is_invisible(c)));
            prop_assert!(width(&fit_end(&clean, columns)) <= columns);
            prop_assert!(width(&fit_start(&clean, columns)) <= columns);
        }

        #[test]
        fn every_number_is_short(n: u64) {
            prop_assert!(size(n).len() <= 4, "{}", size(n));
            prop_assert!(n >= 60_000_000_000 || duration(n).len() <= 5, "{}", duration(n));
        }
    }
}
