//! The BPF programs' sizes against their recorded ceilings.

use std::collections::BTreeMap;

/// What a program may grow to: name, instructions after the kernel's translation, and those that
/// the verifier looks at, on the worst kernel.
const CEILINGS: &str = include_str!("../ceilings.txt");

/// Numbers of instructions; 0 where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// After the kernel's translation.
    pub translated: u64,
    /// That the verifier looked at.
    pub verified: u64,
}

impl Size {
    /// The larger ones of both.
    pub fn max(self, other: Self) -> Self {
        Self {
            translated: self.translated.max(other.translated),
            verified: self.verified.max(other.verified),
        }
    }
}

/// Sizes by name of the program (of which the kernel keeps 15 bytes).
pub type Sizes = BTreeMap<String, Size>;

/// The sizes of the programs in what the guest wrote down, without those of before.
pub fn sizes(state: &str, before: &str) -> Sizes {
    let old: Vec<_> = before.lines().filter_map(program).collect();
    let programs = state.lines().filter_map(program);
    let mut sizes = Sizes::new();
    for (id, name, size) in programs {
        if !old.iter().any(|(old, ..)| *old == id) {
            let entry = sizes.entry(name.to_owned()).or_default();
            *entry = entry.max(size);
        }
    }
    sizes
}

/// Number, name and size in `prog 4 page_dirtied 321 660`.
fn program(line: &str) -> Option<(&str, &str, Size)> {
    let mut words = line.strip_prefix("prog ")?.split(' ');
    let (id, name) = (words.next()?, words.next()?);
    let mut number = || words.next()?.parse().ok();
    let size = Size {
        translated: number()?,
        verified: number()?,
    };
    Some((id, name, size))
}

/// Programs that are larger than they may be, and those without a ceiling.
pub fn wrong(sizes: &Sizes) -> Vec<String> {
    above(sizes, &ceilings(CEILINGS))
}

fn above(sizes: &Sizes, ceilings: &Sizes) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, size) in sizes {
        let Some(ceiling) = ceilings.get(name) else {
            let Size {
                translated,
                verified,
            } = size;
            wrong.push(format!(
                "program {name} ({translated} instructions, {verified} verified) has no ceiling"
            ));
            continue;
        };
        for (what, is, may) in [
            ("instructions", size.translated, ceiling.translated),
            ("verified instructions", size.verified, ceiling.verified),
        ] {
            if is > may {
                wrong.push(format!("program {name} has {is} {what}, more than {may}"));
            }
        }
    }
    wrong
}

fn ceilings(table: &str) -> Sizes {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let entries = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let mut number = || words.next()?.parse().ok();
        let size = Size {
            translated: number()?,
            verified: number()?,
        };
        Some((name, size))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_grows_is_named() {
        let state = "map 1 x\nprog 3 old 9 9\nprog 4 a 10 200\nprog 5 a 11 100\nprog 6 b 1 1\n";
        let sizes = sizes(state, "prog 3 old 9 9\n");
        let a = Size {
            translated: 11,
            verified: 200,
        };
        assert_eq!((sizes.len(), sizes["a"]), (2, a));
        assert!(above(&sizes, &ceilings("# x\na 11 200\nb 1 1\n")).is_empty());
        assert_eq!(
            above(&sizes, &ceilings("a 10 199\n")),
            [
                "program a has 11 instructions, more than 10",
                "program a has 200 verified instructions, more than 199",
                "program b (1 instructions, 1 verified) has no ceiling"
            ]
        );
    }

    #[test]
    fn every_line_of_the_table_can_be_read() {
        let lines = CEILINGS.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.count(), ceilings(CEILINGS).len());
    }
}
