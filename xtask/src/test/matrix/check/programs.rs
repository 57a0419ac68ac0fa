//! The BPF programs' sizes against their recorded ceilings.

use super::super::log::Log;
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

/// Sizes by name of the program.
pub type Sizes = BTreeMap<String, Size>;

/// The sizes that the logs tell of, the larger ones where several have a program.
pub fn sizes<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Sizes {
    let mut sizes = Sizes::new();
    for program in logs.into_iter().flat_map(|log| &log.start.programs) {
        let size = Size {
            translated: program.instructions,
            verified: program.verified.unwrap_or(0),
        };
        let entry = sizes.entry(program.name.clone()).or_default();
        *entry = entry.max(size);
    }
    sizes
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
    use super::super::super::log::Program;
    use super::*;

    #[test]
    fn a_program_that_grows_is_named() {
        let program = |name: &str, instructions, verified| Program {
            name: name.to_owned(),
            instructions,
            verified,
        };
        let mut log = Log::default();
        log.start.programs = vec![program("a", 10, Some(200)), program("b", 1, Some(1))];
        let mut other = Log::default();
        other.start.programs = vec![program("a", 11, None)];
        let sizes = sizes([&log, &other]);
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
