//! The kernel beside the reference, on real filesystems: random schedules break no invariant, and
//! the command says what it should.
//!
//! These tests need root and the mkfs tools (`cargo xtask setup`): `cargo xtask test`, or
//! `cargo test -p iomap-trace --test compare -- --ignored --test-threads=1`.
//! `COMPARE_SCHEDULES` is the number of schedules on each filesystem, 20 unless it is given;
//! `COMPARE_SEED` is the first seed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

#[allow(dead_code, unused_imports, reason = "the live tests need more of it")]
#[path = "live/harness/mod.rs"]
mod harness;

#[path = "compare/command.rs"]
mod command;
#[path = "compare/schedules.rs"]
mod schedules;
