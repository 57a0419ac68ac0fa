//! What the tracer itself costs: its programs in the kernel, its process, and the limit to that.

mod limit;
pub mod memory;
mod meter;
mod process;

pub use limit::{Limit, Step, Verdict};
pub use meter::{Meter, Second};
pub use process::process;
