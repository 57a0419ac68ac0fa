//! The program's processes, and those that they leave behind.

use super::Wrong;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Makes processes whose parents are killed the children of this one, so that they are seen.
pub fn adopt_orphans() -> Result<()> {
    // SAFETY: this option of prctl(2) takes no pointers.
    let done = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    ensure!(
        done == 0,
        "orphans cannot be adopted: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// Waits for everybody who has ended. To be called when no [`Running`] is left.
pub fn reap() {
    // SAFETY: waitpid(2) takes a null pointer for a status that nobody wants.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// Waits for an adopted child, if it has ended.
pub(super) fn reap_one(pid: u32) {
    // SAFETY: as above; no `Running` is of this process.
    unsafe { libc::waitpid(pid.cast_signed(), std::ptr::null_mut(), libc::WNOHANG) };
}

/// The program, and a directory of its own for temporary files.
pub struct Program {
    path: PathBuf,
    temporary: PathBuf,
}

impl Program {
    /// Makes the directory in `scratch`.
    pub fn new(path: &Path, scratch: &Path) -> Result<Self> {
        let temporary = scratch.join("tmp");
        fs::create_dir(&temporary)?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
        })
    }

    /// A command of it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.env("TMPDIR", &self.temporary).stdin(Stdio::null());
        command
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// No temporary file may be left.
    pub(super) fn check_temporary(&self, wrong: &mut Wrong) -> Result<()> {
        for entry in fs::read_dir(&self.temporary)? {
            wrong.add(format!(
                "a temporary file is left: {}",
                entry?.path().display()
            ));
        }
        Ok(())
    }
}

/// A process that is killed with its group when this value goes.
pub struct Running {
    child: Child,
    /// What it prints on standard error.
    pub said: PathBuf,
}

impl Running {
    /// Starts it in a process group of its own; its standard error goes to `said`.
    pub fn start(mut command: Command, out: Stdio, said: PathBuf) -> Result<Self> {
        let file = File::create(&said)?;
        let child = command.stdout(out).stderr(file).process_group(0).spawn();
        let child =
            child.with_context(|| format!("cannot run {}", crate::util::typed(&command)))?;
        Ok(Self { child, said })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said up to now.
    pub fn words(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until its programs are attached.
    pub fn attached(&mut self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.words().contains("  hooks: ") {
            let ended = self.child.try_wait()?.is_some() || Instant::now() > until;
            ensure!(
                !ended,
                "the program does not attach: {}",
                self.words().trim()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends it a signal, if it is still there.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill(2) takes no memory, and the child is waited for through this value only.
        unsafe { libc::kill(self.pid().cast_signed(), signal) };
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end; after `limit` it is killed, and there is `None`.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let until = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() > until {
                self.child.kill()?;
                self.child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
