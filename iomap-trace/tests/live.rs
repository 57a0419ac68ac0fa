//! The tracer against the running kernel: what it says of real collisions on real filesystems is
//! compared with what the kernel counts and with what the workload knows.
//!
//! These tests need root, a kernel with BPF and the mkfs tools (`cargo xtask setup`), and share the
//! kernel, so they run one at a time: `cargo xtask test`, or
//! `cargo test -p iomap-trace --test live -- --ignored --test-threads=1`.
//! `IOMAP_TRACE_BIN` names another program to test, such as an optimised one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail")]

#[path = "live/harness/mod.rs"]
mod harness;

#[path = "live/attributes.rs"]
mod attributes;
#[path = "live/audit.rs"]
mod audit;
#[path = "live/bundle.rs"]
mod bundle;
#[path = "live/counts.rs"]
mod counts;
#[path = "live/ends.rs"]
mod ends;
#[path = "live/exec.rs"]
mod exec;
#[path = "live/filters.rs"]
mod filters;
#[path = "live/identity.rs"]
mod identity;
#[path = "live/logs.rs"]
mod logs;
#[path = "live/metrics.rs"]
mod metrics;
#[path = "live/parts.rs"]
mod parts;
#[path = "live/post.rs"]
mod post;
#[path = "live/privileges.rs"]
mod privileges;
#[path = "live/service.rs"]
mod service;
#[path = "live/standby.rs"]
mod standby;
#[path = "live/subvolumes.rs"]
mod subvolumes;
#[path = "live/without.rs"]
mod without;
#[path = "live/workers.rs"]
mod workers;
#[path = "live/writeback.rs"]
mod writeback;
