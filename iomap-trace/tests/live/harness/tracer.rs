//! Running `iomap-trace`.

use super::{Log, wait_until};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// An argument of whatever kind.
pub type Arg<'a> = &'a dyn AsRef<OsStr>;

/// The program under test.
pub fn bin() -> PathBuf {
    std::env::var_os("IOMAP_TRACE_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_iomap-trace").into(), PathBuf::from)
}

/// What came of a run.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Finished {
    /// The run must have ended with this exit code.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "{}: {}",
            self.status,
            self.stderr
        );
        self
    }

    /// Standard output as NDJSON.
    pub fn log(&self) -> Log {
        Log::parse(&self.stdout)
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("output is UTF-8")
    }
}

/// Runs `iomap-trace` to its end.
pub fn run(args: &[Arg<'_>]) -> Finished {
    Tracer::spawn(args, &[]).wait()
}

/// A running `iomap-trace`, killed if the test ends before it does. Its output goes to files, so
/// that it never waits for the test.
#[derive(Debug)]
pub struct Tracer {
    child: Child,
    out: TempDir,
}

impl Tracer {
    /// Starts it.
    pub fn spawn(args: &[Arg<'_>], env: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(bin());
        command.args(args).envs(env.iter().copied());
        Self::by(command)
    }

    /// Starts it by a command of another kind.
    pub fn by(mut command: Command) -> Self {
        let out = TempDir::with_prefix("iomap-trace-out-").unwrap();
        let file = |name: &str| Stdio::from(File::create(out.path().join(name)).unwrap());
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("iomap-trace can be run");
        Self { child, out }
    }

    /// Starts it, and waits until its programs are attached.
    pub fn start(args: &[Arg<'_>]) -> Self {
        Self::spawn(args, &[]).attached()
    }

    /// Waits until its programs are attached.
    pub fn attached(mut self) -> Self {
        wait_until("the tracer to attach", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", self.stderr());
            self.stderr().contains("  hooks: ")
        });
        self
    }

    /// Standard error up to now.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.out.path().join("stderr")).unwrap()
    }

    /// Standard output up to now.
    pub fn stdout(&self) -> Vec<u8> {
        std::fs::read(self.out.path().join("stdout")).unwrap()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(self.pid().cast_signed(), signal) }, 0);
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Finished {
        let status = self.child.wait().unwrap();
        Finished {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    /// Ends it as Ctrl-C does. It must end well.
    pub fn stop(self) -> Finished {
        self.signal(libc::SIGINT);
        self.wait().expect(0)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
