//! The steps, in the order in which they run: the cheap ones that find most come first.

use super::{Outcome, live, matrix, soak};
use crate::bpf;
use crate::dist;
use crate::toolchain::Toolchain;
use crate::util;
use anyhow::{Context, Result};
use std::process::Command;

/// What a step needs that is not to be had everywhere.
#[derive(Clone, Copy)]
pub enum Needs {
    /// What every developer has.
    Nothing,
    /// Root and a kernel to trace.
    Root,
    /// Virtual machines and other kernels.
    Vm,
}

/// One step.
pub struct Step {
    /// One word.
    pub name: &'static str,
    /// What it runs, in a few words.
    pub what: &'static str,
    /// What it cannot do without.
    pub needs: Needs,
    /// Does it.
    pub run: Box<dyn Fn(&Toolchain) -> Outcome>,
}

/// All steps.
pub fn all(long: bool, options: &matrix::Options) -> Vec<Step> {
    let options = options.clone();
    vec![
        cargo("fmt", "cargo fmt --all --check"),
        cargo(
            "clippy",
            "cargo clippy --all-targets --locked -- -D warnings",
        ),
        step("lint-abi", "clippy of the ABI crate's library", lint_abi),
        step("lint-bpf", "clippy of the BPF programs", lint_bpf),
        step("bpf", "cargo xtask bpf --check", check_bpf),
        Step {
            name: "test",
            what: "cargo test --locked",
            needs: Needs::Nothing,
            run: Box::new(move |toolchain| {
                let mut cargo = toolchain.cargo();
                cargo.args(["test", "--locked"]);
                if long {
                    cargo.env("PROPTEST_CASES", "20000");
                }
                util::run(&mut cargo).into()
            }),
        },
        Step {
            name: "proof",
            what: "the engine against its oracle and the model, many cases",
            needs: Needs::Nothing,
            run: Box::new(move |toolchain| proof(toolchain, long).into()),
        },
        cargo(
            "abi",
            "cargo test --locked --package iomap-trace-ebpf --lib",
        ),
        Step {
            name: "live",
            what: "the live tests, as root",
            needs: Needs::Root,
            run: Box::new(move |toolchain| live::run(toolchain, long)),
        },
        Step {
            name: "direct",
            what: "the direct write path in user space, with injected faults, as root",
            needs: Needs::Root,
            run: Box::new(live::run_reference),
        },
        Step {
            name: "soak",
            what: "tracers killed at random under full load, disks that run full, as root",
            needs: Needs::Root,
            run: Box::new(move |toolchain| soak::run(toolchain, long)),
        },
        Step {
            name: "vm",
            what: "the program on other kernels, in virtual machines",
            needs: Needs::Vm,
            run: Box::new(move |toolchain| matrix::run(toolchain, &options)),
        },
        Step {
            name: "dist",
            what: "the packages: made, installed, used, removed, as root",
            // It takes the static program that the kernels above have run.
            needs: Needs::Root,
            run: Box::new(|toolchain| {
                dist::check::run(toolchain).unwrap_or_else(|error| Err(error).into())
            }),
        },
        step("deny", "cargo deny check bans licenses sources", deny),
        step("doc", "cargo doc --locked --no-deps", doc),
    ]
}

fn step(name: &'static str, what: &'static str, run: fn(&Toolchain) -> Result<Outcome>) -> Step {
    Step {
        name,
        what,
        needs: Needs::Nothing,
        run: Box::new(move |toolchain| run(toolchain).unwrap_or_else(|e| Err(e).into())),
    }
}

/// A step that is one command of cargo, as typed.
fn cargo(name: &'static str, typed: &'static str) -> Step {
    Step {
        name,
        what: typed,
        needs: Needs::Nothing,
        run: Box::new(move |toolchain| {
            util::run(toolchain.cargo().args(typed.split(' ').skip(1))).into()
        }),
    }
}

/// Properties of the engine, each with so many cases.
const PROOF: u32 = 10_000;
/// The same with `--long`.
const LONG_PROOF: u32 = 1_000_000;
/// Properties that hold the engine against a second opinion: the brute-force oracle, a linear scan,
/// and models that know what happened.
const PROPERTIES: &[&str] = &[
    "correlate::tests::properties::the_oracle_agrees",
    "correlate::tests::properties::the_oracle_agrees_when_failures_are_interleaved",
    "correlate::tests::locks::",
    "correlate::tests::truth::",
    "correlate::tests::index::",
];

fn proof(toolchain: &Toolchain, long: bool) -> Result<()> {
    let cases = if long { LONG_PROOF } else { PROOF };
    let mut cargo = toolchain.cargo();
    // Optimised: most of the time is the oracle's.
    cargo.args(["test", "--locked", "--release", "--package", "iomap-trace"]);
    cargo.args(["--lib", "--"]).args(PROPERTIES);
    util::run(cargo.env("PROPTEST_CASES", cases.to_string()))?;
    let mut cargo = toolchain.cargo();
    cargo.args(["test", "--locked", "--release", "--package", "iomap-trace"]);
    cargo.args(["--test", "model", "--", "random::"]);
    util::run(cargo.env("PROPTEST_CASES", cases.to_string()))
}

fn lint_abi(toolchain: &Toolchain) -> Result<Outcome> {
    let mut cargo = toolchain.cargo();
    cargo.args(["clippy", "--locked", "--package", bpf::PACKAGE]);
    cargo.args(["--lib", "--tests", "--", "-D", "warnings"]);
    Ok(util::run(&mut cargo).into())
}

fn lint_bpf(toolchain: &Toolchain) -> Result<Outcome> {
    let mut cargo = bpf::cargo_for_bpf(toolchain, "clippy")?;
    cargo.args(["--package", bpf::PACKAGE, "--bin", bpf::PACKAGE]);
    cargo
        .arg("--target-dir")
        .arg(util::target_dir().join("bpf"));
    cargo.args(["--", "-D", "warnings"]);
    Ok(util::run(&mut cargo).into())
}

fn check_bpf(toolchain: &Toolchain) -> Result<Outcome> {
    Ok(bpf::check_committed(toolchain).into())
}

fn deny(toolchain: &Toolchain) -> Result<Outcome> {
    if util::output(Command::new("cargo-deny").arg("--version")).is_err() {
        return Ok(Outcome::Skipped("cargo-deny is not installed".to_owned()));
    }
    let mut cargo = toolchain.cargo();
    cargo.args(["deny", "--locked", "check", "bans", "licenses", "sources"]);
    Ok(util::run(&mut cargo).into())
}

fn doc(toolchain: &Toolchain) -> Result<Outcome> {
    let mut cargo = toolchain.cargo();
    cargo.args(["doc", "--locked", "--no-deps"]);
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    Ok(util::run(&mut cargo)
        .context("the documentation has errors")
        .into())
}
