//! Somebody who watches a session.

use std::fmt::Debug;

use crate::correlate::Judged;
use crate::event::Event;

/// Sees what a session sees. `tick` and `started` are calls of a live run.
pub trait Observer: Debug {
    /// An event, before its verdicts.
    fn event(&mut self, event: &Event);

    /// A verdict; withdrawn ones as well.
    fn judged(&mut self, judged: &Judged);

    /// The traced command runs as process `pid`.
    fn started(&mut self, _pid: u32) {}

    /// Ten times a second or so.
    fn tick(&mut self) {}
}
