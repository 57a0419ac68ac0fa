//! Whether anything is left in the kernel when the tracers have ended.

use std::collections::BTreeSet;

/// An object: its kind, and what tells it from others of that kind.
type Object<'a> = (&'a str, &'a str);

/// The objects in what the guest wrote down: BPF programs, maps and links by number, probes and
/// functions by name.
fn objects(state: &str) -> BTreeSet<Object<'_>> {
    let lines = state.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let kind = words.next()?;
        let name = match kind {
            // The address and the kind of probe come first.
            "kprobe" => words.nth(2)?,
            _ => words.next()?,
        };
        Some((kind, name))
    });
    lines.collect()
}

/// What is wrong, given the states before, during and after the tracers' runs.
pub fn wrong(before: &str, during: &str, after: &str) -> Option<String> {
    let (before_all, during, after_all) = (objects(before), objects(during), objects(after));
    if !during.iter().any(|(kind, _)| *kind == "prog") {
        return Some("no program was seen during the run: nothing was shown".to_owned());
    }
    let left: Vec<_> = after_all
        .difference(&before_all)
        .map(|(kind, name)| format!("{kind} {name}"))
        .collect();
    (!left.is_empty()).then(|| format!("left behind: {}", left.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "map 3 own\nkprobe ffffffff99b161a0  k  stale+0x0    [FTRACE]\n";

    #[test]
    fn everything_must_be_gone() {
        let during = format!("{BEFORE}prog 4 x 1 2\nmap 5 y\n");
        assert_eq!(wrong(BEFORE, &during, BEFORE), None);
        assert_eq!(wrong(BEFORE, &during, ""), None);
        let kprobe = "kprobe ffffffff99b161a0  r  release+0x0    [FTRACE]\n";
        let after = format!("{BEFORE}map 5 y\n{kprobe}traced release (1) R\n");
        assert_eq!(
            wrong(BEFORE, &during, &after).unwrap(),
            "left behind: kprobe release+0x0, map 5, traced release"
        );
    }

    #[test]
    fn nothing_seen_is_nothing_shown() {
        assert!(wrong("", "", "").unwrap().contains("nothing was shown"));
    }
}
