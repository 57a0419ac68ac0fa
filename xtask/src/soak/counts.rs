//! The kernel's counts and the recorder's.

use std::collections::BTreeMap;

/// What may stand for a failed invalidation that no log has.
const FAILURES: &[&str] = &["failure.lost", "record.lost", "invalidate.unaccounted.lost"];

/// Failures that a summary's losses (`losses.by_probe`) may stand for.
pub fn lost(by_probe: &serde_json::Value) -> u64 {
    let losses = by_probe.as_object().into_iter().flatten();
    let failures = losses.filter(|(name, _)| {
        FAILURES.contains(&name.as_str())
            || (name.starts_with("invalidate") && name.ends_with(".missed"))
    });
    failures.filter_map(|(_, count)| count.as_u64()).sum()
}

/// A line about both counts by device.
///
/// # Errors
/// The line, when the recorder has more than the kernel, or less by more than it says was lost.
pub fn compare(
    kernel: &BTreeMap<String, u64>,
    recorded: &BTreeMap<String, u64>,
    lost: u64,
) -> Result<String, String> {
    let mut more = false;
    let mut missing = 0;
    let mut parts = Vec::new();
    for (dev, count) in kernel {
        let seen = recorded.get(dev).copied().unwrap_or(0);
        more |= seen > *count;
        missing += count.saturating_sub(seen);
        parts.push(format!("{dev} kernel {count} recorded {seen}"));
    }
    let line = format!("{}; counted as lost: {lost}", parts.join(", "));
    match !more && missing <= lost {
        true => Ok(line),
        false => Err(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
        rows.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect()
    }

    #[test]
    fn only_what_is_accounted_for_may_be_missing() {
        let kernel = counts(&[("7:0", 10), ("7:1", 5)]);
        assert!(compare(&kernel, &kernel, 0).is_ok());
        let less = counts(&[("7:0", 8), ("7:1", 5), ("8:0", 99)]);
        assert!(compare(&kernel, &less, 0).is_err());
        assert!(compare(&kernel, &less, 1).is_err());
        assert!(compare(&kernel, &less, 2).is_ok());
        let more = counts(&[("7:0", 11), ("7:1", 5)]);
        assert!(compare(&kernel, &more, 9).is_err());
    }

    #[test]
    fn losses_of_other_evidence_excuse_nothing() {
        let losses = serde_json::json!({
            "failure.lost": 2, "holder.lost": 50, "extent_lock.missed": 7,
            "invalidate_fail.missed": 1,
        });
        assert_eq!(lost(&losses), 3);
        assert_eq!(lost(&serde_json::Value::Null), 0);
    }
}
