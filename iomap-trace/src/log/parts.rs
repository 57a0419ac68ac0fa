//! Names of a log's parts: `log.jsonl.zst` is written, `log.000001.jsonl.zst` and so on are finished.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::place::Place;

/// Digits of a part's number, at least: names sort as the numbers do.
const DIGITS: usize = 6;

/// Endings that stay at the end.
const ENDINGS: [&str; 4] = [".jsonl", ".ndjson", ".json", ".log"];

/// The name before the number, and what follows it.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let mut stem = name.strip_suffix(b".zst").unwrap_or(name);
    for ending in ENDINGS {
        if let Some(shorter) = stem.strip_suffix(ending.as_bytes())
            && !shorter.is_empty()
        {
            stem = shorter;
            break;
        }
    }
    name.split_at(stem.len())
}

/// Name of part `number` of the log `name`.
pub(super) fn name_of(name: &OsStr, number: u64) -> OsString {
    let (stem, rest) = split(name.as_bytes());
    let number = format!(".{number:0DIGITS$}");
    OsString::from_vec([stem, number.as_bytes(), rest].concat())
}

/// Number of a part of the log `name`, if `candidate` is one.
fn number_of(name: &OsStr, candidate: &OsStr) -> Option<u64> {
    let (stem, rest) = split(name.as_bytes());
    let number = candidate.as_bytes().strip_prefix(stem)?;
    let number = number.strip_prefix(b".")?.strip_suffix(rest)?;
    let digits = number.len() >= DIGITS && number.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(number).ok().filter(|_| digits)?;
    // Another spelling is not ours.
    let parsed = number.parse().ok()?;
    (name_of(name, parsed) == *candidate).then_some(parsed)
}

impl Place {
    /// Numbers of the finished parts, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(super) fn parts(&self) -> io::Result<Vec<u64>> {
        let names = self.names()?;
        let numbers = names.iter().filter_map(|n| number_of(self.name(), n));
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Makes the log a finished part, the youngest one; returns its name. `last` is the number of the
    /// last one: the next has a higher one, also when that is there no more.
    ///
    /// # Errors
    /// When the directory cannot be listed, or the file not be renamed.
    pub(super) fn finish_part(&self, last: &mut u64) -> io::Result<OsString> {
        let youngest = self.parts()?.last().copied().unwrap_or(0);
        let number = youngest.max(*last).saturating_add(1);
        let name = name_of(self.name(), number);
        self.rename(self.name(), &name)?;
        *last = number;
        Ok(name)
    }

    /// Removes the oldest parts beyond the youngest `keep`; returns the names of those removed.
    ///
    /// # Errors
    /// When the directory cannot be listed, or a part not be removed.
    pub(super) fn prune(&self, keep: usize) -> io::Result<Vec<OsString>> {
        let parts = self.parts()?;
        let beyond = parts.len().saturating_sub(keep);
        let mut removed = Vec::new();
        for number in &parts[..beyond] {
            let name = name_of(self.name(), *number);
            self.remove(&name)?;
            removed.push(name);
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn part(name: &str) -> String {
        name_of(name.as_ref(), 7).into_string().unwrap()
    }

    #[test]
    fn the_number_comes_before_the_endings() {
        assert_eq!(part("log.jsonl.zst"), "log.000007.jsonl.zst");
        assert_eq!(
            part("db1.example.com.jsonl"),
            "db1.example.com.000007.jsonl"
        );
        assert_eq!(part("trace"), "trace.000007");
        assert_eq!(part(".log"), ".log.000007");
        assert_eq!(part("x.zst"), "x.000007.zst");
    }

    #[test]
    fn only_parts_of_this_log_are_counted() {
        let number = |candidate: &str| number_of("log.jsonl".as_ref(), candidate.as_ref());
        assert_eq!(number("log.000007.jsonl"), Some(7));
        assert_eq!(number("log.1000000.jsonl"), Some(1_000_000));
        for other in [
            "log.jsonl",
            "log.7.jsonl",
            "log.0000007.jsonl",
            "log.00000x.jsonl",
            "log.000007.jsonl.zst",
            "other.000007.jsonl",
            "log.99999999999999999999999.jsonl",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::of(&dir.path().join("log.jsonl"), None).unwrap();
        let mut last = 0;
        for text in ["a", "b", "c"] {
            fs::write(dir.path().join("log.jsonl"), text).unwrap();
            place.finish_part(&mut last).unwrap();
        }
        assert_eq!(last, 3);
        fs::write(dir.path().join("log.000003.jsonl.zst"), "other").unwrap();
        assert_eq!(place.parts().unwrap(), [1, 2, 3]);
        assert_eq!(place.prune(2).unwrap(), ["log.000001.jsonl"]);
        assert_eq!(place.prune(2).unwrap(), [""; 0]);
        assert_eq!(place.parts().unwrap(), [2, 3]);
        let youngest = fs::read_to_string(dir.path().join("log.000003.jsonl"));
        assert_eq!(youngest.unwrap(), "c");
    }
}
