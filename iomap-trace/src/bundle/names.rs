//! Pseudonyms: the same name gets the same one within a bundle, and nobody can try names.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

/// Words that are shorter are not looked for in the bundle: they occur everywhere.
const SHORTEST: usize = 4;

/// Kinds of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A component of a path.
    Path,
    /// A command name.
    Comm,
    /// An argument, or the value of an option.
    Argument,
    /// A boot of a machine.
    Boot,
    /// A machine.
    Host,
}

impl Kind {
    const fn letter(self) -> char {
        match self {
            Self::Path => 'p',
            Self::Comm => 'c',
            Self::Argument => 'a',
            Self::Boot => 'b',
            Self::Host => 'h',
        }
    }
}

/// The pseudonyms of one bundle, by a keyed hash (SipHash with a random key of 128 bits, which is
/// kept nowhere): so they cannot be found out by trying likely names, nor compared between bundles.
#[derive(Debug, Default)]
pub struct Names {
    key: RandomState,
    originals: BTreeSet<Vec<u8>>,
    /// Words that are no names, such as kernel symbols.
    public: BTreeSet<Vec<u8>>,
}

impl Names {
    /// The pseudonym of a name: a letter for its kind and ten hexadecimal digits, short enough for a
    /// command name.
    pub fn of(&mut self, kind: Kind, name: &str) -> String {
        self.remember(name);
        let hash = self.key.hash_one((kind.letter(), name)) & 0xff_ffff_ffff;
        format!("{}-{hash:010x}", kind.letter())
    }

    /// A path, each component of its own, so that what lies in the same directory still does.
    pub fn path(&mut self, path: &str) -> String {
        let parts: Vec<_> = path
            .split('/')
            .map(|part| match part {
                "" | "." | ".." => part.to_owned(),
                name => self.of(Kind::Path, name),
            })
            .collect();
        parts.join("/")
    }

    /// A command name. Those of kernel workers, `kworker/u8:3`, are public.
    pub fn comm(&mut self, comm: &str) -> String {
        if comm.is_empty() || is_kworker(comm) {
            return comm.to_owned();
        }
        self.of(Kind::Comm, comm)
    }

    /// The id of a cgroup; 0 is none, and 1 the root.
    pub fn cgroup(&mut self, id: u64) -> u64 {
        match id {
            0 | 1 => id,
            // JSON's readers take no larger numbers.
            _ => self.key.hash_one(('g', id)) >> 12 | 2,
        }
    }

    /// A boot id.
    pub fn boot(&mut self, id: &str) -> String {
        self.of(Kind::Boot, id)
    }

    /// A text that is no name, and may hold words that are somebody's name as well.
    pub fn public(&mut self, text: &str) {
        self.public
            .extend(words(text.as_bytes()).map(<[u8]>::to_vec));
    }

    /// Whether a word is an original that must not occur.
    pub fn betrays(&self, word: &[u8]) -> bool {
        self.originals.contains(word) && !self.public.contains(word)
    }

    fn remember(&mut self, name: &str) {
        for word in words(name.as_bytes()) {
            if !self.originals.contains(word) {
                self.originals.insert(word.to_vec());
            }
        }
    }
}

/// `kworker/0:1H`, `kworker/u8:3`, `kworker/R-name` not.
fn is_kworker(comm: &str) -> bool {
    let Some(rest) = comm.strip_prefix("kworker/") else {
        return false;
    };
    let rest = rest.strip_prefix('u').unwrap_or(rest);
    let rest = rest.strip_suffix('H').unwrap_or(rest);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    rest.split_once(':')
        .is_some_and(|(pool, worker)| digits(pool) && digits(worker))
}

/// The words of a text that are long enough to be looked for, but for numbers.
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.') || *b >= 0x80))
        .filter(|word| word.len() >= SHORTEST && !word.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_the_same_pseudonym_in_one_bundle_only() {
        let (mut one, mut other) = (Names::default(), Names::default());
        let path = one.path("/srv/customers/acme.db");
        assert_eq!(path, one.path("/srv/customers/acme.db"));
        assert_ne!(path, other.path("/srv/customers/acme.db"));
        let directory = one.path("/srv/customers");
        assert!(path.starts_with(&format!("{directory}/")), "{path}");
        assert_eq!(one.path("/"), "/");
        assert!(one.comm("postgres").len() <= 15);
        assert_ne!(one.cgroup(4711), 4711);
        assert_eq!(one.cgroup(1), 1);
    }

    #[test]
    fn only_numbered_workers_keep_their_names() {
        let mut names = Names::default();
        for comm in ["kworker/u8:3", "kworker/0:1H", "kworker/12:0"] {
            assert_eq!(names.comm(comm), comm);
        }
        for comm in [
            "kworker/acme:1",
            "kworker/u8:3x",
            "kworker",
            "kworker/:",
            "jbd2/acme-8",
        ] {
            assert!(names.comm(comm).starts_with("c-"), "{comm}");
        }
    }

    #[test]
    fn words_betray() {
        let mut names = Names::default();
        names.path("/srv/acme corp/file_1.db");
        names.comm("write");
        names.public("iomap_dio_rw write 1234");
        for word in ["acme", "corp", "file_1.db"] {
            assert!(names.betrays(word.as_bytes()), "{word}");
        }
        for word in ["srv", "write", "acmes"] {
            assert!(!names.betrays(word.as_bytes()), "{word}");
        }
    }
}
