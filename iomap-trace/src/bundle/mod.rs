//! The bundle for a bug report: logs, reports, what the kernel offers and said, in one file.

mod check;
mod contents;
mod messages;
mod names;
mod pack;
mod redact;
mod target;

pub use contents::{Contents, Log, bundle};
pub use names::Names;
pub use redact::{mounts, redact};
pub use target::{Target, reopened, scratch};
