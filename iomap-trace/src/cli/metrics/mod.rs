//! `--metrics`: where a live run serves its figures, and what it answers.

mod address;
mod http;

use anyhow::Result;
use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use tokio::sync::mpsc;

use super::say::{Level, say};
use crate::error::{ExitKind, Fail};
use crate::report::Observer;
use crate::report::metrics::{Counts, Present, page};

pub use address::address;
use http::Question;

/// Questions that wait for an answer.
const WAITING: usize = 4;

/// The metrics of a live run.
#[derive(Debug)]
pub struct Metrics {
    counts: Rc<RefCell<Counts>>,
    questions: mpsc::Receiver<Question>,
}

impl Metrics {
    /// Listens, and tells where. To be called in the runtime.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn listen(address: SocketAddr) -> Result<Self> {
        let listener = bind(address).map_err(|error| {
            Fail::error(
                ExitKind::Error,
                format!(
                    "metrics cannot be served on {address}: {error}: choose another address with \
                     --metrics"
                ),
            )
        })?;
        let at = listener.local_addr().unwrap_or(address);
        if !at.ip().is_loopback() {
            say(
                Level::Warning,
                format!("everybody who reaches {at} can read the metrics: there is no password"),
            );
        }
        say(Level::Info, format!("metrics: http://{at}/metrics"));
        let (ask, questions) = mpsc::channel(WAITING);
        tokio::spawn(http::serve(listener, ask));
        Ok(Self {
            counts: Rc::default(),
            questions,
        })
    }

    /// What counts the events and verdicts of the run.
    pub fn counts(&self) -> Rc<RefCell<dyn Observer>> {
        Rc::clone(&self.counts) as Rc<RefCell<dyn Observer>>
    }

    /// Answers a question.
    pub fn answer(&self, question: Question, present: Present) {
        // Without an answer, or somebody who waits for one, the connection ends with an error.
        if let Ok(page) = page(&self.counts.borrow(), present) {
            let _ = question.send(page);
        }
    }
}

/// Waits for a question; forever where there are no metrics.
pub async fn asked(metrics: Option<&mut Metrics>) -> Question {
    if let Some(metrics) = metrics
        && let Some(question) = metrics.questions.recv().await
    {
        return question;
    }
    std::future::pending().await
}

fn bind(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
