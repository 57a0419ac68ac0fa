//! strace, which makes a system call of a thread fail, or last.

use crate::harness::skip;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

/// strace on the thread that made this value; it lets go when the value does.
#[derive(Debug)]
pub struct Strace {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Strace {
    /// Injects, as after strace's `-e inject=`; `None` where that cannot be had here.
    pub fn inject(faults: &[&str]) -> Option<Self> {
        let tid = rustix::thread::gettid().as_raw_nonzero().to_string();
        let mut command = Command::new("strace");
        command.args(["-p", &tid]);
        for fault in faults {
            command.args(["-e", &format!("inject={fault}")]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = match command.stderr(Stdio::piped()).spawn() {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                skip("strace is not installed: run `cargo xtask setup`");
                return None;
            }
            other => other.unwrap(),
        };
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        if !line.contains("attached") {
            let _ = child.wait();
            skip(&format!("strace cannot be used: {}", line.trim()));
            return None;
        }
        Some(Self { child, stderr })
    }

    /// Lets go, and gives the number of system calls that were tampered with.
    pub fn finish(mut self) -> usize {
        self.interrupt();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        eprintln!("{said}");
        said.lines()
            .filter(|line| line.contains("INJECTED"))
            .count()
    }

    fn interrupt(&mut self) {
        // strace detaches from what it was attached to, and ends.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.interrupt();
        let _ = self.child.wait();
    }
}
