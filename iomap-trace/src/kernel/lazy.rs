//! Kernel symbols that are read when they are first asked for.

use std::sync::OnceLock;

use super::{Roots, Symbols};

/// [`Symbols`], read on the first call.
pub struct LazySymbols {
    roots: Roots,
    symbols: OnceLock<Result<Symbols, String>>,
}

impl LazySymbols {
    /// Nothing is read yet.
    pub fn new(roots: &Roots) -> Self {
        Self {
            roots: roots.clone(),
            symbols: OnceLock::new(),
        }
    }

    /// The symbols.
    ///
    /// # Errors
    /// Why there are none.
    pub fn get(&self) -> Result<&Symbols, &str> {
        let read = || {
            let symbols = Symbols::read(&self.roots);
            symbols.map_err(|e| format!("/proc/kallsyms cannot be read: {e}"))
        };
        let symbols = self.symbols.get_or_init(read);
        symbols.as_ref().map_err(String::as_str)
    }
}
