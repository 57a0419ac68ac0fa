//! Running commands, and where things are.

use anyhow::{Context, Result, anyhow, bail, ensure};
use std::env;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The root of the workspace: cargo says where it is now, not where this program was built.
pub fn workspace() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts what it builds here.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace().join("target"),
        |dir| workspace().join(dir), // An absolute path replaces the root.
    )
}

/// Where downloaded and installed tools are kept, outside the repository.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").map(PathBuf::from) {
        Some(dir) if dir.is_absolute() => dir,
        _ => env::home_dir()
            .filter(|home| home.is_absolute())
            .context("no cache directory: neither XDG_CACHE_HOME nor HOME is set; set one")?
            .join(".cache"),
    };
    Ok(base.join("iomap-trace"))
}

/// True when this process runs as root.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The executable `name` in `PATH`, or in the directories of administrators' tools, which are
/// often not in the `PATH` of others.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| {
            file.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// The command as one would type it.
pub fn typed(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command on this terminal.
///
/// # Errors
/// When it cannot be started or does not exit with 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|e| cannot_run(command, &e))?;
    ended(command, status)
}

/// Where a command prints what is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
}

/// [`run`], and what the command said on one stream, which is passed on as it comes: that stream is no
/// terminal for it.
///
/// # Errors
/// When the command cannot be started; how it ended is the first of the two.
pub fn run_heard(command: &mut Command, from: Stream) -> Result<(Result<()>, String)> {
    match from {
        Stream::Out => command.stdout(Stdio::piped()),
        Stream::Error => command.stderr(Stdio::piped()),
    };
    let mut child = command.spawn().map_err(|e| cannot_run(command, &e))?;
    let (out, error) = (child.stdout.take(), child.stderr.take());
    let (send, parts) = mpsc::channel();
    // One of them is there.
    std::thread::spawn(move || {
        if let Some(out) = out {
            pass_on(out, std::io::stdout(), &send);
        }
        if let Some(error) = error {
            pass_on(error, std::io::stderr(), &send);
        }
    });
    let status = child.wait()?;
    // What it has left behind may hold the stream open, and write to it, for as long as it likes.
    let until = Instant::now() + Duration::from_secs(1);
    let mut said = Vec::new();
    while let Ok(part) = parts.recv_timeout(until.saturating_duration_since(Instant::now())) {
        said.extend(part);
    }
    let said = String::from_utf8_lossy(&said).into_owned();
    Ok((ended(command, status), said))
}

/// Writes on what is read, as it comes, and sends it.
fn pass_on(mut read: impl Read, mut to: impl Write, send: &mpsc::Sender<Vec<u8>>) {
    let mut part = [0; 4096];
    while let Ok(len @ 1..) = read.read(&mut part) {
        // Nobody may be there to read it: the command goes on all the same.
        let _ = to.write_all(&part[..len]).and_then(|()| to.flush());
        if send.send(part[..len].to_vec()).is_err() {
            break;
        }
    }
}

fn ended(command: &Command, status: ExitStatus) -> Result<()> {
    ensure!(status.success(), "`{}` failed: {status}", typed(command));
    Ok(())
}

/// Runs a command and gives its standard output, without the space around it.
///
/// # Errors
/// When it cannot be started, does not exit with 0 (the last line of its standard error is part
/// of the message), or prints something else than UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| cannot_run(command, &e))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        let why = said.lines().rfind(|line| !line.trim().is_empty());
        bail!(
            "`{}` failed: {}",
            typed(command),
            why.map_or_else(|| out.status.to_string(), |line| line.trim().to_owned())
        );
    }
    let text = String::from_utf8(out.stdout)
        .with_context(|| format!("`{}` did not print UTF-8", typed(command)))?;
    Ok(text.trim().to_owned())
}

fn cannot_run(command: &Command, error: &std::io::Error) -> anyhow::Error {
    anyhow!(
        "cannot run `{}`: {error}; install it or put it in PATH",
        command.get_program().to_string_lossy()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_name_the_command_and_its_last_words() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c echo why >&2; exit 3` failed: why"
        );
        let error = run(&mut Command::new("no-such-command-here")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot run `no-such-command-here`")
        );
    }

    #[test]
    fn what_a_command_says_is_heard() {
        let mut sh = Command::new("sh");
        sh.args(["-c", "echo first >&2; printf last >&2; exit 3"]);
        let (done, said) = run_heard(&mut sh, Stream::Error).unwrap();
        assert_eq!(said.lines().collect::<Vec<_>>(), ["first", "last"]);
        assert!(done.unwrap_err().to_string().contains("exit status: 3"));
        // It is over although somebody holds its standard output.
        let start = Instant::now();
        let mut sh = Command::new("sh");
        sh.args(["-c", "sleep 60 & echo $!"]);
        let (done, left) = run_heard(&mut sh, Stream::Out).unwrap();
        done.unwrap();
        assert!(start.elapsed() < Duration::from_secs(50));
        run(Command::new("kill").arg(left.trim())).unwrap();
    }

    #[test]
    fn which_finds_only_executables() {
        assert!(which("sh").is_some());
        assert!(which("no-such-command-here").is_none());
    }

    #[test]
    fn the_workspace_is_the_directory_of_cargo_lock() {
        assert!(workspace().join("Cargo.lock").is_file());
    }
}
