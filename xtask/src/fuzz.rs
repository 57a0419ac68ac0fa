//! `cargo xtask fuzz`: the fuzz targets in iomap-trace/fuzz, one after the other.

use crate::toolchain::Toolchain;
use crate::{signal, util};
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The release of cargo-fuzz.
const VERSION: &str = "0.13.2";
/// Where the targets are.
const DIR: &str = "iomap-trace/fuzz";
/// The targets, what reads the kernel's text first.
const TARGETS: &[&str] = &["tracefs_format", "kallsyms", "log_reader", "engine"];
/// Inputs are at most this long, in bytes: a log of some records.
const LONGEST: u32 = 32 << 10;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// Only this target
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    target: Option<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
}

/// Builds and runs the targets; the exit code is 1 when an input was found that breaks one.
///
/// # Errors
/// When cargo-fuzz cannot be installed, or the targets cannot be built or started.
pub fn run(args: &Args) -> Result<ExitCode> {
    let toolchain = Toolchain::pinned()?;
    let fuzzer = Fuzzer::new(&toolchain)?;
    let wanted = |name: &&&str| args.target.as_deref().is_none_or(|only| only == **name);
    let targets: Vec<_> = TARGETS.iter().filter(wanted).collect();
    fuzzer.build()?;
    signal::remember_interrupts();
    let mut found = Vec::new();
    println!("target          executions  covered edges  inputs kept  crashes");
    for name in targets {
        let run = fuzzer.run(name, args.seconds)?;
        println!(
            "{name:<14} {:>11} {:>14} {:>12} {:>8}",
            run.executions,
            run.edges,
            run.kept,
            run.crashes.len()
        );
        if !run.ended_well && run.crashes.is_empty() && !signal::interrupted() {
            eprintln!("fuzz: {name} did not end well: see {}", run.log.display());
            found.push(run.log);
        }
        found.extend(run.crashes);
        if signal::interrupted() {
            break;
        }
    }
    for file in &found {
        eprintln!("fuzz: {}", file.display());
    }
    if !found.is_empty() {
        eprintln!(
            "fuzz: mend it, and keep each input below {DIR}/regressions/TARGET: \
             `cargo test --test fuzz` runs them"
        );
    }
    Ok(ExitCode::from(u8::from(!found.is_empty())))
}

/// How a target was run.
struct Run {
    executions: u64,
    edges: u64,
    kept: u64,
    /// Inputs that broke it, as files.
    crashes: Vec<PathBuf>,
    ended_well: bool,
    log: PathBuf,
}

/// What builds and runs targets.
struct Fuzzer<'a> {
    toolchain: &'a Toolchain,
    cargo_fuzz: PathBuf,
    /// Everything that fuzzing leaves behind is below it.
    dir: PathBuf,
}

impl<'a> Fuzzer<'a> {
    fn new(toolchain: &'a Toolchain) -> Result<Self> {
        let dir = util::target_dir().join("fuzz");
        let cargo_fuzz = find_or_install(toolchain, &dir)?;
        Ok(Self {
            toolchain,
            cargo_fuzz,
            dir,
        })
    }

    fn build(&self) -> Result<()> {
        // Cargo finds its subcommands in PATH.
        let bin = self.cargo_fuzz.parent().map(Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(bin.into_iter().chain(std::env::split_paths(&path)))?;
        let mut build = self.toolchain.cargo();
        build.args(["fuzz", "build", "--fuzz-dir", DIR, "--target-dir"]);
        build.arg(self.dir.join("build")).env("PATH", path);
        // The sanitiser is there in the one toolchain, but its option is not stable.
        build.env("RUSTC_BOOTSTRAP", "1");
        util::run(&mut build).context("the fuzz targets cannot be built")
    }

    fn run(&self, name: &str, seconds: u32) -> Result<Run> {
        let corpus = self.dir.join("corpus").join(name);
        let artifacts = self.dir.join("artifacts").join(name);
        for dir in [&corpus, &artifacts] {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let before = files(&artifacts)?;
        let log = self.dir.join(format!("{name}.log"));
        let said = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let triple = util::output(self.toolchain.rustc().args(["--print", "host-tuple"]))?;
        let program = self
            .dir
            .join("build")
            .join(triple)
            .join("release")
            .join(name);
        let mut command = Command::new(&program);
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-max_len={LONGEST}"));
        command.args(["-rss_limit_mb=2048", "-timeout=30", "-print_final_stats=1"]);
        command.arg(format!("-artifact_prefix={}/", artifacts.display()));
        // What is found goes to the first directory, the others are only read.
        command.arg(&corpus);
        command.arg(util::workspace().join(DIR).join("seeds").join(name));
        let regressions = util::workspace().join(DIR).join("regressions").join(name);
        if regressions.is_dir() {
            command.arg(regressions);
        }
        command.env("ASAN_OPTIONS", "detect_odr_violation=0");
        command.stdout(said.try_clone()?).stderr(said);
        eprintln!(
            "fuzz: {name} for {seconds} s; it tells of itself in {}",
            log.display()
        );
        let status = command
            .status()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let (edges, kept) = progress(&text);
        Ok(Run {
            executions: statistic(&text, "number_of_executed_units"),
            edges,
            kept,
            crashes: files(&artifacts)?
                .into_iter()
                .filter(|file| !before.contains(file))
                .collect(),
            ended_well: status.success(),
            log,
        })
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect())
}

/// A line of libFuzzer's `stat::NAME: VALUE` at the end; 0 when it is not there.
fn statistic(text: &str, name: &str) -> u64 {
    let prefix = format!("stat::{name}:");
    let mut values = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    values
        .next_back()
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Covered edges and the number of inputs that cover them, of the last line of progress:
/// `#1234 DONE cov: 382 ft: 1799 corp: 463/251Kb …`.
fn progress(text: &str) -> (u64, u64) {
    let last = text
        .lines()
        .rfind(|line| line.starts_with('#') && line.contains(" cov: "));
    let value = |key: &str| {
        let rest = last?.split_once(key)?.1;
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    (value(" cov: ").unwrap_or(0), value(" corp: ").unwrap_or(0))
}

/// cargo-fuzz of [`VERSION`] in `PATH` or in `dir`; installed there if it is in neither.
fn find_or_install(toolchain: &Toolchain, dir: &Path) -> Result<PathBuf> {
    let root = dir.join(format!("cargo-fuzz-{VERSION}"));
    let own = root.join("bin/cargo-fuzz");
    let mut known = util::which("cargo-fuzz").into_iter().chain([own.clone()]);
    if let Some(program) = known.find(|program| is_right(program)) {
        return Ok(program);
    }
    eprintln!("installing cargo-fuzz {VERSION} into {}", root.display());
    let mut install = toolchain.cargo();
    install.args(["install", "cargo-fuzz", "--locked", "--force"]);
    install.args(["--version", VERSION, "--root"]).arg(&root);
    install.env("CARGO_TARGET_DIR", root.join("build"));
    util::run(&mut install).with_context(|| {
        format!("no cargo-fuzz; run `cargo install cargo-fuzz --version {VERSION} --locked`")
    })?;
    // Only the program is needed from now on.
    let _ = fs::remove_dir_all(root.join("build"));
    ensure!(is_right(&own), "{} does not run", own.display());
    Ok(own)
}

fn is_right(program: &Path) -> bool {
    util::output(Command::new(program).arg("--version"))
        .is_ok_and(|said| said.split_whitespace().any(|word| word == VERSION))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 30Mb
#90\tDONE   cov: 382 ft: 1799 corp: 463/251Kb lim: 3713 exec/s: 45 rss: 465Mb
Done 90 runs in 2 second(s)
stat::number_of_executed_units: 90
stat::peak_rss_mb:              465
";

    #[test]
    fn figures_are_those_of_the_end() {
        assert_eq!(progress(SAID), (382, 463));
        assert_eq!(statistic(SAID, "number_of_executed_units"), 90);
        assert_eq!(statistic(SAID, "peak_rss_mb"), 465);
        assert_eq!((statistic("", "x"), progress("")), (0, (0, 0)));
    }

    #[test]
    fn every_target_has_its_file() {
        let dir = util::workspace().join(DIR);
        for name in TARGETS {
            assert!(
                dir.join(format!("fuzz_targets/{name}.rs")).is_file(),
                "{name}"
            );
        }
    }
}
