//! The audit of a command: whose child met which failure, found while the processes live.

mod process;
mod tree;
mod watcher;

pub use watcher::Watcher;
