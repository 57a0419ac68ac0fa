//! What has become of a guest, told from what it says and from when it last said something.

use std::time::Duration;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The command ended with this status.
    Exited(u8),
    /// The command ran for longer than it may; the guest was alive.
    TimedOut,
    /// The kernel crashed: the line with which it said so.
    Crashed(String),
    /// The guest fell silent: while what, and the last complaint on its console.
    Hung(String),
    /// The guest could not be set up, or ended for no known reason: why.
    Failed(String),
}

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From its start until it is ready.
    pub boot: Duration,
    /// Between two signs of life after that.
    pub silence: Duration,
    /// For the command; `None` for as long as it likes.
    pub command: Option<Duration>,
}

/// Once the kernel has begun to say why it crashes, how long it may take to say all of it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Follows one guest. Times are since its start.
pub struct Watch {
    limits: Limits,
    ready: Option<Duration>,
    release: Option<String>,
    last_sign: Duration,
    crash: Option<(Duration, String)>,
    complaint: Option<String>,
    end: Option<End>,
}

impl Watch {
    /// A guest that is about to start.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ready: None,
            release: None,
            last_sign: Duration::ZERO,
            crash: None,
            complaint: None,
            end: None,
        }
    }

    /// When the guest was ready, and its kernel's release.
    pub fn ready(&self) -> Option<(Duration, &str)> {
        Some((self.ready?, self.release.as_deref()?))
    }

    /// A line on the port `control`.
    pub fn control(&mut self, now: Duration, line: &str) {
        self.last_sign = now;
        match line.split_once(' ').unwrap_or((line, "")) {
            ("ready", release) => {
                self.ready = Some(now);
                self.release = Some(release.to_owned());
            }
            ("exit", status) => {
                let status = status.trim().parse();
                self.end = Some(status.map_or_else(
                    |_| End::Failed(format!("the guest said `{line}`")),
                    End::Exited,
                ));
            }
            ("cannot", why) => self.end = Some(End::Failed(format!("the guest cannot {why}"))),
            _ => {}
        }
    }

    /// A line on the kernel's console.
    pub fn console(&mut self, now: Duration, line: &str) {
        let said = message(line);
        if self.crash.is_none() && CRASHES.iter().any(|crash| said.starts_with(crash)) {
            self.crash = Some((now, said.to_owned()));
        } else if COMPLAINTS.iter().any(|complaint| said.contains(complaint)) {
            self.complaint = Some(said.to_owned());
        }
    }

    /// The end, if it has come by now.
    pub fn end(&self, now: Duration) -> Option<End> {
        if let Some((since, line)) = &self.crash {
            return (now >= *since + LAST_WORDS).then(|| End::Crashed(line.clone()));
        }
        if self.end.is_some() {
            return self.end.clone();
        }
        let Some(ready) = self.ready else {
            return (now >= self.limits.boot).then(|| self.hung("booting", now));
        };
        if now >= self.last_sign + self.limits.silence {
            return Some(self.hung("the command ran", now - self.last_sign));
        }
        let timed_out = self
            .limits
            .command
            .is_some_and(|limit| now >= ready + limit);
        timed_out.then_some(End::TimedOut)
    }

    /// The emulator has ended, and said this.
    pub fn emulator_ended(&self, said: &str) -> End {
        match (&self.crash, &self.end) {
            (Some((_, line)), _) => End::Crashed(line.clone()),
            (None, Some(end)) => end.clone(),
            (None, None) => {
                let last = said.lines().rfind(|line| !line.trim().is_empty());
                End::Failed(format!(
                    "QEMU ended: {}",
                    last.unwrap_or("it did not say why")
                ))
            }
        }
    }

    fn hung(&self, during: &str, silent: Duration) -> End {
        let complaint = self
            .complaint
            .as_deref()
            .unwrap_or("nothing on its console");
        End::Hung(format!(
            "{} s of silence while {during}; {complaint}",
            silent.as_secs()
        ))
    }
}

/// How the kernel begins the line on which it says that it crashes.
const CRASHES: &[&str] = &[
    "Kernel panic - not syncing",
    "Oops",
    "BUG: kernel NULL pointer",
    "BUG: unable to handle",
    "kernel BUG at",
    "general protection fault",
    "double fault",
    "PANIC: double fault",
];

/// What it says when it makes no progress. It may recover.
const COMPLAINTS: &[&str] = &[
    "detected stall",
    "self-detected stall",
    "soft lockup",
    "hard LOCKUP",
    "blocked for more than",
];

/// A line of the console without its time stamp.
fn message(line: &str) -> &str {
    let line = line.trim_end();
    let rest = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    rest.map_or(line, |(_, message)| message)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
