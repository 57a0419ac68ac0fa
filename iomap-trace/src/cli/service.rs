//! What a service manager is told: that the programs are attached, what they see, that the loop
//! lives (`sd_notify(3)`).

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// How often the status changes at most.
const STATUS: Duration = Duration::from_secs(5);

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Service {
    listens: bool,
    /// Half of the time after which it takes the loop for dead.
    watchdog: Option<Duration>,
    alive: Instant,
    told: Option<Instant>,
}

impl Service {
    /// Finds it, where the command is one that services are made of.
    pub fn find(wanted: bool) -> Self {
        let listens = wanted && std::env::var_os("NOTIFY_SOCKET").is_some();
        let watchdog = || sd_notify::watchdog_enabled().map(|time| time / 2);
        Self {
            listens,
            watchdog: listens.then(watchdog).flatten(),
            alive: Instant::now(),
            told: None,
        }
    }

    /// The programs are attached, or the log is open again.
    pub fn ready(&self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The log is opened anew; [`Service::ready`] follows.
    pub fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The run ends.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// To be called some times a second; `status` gives a line.
    pub fn tick(&mut self, status: impl FnOnce() -> String) {
        if !self.listens {
            return;
        }
        if self
            .watchdog
            .is_some_and(|time| self.alive.elapsed() >= time)
        {
            self.tell(&[NotifyState::Watchdog]);
            self.alive = Instant::now();
        }
        if self.told.is_none_or(|at| at.elapsed() >= STATUS) {
            self.tell(&[NotifyState::Status(&status())]);
            self.told = Some(Instant::now());
        }
    }

    fn tell(&self, state: &[NotifyState<'_>]) {
        if self.listens {
            // A manager that cannot be told finds out by itself; the run goes on.
            let _ = sd_notify::notify(state);
        }
    }
}
