//! The reference: what direct writes do in the kernel, where everything can be seen.
//!
//! [`Policy`] says what a write path makes of an invalidation that failed. [`model`] is a
//! deterministic model of the kernel around it, of which the truth is known. [`direct`] is a real one,
//! in user space, on real files; [`compare`] runs it beside the kernel.

pub mod compare;
pub mod direct;
pub mod model;
mod policy;

pub use policy::{Next, Policy};
