//! The signals that end a run well, and the one that opens its log anew.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, from the moment of listening on, also where a parent had them ignored; SIGHUP
/// where it is asked for.
#[derive(Debug)]
pub struct Signals {
    pub interrupt: Signal,
    pub terminate: Signal,
    pub hangup: Option<Signal>,
}

impl Signals {
    /// Listens. It comes before anything is attached or announced: a signal that is sent as soon
    /// as the run has been announced must not end it without its summary.
    pub fn listen(hangup: bool) -> Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: hangup.then(|| listen(SignalKind::hangup())).transpose()?,
        })
    }
}

/// The signal came. Never returns where it is not listened for.
pub async fn come(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
