//! The kernel's direct write path beside the reference: one schedule, once for each column.
//!
//! A [`Schedule`] says what each thread does to a file. Each [`Column`] runs it on a file of its own:
//! the kernel's own path, under the tracer where one can be attached, and the reference in user space
//! by each policy. Every sector of a write carries its identity, so that [`verify()`] can say from the
//! data alone what is stale, lost or torn, and whose write it was.

mod ack;
mod column;
mod comparison;
mod generate;
mod invariant;
mod record;
mod runner;
mod schedule;
mod shrink;
mod target;
mod traced;
mod under;
mod verify;
mod worker;

pub use column::{ColumnReport, Direct, Latency, Others};
pub use comparison::{Comparison, minimal};
pub use generate::Mix;
pub use invariant::{Broken, Violation};
pub use record::{Content, Kind, OpId, Record, Seen};
pub use runner::{Place, Ran, run};
pub use schedule::{Op, Role, SCHEMA, Schedule, Thread};
pub use shrink::shrink;
pub use target::Column;
pub use traced::{Outlook, Traced};
pub use under::{Tracing, alone};
pub use verify::{Evidence, Finding, Findings, Found, verify};
