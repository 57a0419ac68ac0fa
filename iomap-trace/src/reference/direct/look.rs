//! Looking at the page cache of a range.

use super::errno::Errno;
use super::outcome::{Pages, Span};
use super::sys;
use serde::Serialize;
use std::os::fd::AsFd;

/// How the page cache can be looked at here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Looker {
    /// `cachestat(2)`, since 6.5: also tells dirty pages and writeback.
    Cachestat,
    /// `mincore(2)`, everywhere: pages only.
    Mincore,
}

impl Looker {
    /// The best that the running kernel has for this file, found by trying.
    pub(super) fn find(fd: impl AsFd, page: u64) -> Self {
        let first = Span { pos: 0, len: page };
        match sys::cachestat(fd, first) {
            Ok(_) => Self::Cachestat,
            Err(_) => Self::Mincore,
        }
    }

    /// Counts the cached pages of `span`, which begins at a page.
    pub(super) fn look(self, fd: impl AsFd, span: Span, page: u64) -> Result<Pages, Errno> {
        match self {
            Self::Cachestat => sys::cachestat(fd, span),
            Self::Mincore => Ok(Pages {
                cached: count(&sys::mincore(fd, span, page)?),
                dirty: None,
                writeback: None,
            }),
        }
    }
}

/// Where the cached pages of `span` are, by `mincore(2)`: the only call that says which.
pub(super) fn resident(fd: impl AsFd, span: Span, page: u64) -> Result<Vec<Span>, Errno> {
    Ok(runs(&sys::mincore(fd, span, page)?, span.pos, page))
}

const fn is_in_core(byte: u8) -> bool {
    byte & 1 == 1
}

fn count(seen: &[u8]) -> u64 {
    seen.iter().filter(|byte| is_in_core(**byte)).count() as u64
}

/// Neighbouring pages become one range.
fn runs(seen: &[u8], pos: u64, page: u64) -> Vec<Span> {
    let mut runs: Vec<Span> = Vec::new();
    for (at, _) in seen.iter().enumerate().filter(|(_, b)| is_in_core(**b)) {
        let pos = pos + at as u64 * page;
        match runs.last_mut() {
            Some(last) if last.end() == pos => last.len += page,
            _ => runs.push(Span { pos, len: page }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lowest_bit_counts() {
        assert_eq!(count(&[0, 1, 2, 3, 0xfe]), 2);
    }

    #[test]
    fn neighbours_are_one_range() {
        let found = runs(&[1, 1, 0, 1], 8192, 4096);
        let span = |pos, len| Span { pos, len };
        assert_eq!(found, [span(8192, 8192), span(20480, 4096)]);
        assert!(runs(&[0, 2], 0, 4096).is_empty());
    }

    #[test]
    fn both_ways_see_what_is_cached() {
        use std::io::Write as _;
        let page = rustix::param::page_size() as u64;
        let mut file = tempfile::tempfile_in(".").unwrap();
        file.write_all(&vec![7; 3 * page as usize]).unwrap();
        let all = Span {
            pos: 0,
            len: 4 * page,
        };
        assert_eq!(
            Looker::Mincore.look(&file, all, page).unwrap().cached,
            3,
            "a hole behind the end of the file is not cached"
        );
        assert_eq!(resident(&file, all, page).unwrap()[0].len, 3 * page);
        if Looker::find(&file, page) == Looker::Cachestat {
            let pages = Looker::Cachestat.look(&file, all, page).unwrap();
            assert_eq!(pages.cached, 3);
            assert!(pages.dirty.is_some() && pages.writeback.is_some());
        }
    }
}
