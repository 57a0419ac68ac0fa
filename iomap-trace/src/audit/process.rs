//! What procfs tells of a process.

use std::fs;

/// Bytes of a command line that are kept.
const LINE: usize = 4096;

/// Of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Parent.
    pub parent: u32,
    /// When it started, clock ticks since boot; with the id it names a process for good.
    pub started: u64,
}

/// Parent and start of a process, unless it has ended.
pub fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The command name may hold anything, spaces and parentheses too: the last one ends it.
fn parse(line: &[u8]) -> Option<Stat> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(end + 1..)?).ok()?;
    // proc(5): fields 3 on; the parent is the fourth, the start the twenty-second.
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    // A zombie's ancestry is still right.
    (state != "X").then_some(Stat { parent, started })
}

/// Command line of a process, arguments separated by spaces; its name if it has none (a kernel
/// thread, a zombie). None when it has ended.
pub fn command(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    if line.is_empty() {
        let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
        let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
        return Some(String::from_utf8_lossy(comm).into_owned());
    }
    let cut = &line[..line.len().min(LINE)];
    Some(String::from_utf8_lossy(cut).replace('\0', " "))
}

/// Children of all threads of a process, where the kernel tells (`CONFIG_PROC_CHILDREN`).
pub fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    let mut children = Vec::new();
    for thread in threads.flatten() {
        let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        children.extend(
            list.split_ascii_whitespace()
                .filter_map(|id| id.parse::<u32>().ok()),
        );
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_change_the_parent() {
        let line = b"42 (a) S 1 (b) R 7 8 9 0 -1 4194304 1 0 0 0 1 2 0 0 20 0 1 0 777 1 1\n";
        let wanted = Stat {
            parent: 7,
            started: 777,
        };
        assert_eq!(parse(line), Some(wanted));
        for cut in 0..line.len() - 8 {
            parse(&line[..cut]);
        }
        assert_eq!(parse(b"42 (a S 1"), None);
        assert_eq!(parse(b"42 (\xff) S"), None);
    }

    #[test]
    fn our_own_process_has_a_parent_and_a_line() {
        let us = stat(std::process::id()).unwrap();
        assert!(us.parent > 0 && us.started > 0);
        assert!(!command(std::process::id()).unwrap().is_empty());
        assert_eq!(stat(0), None);
    }
}
