//! Guests whose clock counts instructions, with each tracer in turn.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Options;
use super::figures::Counts;
use crate::toolchain::Toolchain;
use crate::util;
use crate::vm::build::{self, What};
use crate::vm::kernel::Kernel;
use crate::vm::machine::Clock;
use crate::vm::run::{self, Job};
use crate::vm::tools::Tools;
use crate::vm::watch::End;

/// A guest takes a minute or two for each configuration on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// What is run without bpftrace. An empty program is put where the tracer before it had one.
const CONFIGS: &str = "none fexit floor-fexit kprobe floor-kprobe tracepoint floor-tracepoint \
    standby-fexit floor-standby-fexit standby-kprobe floor-standby-kprobe standby-tracepoint \
    floor-standby-tracepoint";

/// On these it is run where nothing is said of them.
const FILESYSTEMS: [&str; 2] = ["btrfs", "xfs"];

/// Where the sources of the programs for the guests are, from the root of the workspace.
const SOURCES: &str = "xtask/src/bench/overhead/guest";

/// What runs in the guests; `load` runs on this machine, too.
pub struct Programs {
    /// The tracer, static.
    pub iomap_trace: PathBuf,
    /// What writes, and counts.
    pub load: PathBuf,
    floor: PathBuf,
}

impl Programs {
    /// Builds them all, but for a tracer that is there.
    ///
    /// # Errors
    /// When one cannot be built.
    pub fn build(toolchain: &Toolchain, program: Option<&Path>) -> Result<Self> {
        let iomap_trace = match program {
            Some(program) => program.to_path_buf(),
            None => build::executable(toolchain, What::Program)?,
        };
        Ok(Self {
            iomap_trace,
            load: compile(toolchain, "load")?,
            floor: compile(toolchain, "floor")?,
        })
    }
}

/// Compiles a program of one file, static.
fn compile(toolchain: &Toolchain, name: &str) -> Result<PathBuf> {
    let dir = util::target_dir().join("bench");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let program = dir.join(name);
    let mut rustc = toolchain.rustc();
    rustc.args(["--edition", "2024", "-O", "-C", "strip=symbols"]);
    rustc.args(["-C", "target-feature=+crt-static", "-o"]);
    rustc.arg(&program).arg(format!("{SOURCES}/{name}.rs"));
    util::run(&mut rustc).map(|()| program)
}

/// What one kernel has counted.
pub struct Figures {
    /// Its version.
    pub kernel: String,
    /// The filesystems, in the order in which they were asked for.
    pub filesystems: Vec<String>,
    /// The figures.
    pub counts: Counts,
}

/// Boots a kernel, and runs everything on it.
///
/// # Errors
/// When it cannot be booted, or does not come to its end.
pub fn measure(
    args: &Options,
    name: &str,
    programs: &Programs,
    toolchain: &Toolchain,
) -> Result<Figures> {
    let tools = Tools::get()?;
    let kernel = Kernel::debian(name, false, &tools)?;
    let root = util::workspace().join(SOURCES);
    let mut more = vec![programs.load.clone(), programs.floor.clone()];
    more.extend(["run.sh", "pair.bt"].map(|file| root.join(file)));
    let wanted = |name: &str| {
        let name = name.strip_prefix("floor-").unwrap_or(name);
        let all = args.configs.is_empty() || name == "none";
        all || args.configs.iter().any(|config| config == name)
    };
    let configs = CONFIGS.split_whitespace().filter(|name| wanted(name));
    let mut configs = configs.collect::<Vec<_>>().join(" ");
    if !args.no_bpftrace && wanted("bpftrace") {
        let bpftrace = util::which("bpftrace")
            .context("there is no bpftrace; install it, or leave it out with --no-bpftrace")?;
        more.push(bpftrace);
        configs.push_str(" bpftrace");
    }
    let filesystems = match args.filesystems.as_slice() {
        [] => FILESYSTEMS.map(str::to_owned).to_vec(),
        some => some.to_vec(),
    };
    let command = [
        "sh".to_owned(),
        "/bin/run.sh".to_owned(),
        args.rounds.to_string(),
        filesystems.join(" "),
        configs,
    ];
    let out = util::target_dir().join("bench/overhead").join(name);
    let job = Job {
        kernel: &kernel,
        label: name,
        modules: &[],
        program: Some(&programs.iomap_trace),
        programs: &more,
        append: "",
        clock: Clock::Instructions,
        command: Some(&command),
        timeout: Some(TIMEOUT),
        out: &out,
    };
    match run::run(&job, toolchain, &tools)?.end {
        End::Exited(0) => {}
        End::Exited(status) => bail!("the script in the guest ended with {status}"),
        End::TimedOut => bail!("still running after {} s", TIMEOUT.as_secs()),
        End::Failed(why) => bail!(why),
        End::Crashed(line) => bail!("the kernel crashed: {line}"),
        End::Hung(why) => bail!("the guest hung: {why}"),
    }
    let told = std::fs::read_to_string(out.join("stdout")).context("the guest told nothing")?;
    Ok(Figures {
        kernel: kernel.version.clone(),
        filesystems,
        counts: Counts::read(&told)?,
    })
}
