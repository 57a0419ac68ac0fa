//! Reading and parsing on threads of their own, in the order of the log.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;

use super::batch::Batch;
use super::cutter::{Cutter, Lines, Piece};

/// Pieces that are read but not taken yet, beyond one for each parser: enough that nobody waits for
/// long, few enough that memory stays small.
const AHEAD: usize = 4;

/// Lines, and where their events go.
type Job = (Lines, SyncSender<Batch>);

/// A log that is read ahead: one thread reads, uncompresses and cuts, others parse.
///
/// The threads end when the log does, or at their next piece when this is dropped; nobody waits for
/// them, because a read from a pipe can take for ever.
pub(super) struct Pipeline {
    /// In the order of the log; each piece of lines as the place where its events will be.
    pieces: Receiver<Piece<Receiver<Batch>>>,
}

impl Pipeline {
    /// Starts `parsers` threads that parse, and one that reads. Gives the cutter back when the
    /// system has no threads to give.
    pub(super) fn start(cutter: Cutter, parsers: usize) -> Result<Self, Box<Cutter>> {
        let (to_parse, jobs) = sync_channel::<Job>(parsers);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..parsers {
            let jobs = Arc::clone(&jobs);
            let parser = Builder::new().name("log-parser".to_owned());
            if parser.spawn(move || parse(&jobs)).is_err() {
                return Err(Box::new(cutter));
            }
        }
        let (ordered, pieces) = sync_channel(parsers + AHEAD);
        // The cutter goes to the thread only once that runs, so that it is not lost.
        let (hand_over, cutters) = sync_channel::<Cutter>(1);
        let reader = Builder::new().name("log-reader".to_owned());
        let spawned = reader.spawn(move || {
            if let Ok(cutter) = cutters.recv() {
                read(cutter, &to_parse, &ordered);
            }
        });
        if spawned.is_err() {
            return Err(Box::new(cutter));
        }
        match hand_over.send(cutter) {
            Ok(()) => Ok(Self { pieces }),
            Err(back) => Err(Box::new(back.0)),
        }
    }

    /// What comes next in the log.
    pub(super) fn next(&mut self) -> Piece<Batch> {
        let lost = || Piece::Failed {
            error: io::Error::other("a thread that reads it was lost"),
            inside: true,
        };
        match self.pieces.recv() {
            Ok(Piece::Lines(events)) => events.recv().map_or_else(|_| lost(), Piece::Lines),
            Ok(Piece::Refused(error)) => Piece::Refused(error),
            Ok(Piece::Failed { error, inside }) => Piece::Failed { error, inside },
            Ok(Piece::End { cut_frame }) => Piece::End { cut_frame },
            Err(_) => lost(),
        }
    }
}

/// Reads until the log ends, or nobody wants it any more.
fn read(
    mut cutter: Cutter,
    to_parse: &SyncSender<Job>,
    ordered: &SyncSender<Piece<Receiver<Batch>>>,
) {
    loop {
        let piece = match cutter.next() {
            Piece::Lines(lines) => {
                let (answer, events) = sync_channel(1);
                if to_parse.send((lines, answer)).is_err() {
                    return;
                }
                Piece::Lines(events)
            }
            Piece::Refused(error) => Piece::Refused(error),
            Piece::Failed { error, inside } => Piece::Failed { error, inside },
            Piece::End { cut_frame } => Piece::End { cut_frame },
        };
        let last = !matches!(piece, Piece::Lines(_));
        if ordered.send(piece).is_err() || last {
            return;
        }
    }
}

/// Parses whatever comes.
fn parse(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Parsing is done without the lock; nothing that holds it can panic.
        let job = match jobs.lock() {
            Ok(jobs) => jobs.recv(),
            Err(_) => return,
        };
        let Ok((lines, answer)) = job else { return };
        // If nobody wants it any more, the reader ends, and then the jobs do.
        let _ = answer.send(Batch::parse(&lines));
    }
}
