//! The engine against the truth of the model, and the command that prints it.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

#[path = "model/agreement.rs"]
mod agreement;
#[path = "model/command.rs"]
mod command;
#[path = "model/directed.rs"]
mod directed;
#[path = "model/random.rs"]
mod random;
