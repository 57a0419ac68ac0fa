//! The ABI between the BPF programs and user space: records, settings and counters.
//!
//! No dependencies and no allocation. Every structure is `#[repr(C)]`, its size and the offset of
//! its last field are asserted at compile time, and [`ABI_VERSION`] is the first word of each record.
#![cfg_attr(not(test), no_std)]

mod counter;
mod layout;
mod record;
mod settings;

pub use counter::{COUNTER_NAMES, Counter};
pub use layout::{FIELDS, Field, LAYOUT_LEN, Layout, MISSING};
pub use record::*;
pub use settings::*;

/// Changes with every change of a structure in this crate.
pub const ABI_VERSION: u16 = 2;
