//! The hook table, the plan (the best probe for each hook, with the reason), loading, attaching.

mod ahead;
mod attach;
mod blind;
mod cast;
mod choice;
mod cost;
mod counters;
mod filters;
mod functions;
mod hook;
mod hooks;
mod object;
mod program;
mod settings;
mod spares;
mod stages;
mod standby;
mod survey;
mod tracer;
mod trial;

pub use choice::Choice;
pub use counters::{is_loss, losses};
pub use filters::{Filters, PathFilter};
pub use hooks::hook_of;
pub use stages::Stages;
pub use standby::Roused;
pub use survey::survey;
pub use tracer::{Options, Tracer};
