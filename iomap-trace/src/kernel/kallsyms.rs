//! `/proc/kallsyms`: functions and tracepoints by name, addresses back to names.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::ops::Range;
use std::sync::OnceLock;

use super::{Names, Roots};

/// Suffixes that leave a function whole. (`.part.N` and `.cold` are pieces of one.)
const WHOLE: &[&str] = &["isra", "constprop", "llvm"];

const EMPTY: &str = "/proc/kallsyms is empty: run a kernel with CONFIG_KALLSYMS=y";
const HIDDEN: &str = "they are hidden: run as root, with kernel.kptr_restrict at 0 or 1";

/// One symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Name with its suffixes.
    pub name: &'a str,
    /// Address, 0 when the kernel hides it.
    pub address: u64,
    /// Module, `None` for the kernel itself.
    pub module: Option<&'a str>,
}

struct Entry {
    address: u64,
    name: u32,
    len: u16,
    module: u16,
}

/// Text symbols and tracepoints of the kernel and its modules. Names are kept in one buffer.
#[derive(Default)]
pub struct Symbols {
    names: String,
    entries: Vec<Entry>,
    modules: Vec<String>,
    by_name: OnceLock<Vec<(u32, u32)>>,
}

impl Symbols {
    /// Reads `kallsyms` below procfs.
    pub fn read(roots: &Roots) -> std::io::Result<Self> {
        let mut file = std::fs::File::open(roots.proc.join("kallsyms"))?;
        let mut symbols = Self::default();
        let mut buffer = vec![0; 1 << 16];
        let mut kept = 0;
        loop {
            let read = file.read(&mut buffer[kept..])?;
            let filled = kept + read;
            let whole = match buffer[..filled].iter().rposition(|b| *b == b'\n') {
                _ if read == 0 => filled,
                Some(newline) => newline + 1,
                // No symbol is as long as the buffer: skip what cannot be one.
                None if filled == buffer.len() => filled,
                None => 0,
            };
            symbols.add(&buffer[..whole]);
            buffer.copy_within(whole..filled, 0);
            kept = filled - whole;
            if read == 0 {
                break;
            }
        }
        symbols.finish();
        Ok(symbols)
    }

    /// Parses the text of `kallsyms`. Lines that are not symbols are left out.
    pub fn parse(text: &[u8]) -> Self {
        let mut symbols = Self::default();
        symbols.add(text);
        symbols.finish();
        symbols
    }

    /// Whether there are none, because the file is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of symbols kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the kernel hides its addresses (`kptr_restrict`, or CAP_SYSLOG is missing): names
    /// can be looked up, addresses cannot.
    pub fn hidden(&self) -> bool {
        self.entries.iter().all(|e| e.address == 0)
    }

    /// Why no address can be had, with what to do; `None` when they can.
    pub fn why_no_addresses(&self) -> Option<&'static str> {
        match (self.is_empty(), self.hidden()) {
            (true, _) => Some(EMPTY),
            (false, true) => Some(HIDDEN),
            (false, false) => None,
        }
    }

    /// Whether a symbol of exactly this name exists.
    pub fn has(&self, name: &str) -> bool {
        self.exact(name).next().is_some()
    }

    /// Whether the kernel has this tracepoint; `None` when the symbols cannot tell.
    pub fn has_tracepoint(&self, name: &str) -> Option<bool> {
        const KINDS: [&str; 2] = ["__tracepoint_", "__traceiter_"];
        let any = |kind: &&str| self.iter().any(|s| s.name.starts_with(*kind));
        match KINDS.iter().any(|kind| self.has(&format!("{kind}{name}"))) {
            true => Some(true),
            false => KINDS.iter().any(any).then_some(false),
        }
    }

    /// Symbols of exactly this name; static functions can share one.
    pub fn exact(&self, name: &str) -> impl Iterator<Item = Symbol<'_>> {
        let index = self.by_name.get_or_init(|| self.index());
        let wanted = hash(name);
        let start = index.partition_point(|(h, _)| *h < wanted);
        let same = index[start..].iter().take_while(move |(h, _)| *h == wanted);
        same.map(|(_, at)| self.symbol(&self.entries[*at as usize]))
            .filter(move |symbol| symbol.name == name)
    }

    /// [`Symbols::function_with_suffix`] with an address; an error too when that is hidden.
    pub fn function(&self, name: &str) -> Result<Symbol<'_>, String> {
        let symbol = self.function_with_suffix(name)?;
        if symbol.address == 0 {
            let why = format!("`{name}` exists, but addresses cannot be read: {HIDDEN}");
            return Err(why);
        }
        Ok(symbol)
    }

    /// The function `name`, or the compiler's clone of the whole of it (`.isra.0`,
    /// `.constprop.0`), never a piece (`.cold`, `.part.0`). An error when there is none, or more
    /// than one; it says which.
    pub fn function_with_suffix(&self, name: &str) -> Result<Symbol<'_>, String> {
        let mut found: Vec<_> = self.exact(name).collect();
        if found.is_empty() {
            let clone = |s: &Symbol<'_>| s.name.strip_prefix(name).is_some_and(is_clone_suffix);
            found = self.iter().filter(clone).collect();
        }
        match found[..] {
            [] if self.is_empty() => Err(EMPTY.to_owned()),
            [] => Err(format!("no function `{name}`")),
            [only] => Ok(only),
            [first, ..] if found.iter().all(|s| s.name == first.name) => Err(format!(
                "{} functions are called `{}`",
                found.len(),
                first.name
            )),
            _ => {
                let names: Vec<_> = found.iter().map(|s| s.name).collect();
                let names = names.join(", ");
                Err(format!("`{name}` has several clones: {names}"))
            }
        }
    }

    /// Their names by address, in a fifth of the memory.
    pub fn names(&self) -> Names {
        // Of several names of an address the kernel prints the first.
        let ahead = self.entries.iter().map(|e| Some(e.address));
        let firsts = self.entries.iter().zip(std::iter::once(None).chain(ahead));
        let firsts = firsts.filter(|(entry, before)| Some(entry.address) != *before);
        // zstd fails without memory only; then stacks are of bare addresses.
        Names::of(firsts.map(|(entry, _)| self.symbol(entry))).unwrap_or_default()
    }

    fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.entries.iter().map(|e| self.symbol(e))
    }

    fn symbol(&self, entry: &Entry) -> Symbol<'_> {
        let range: Range<usize> = entry.name as usize..entry.name as usize + entry.len as usize;
        let module = usize::from(entry.module).checked_sub(1);
        Symbol {
            name: &self.names[range],
            address: entry.address,
            module: module.map(|at| self.modules[at].as_str()),
        }
    }

    fn add(&mut self, text: &[u8]) {
        for line in text.split(|b| *b == b'\n') {
            if let Some((address, name, module)) = std::str::from_utf8(line).ok().and_then(split) {
                self.push(address, name, module);
            }
        }
    }

    fn push(&mut self, address: u64, name: &str, module: Option<&str>) {
        let module = match module {
            None => 0,
            Some(module) => match self.modules.iter().rposition(|m| m == module) {
                Some(at) => at + 1,
                None => {
                    self.modules.push(module.to_owned());
                    self.modules.len()
                }
            },
        };
        let fits = (
            u32::try_from(self.names.len() + name.len()),
            u16::try_from(name.len()),
            u16::try_from(module),
        );
        let (Ok(end), Ok(len), Ok(module)) = fits else {
            return;
        };
        self.names.push_str(name);
        self.entries.push(Entry {
            address,
            name: end - u32::from(len),
            len,
            module,
        });
    }

    fn finish(&mut self) {
        // Stable: of several names of an address the first stays first. The kernel's own part is
        // in order already.
        self.entries.sort_by_key(|e| e.address);
        self.names.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    fn index(&self) -> Vec<(u32, u32)> {
        let hashes = self.iter().map(|symbol| hash(symbol.name));
        let mut index: Vec<_> = hashes.zip(0..).collect();
        index.sort_unstable();
        index
    }
}

/// Address, name and module of a line, when it is a symbol worth keeping.
fn split(line: &str) -> Option<(u64, &str, Option<&str>)> {
    let (address, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    let (name, module) = match rest.split_once('\t') {
        Some((name, module)) => (name, Some(module.strip_prefix('[')?.strip_suffix(']')?)),
        None => (rest, None),
    };
    let text = matches!(kind, "t" | "T" | "w" | "W");
    // The padding in front of each function has a symbol of its own on some kernels.
    let wanted = text && !name.starts_with("__pfx_") || name.starts_with("__tracepoint_");
    if name.is_empty() || !wanted {
        return None;
    }
    Some((u64::from_str_radix(address, 16).ok()?, name, module))
}

fn is_clone_suffix(suffix: &str) -> bool {
    let mut parts = suffix.split('.');
    if parts.next() != Some("") {
        return false;
    }
    let mut any = false;
    while let Some(kind) = parts.next() {
        let number = parts.next().unwrap_or_default();
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if !WHOLE.contains(&kind) || !digits {
            return false;
        }
        any = true;
    }
    any
}

fn hash(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    // Any 32 bits will do: names are compared after that.
    hasher.finish() as u32
}

#[cfg(test)]
#[path = "kallsyms_tests.rs"]
mod tests;
