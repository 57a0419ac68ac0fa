//! Names of kernel addresses, for as long as a run lasts: packed, since few are ever asked for.

use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read as _;

use super::kallsyms::Symbol;

/// No kernel function is longer: an address further from its symbol has none.
const MAX_FUNCTION: u64 = 1 << 20;
/// Functions of a block: some 8 KB of text, in 2 KB.
const IN_A_BLOCK: usize = 256;
/// Of zstd's levels the quickest of those that pack names well.
const LEVEL: i32 = 1;
/// Names kept ready: a kernel has some hundred call paths to a failure, so more are none of these.
const READY: usize = 4096;

/// Functions by address.
#[derive(Default)]
pub struct Names {
    blocks: Vec<Block>,
    ready: HashMap<u64, String, RandomState>,
}

/// Functions in a row.
struct Block {
    /// Address of the first.
    first: u64,
    /// A line each: how far it is from the one before, hexadecimal, its name, and its module if it
    /// has one.
    packed: Box<[u8]>,
}

impl Names {
    /// Those of `symbols`, which come in the order of their addresses.
    ///
    /// # Errors
    /// When they cannot be packed.
    pub fn of<'a>(symbols: impl Iterator<Item = Symbol<'a>>) -> std::io::Result<Self> {
        let mut symbols = symbols.filter(|symbol| symbol.address != 0).peekable();
        let mut names = Self::default();
        let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
        let mut text = String::new();
        while let Some(first) = symbols.peek().map(|symbol| symbol.address) {
            text.clear();
            let mut before = first;
            for symbol in symbols.by_ref().take(IN_A_BLOCK) {
                let module = symbol.module.unwrap_or_default();
                // Writing to a string does not fail.
                let _ = writeln!(
                    text,
                    "{:x}\t{}\t{module}",
                    symbol.address - before,
                    symbol.name
                );
                before = symbol.address;
            }
            // It is made with room for what cannot be packed.
            let packed = packer.compress(text.as_bytes())?.into_boxed_slice();
            names.blocks.push(Block { first, packed });
        }
        Ok(names)
    }

    /// `name+0x1a`, with ` [module]` for a module's; the bare address when no function covers it.
    pub fn name(&mut self, address: u64) -> &str {
        if self.ready.len() >= READY {
            self.ready.clear();
        }
        let blocks = &self.blocks;
        let name = self.ready.entry(address);
        name.or_insert_with(|| find(blocks, address).unwrap_or_else(|| format!("{address:#x}")))
    }
}

fn find(blocks: &[Block], address: u64) -> Option<String> {
    let after = blocks.partition_point(|block| block.first <= address);
    let block = &blocks[after.checked_sub(1)?];
    let mut text = String::new();
    let mut lines = zstd::stream::read::Decoder::new(&block.packed[..]).ok()?;
    lines.read_to_string(&mut text).ok()?;
    let mut base = block.first;
    let mut found = None;
    for line in text.split_terminator('\n') {
        let mut words = line.splitn(3, '\t');
        base += u64::from_str_radix(words.next()?, 16).ok()?;
        if base > address {
            break;
        }
        found = Some((base, words.next()?, words.next()?));
    }
    let (base, name, module) = found.filter(|(base, ..)| address - base < MAX_FUNCTION)?;
    Some(match module {
        "" => format!("{name}+{:#x}", address - base),
        module => format!("{name}+{:#x} [{module}]", address - base),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Symbols;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn few_are_kept_ready() {
        let mut names = Symbols::parse(b"1000 T first\n2000 t second\t[btrfs]\n").names();
        for address in 0..3 * READY as u64 {
            names.name(address);
        }
        assert!(names.ready.len() <= READY);
        assert_eq!(names.name(0x2010), "second+0x10 [btrfs]");
        assert_eq!(names.name(0x2010), "second+0x10 [btrfs]");
        assert_eq!(names.name(0xfff), "0xfff");
    }

    proptest! {
        #[test]
        fn as_a_look_at_all_of_them_tells(
            mut at in vec((0_u64..1 << 22, 0_u8..3), 0..3 * IN_A_BLOCK),
            asked in vec(0_u64..1 << 23, 1..50),
        ) {
            at.sort_unstable();
            let lines = at.iter().enumerate().map(|(n, (address, module))| match module {
                0 => format!("{address:x} T kernel_{n}\n"),
                module => format!("{address:x} t its {n}\t[module{module}]\n"),
            });
            let mut names = Symbols::parse(lines.collect::<String>().as_bytes()).names();
            for address in asked.into_iter().chain(at.iter().map(|(address, _)| *address)) {
                let before = at.iter().rposition(|(base, _)| *base <= address);
                let base = before.map(|n| at[n].0).filter(|base| *base != 0);
                let near = base.filter(|base| address - base < MAX_FUNCTION);
                let told = near.and_then(|base| {
                    let first = at.iter().position(|(other, _)| *other == base)?;
                    let further = address - base;
                    Some(match at[first].1 {
                        0 => format!("kernel_{first}+{further:#x}"),
                        module => format!("its {first}+{further:#x} [module{module}]"),
                    })
                });
                prop_assert_eq!(names.name(address), told.unwrap_or(format!("{address:#x}")));
            }
        }
    }
}
