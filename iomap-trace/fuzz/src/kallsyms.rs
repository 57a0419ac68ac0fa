//! The kernel's symbols.

use iomap_trace::kernel::{Names, Symbols};

/// At most this many of the lines are looked up again.
const LOOKED_UP: usize = 64;

/// Parses `input`, and looks up what its lines seem to say: names are found by name only, addresses
/// by a symbol that is there, and a function that is named has an address.
///
/// # Panics
/// When a symbol is not found, or another one is.
pub fn kallsyms(input: &[u8]) {
    let symbols = Symbols::parse(input);
    assert_eq!(symbols.why_no_addresses().is_some(), symbols.hidden());
    let mut names = symbols.names();
    let text = String::from_utf8_lossy(input);
    for line in text.lines().take(LOOKED_UP) {
        let mut words = line.split([' ', '\t']);
        let (address, name) = (words.next(), words.nth(1));
        if let Some(name) = name {
            look_up(&symbols, &mut names, name);
        }
        if let Some(address) = address.and_then(|hex| u64::from_str_radix(hex, 16).ok()) {
            for address in [address, address.wrapping_add(5), address.wrapping_sub(1)] {
                name_again(&symbols, &mut names, address);
            }
        }
    }
    for address in [0, 1, u64::MAX] {
        name_again(&symbols, &mut names, address);
    }
    // Not by the lines: what the program asks for.
    look_up(&symbols, &mut names, "btrfs_finish_ordered_io");
    let _ = symbols.has_tracepoint("iomap_dio_invalidate_fail");
}

fn look_up(symbols: &Symbols, names: &mut Names, name: &str) {
    let mut known = 0;
    for symbol in symbols.exact(name) {
        known += 1;
        assert_eq!(symbol.name, name);
        let named = names.name(symbol.address);
        if symbol.address != 0 {
            // Of several names of an address it is the first.
            assert!(named.contains("+0x0"), "{named} is not {symbol:?}");
        }
    }
    assert_eq!(symbols.has(name), known > 0);
    match symbols.function_with_suffix(name) {
        Ok(found) => assert!(found.name.starts_with(name), "{found:?} is not {name}"),
        Err(why) => assert!(known != 1, "{name}: {why}"),
    }
    if let Ok(function) = symbols.function(name) {
        assert_ne!(function.address, 0, "{name}");
    }
}

/// An address is printed as a symbol that is there, or as itself.
fn name_again(symbols: &Symbols, names: &mut Names, address: u64) {
    let text = names.name(address);
    if text == format!("{address:#x}") {
        return;
    }
    let mut names = text.match_indices("+0x").map(|(at, _)| &text[..at]);
    assert!(names.any(|name| symbols.has(name)), "{text}");
}
