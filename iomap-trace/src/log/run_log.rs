//! The event log of a run: one file, or parts of it one after the other, each a whole log.

use anyhow::Result;
use rustix::fs::fstatvfs;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;

use super::error::{LogError, reason};
use super::owner::Owner;
use super::place::Place;
use super::recent::Recent;
use super::rotation::{Due, Rotation};
use super::settling::Settling;
use super::share;
use super::sink::{LogFile, Room};
use super::writer::Writer;
use crate::event::{End, Event, Loss, Part, Start, Text};

/// Room on the disk with which a log that had to stop begins another part, bytes.
const ROOM: u64 = 1 << 20;
/// A change of files that did not succeed is tried again after this time.
const AGAIN_NS: u64 = 10_000_000_000;
/// What is lost while nothing can be written, by its name among the losses.
const UNWRITTEN: &str = "log.lost";

/// Why the log is to go on in another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The part is as long as it may be, or as old: it is renamed.
    Rotate,
    /// Somebody else has renamed it, and says so.
    Reopen,
}

/// The event log of a run.
///
/// A failure to write is told once; from then on records are only counted, until another part can
/// be begun. What is on disk stays there.
pub struct RunLog {
    /// Absent for a file that was handed over open.
    place: Option<Rc<Place>>,
    rotation: Rotation,
    room: Option<Rc<Room>>,
    writer: Writer<LogFile>,
    settling: Settling,
    /// The first record of the present part.
    start: Option<Box<Start>>,
    /// Sums of the parts before.
    base: End,
    recent: Recent,
    /// Bytes of the part's `start` and of the records that it repeats: they make no part long.
    begun: u64,
    /// Bytes of the parts before.
    earlier: u64,
    /// Length or age was reached at this moment.
    due_ns: Option<u64>,
    /// Nothing is tried before this moment.
    not_before_ns: u64,
    /// When writing had to stop.
    stopped_ns: Option<u64>,
    /// Records of earlier parts that were not written, and of those what the present one tells.
    unwritten: u64,
    /// What happened to files, for the user.
    news: Vec<String>,
    /// Number of the last part that was finished.
    last_part: u64,
}

impl RunLog {
    /// Creates the log at `path`, for `owner` if there is one. One that is there is emptied, or with
    /// rotation becomes a finished part.
    ///
    /// # Errors
    /// When it cannot be created; with rotation, also when it is no regular file.
    pub fn create(path: &Path, owner: Option<Owner>, rotation: Rotation) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |error| super::error::cannot_create(&name, &error);
        let place = Rc::new(Place::of(path, owner).map_err(failed)?);
        let mut news = Vec::new();
        let mut last_part = 0;
        if rotation.wanted() && place.has_content() {
            let part = place.finish_part(&mut last_part).map_err(failed)?;
            news.push(format!(
                "event log {name}: what was there is now {}",
                shown(&part)
            ));
        }
        let file = place.create().map_err(failed)?;
        if rotation.wanted() {
            anyhow::ensure!(
                file.metadata()?.is_file(),
                "event log {name} is no regular file, so it has no parts: leave --rotate-size, \
                 --rotate-time and --keep out, or name a file with -o"
            );
        }
        let keeps = rotation.keep.is_some();
        let mut log = Self::over(file, name)?;
        log.room = keeps.then(|| Rc::new(Room::new(Rc::clone(&place))));
        log.writer = log.writer_for(&place, log.writer.sink().file.try_clone()?)?;
        log.place = Some(place);
        log.rotation = rotation;
        log.news = news;
        log.last_part = last_part;
        log.prune();
        Ok(log)
    }

    /// A compressed log in an empty file that is open.
    ///
    /// # Errors
    /// When zstd cannot be set up, for want of memory.
    pub fn of_file(file: File) -> Result<Self> {
        Self::over(file, "event log".to_owned())
    }

    fn over(file: File, name: String) -> Result<Self> {
        let sink = LogFile { file, room: None };
        Ok(Self {
            place: None,
            rotation: Rotation::default(),
            room: None,
            writer: Writer::new(sink, name, true)?,
            settling: Settling::default(),
            start: None,
            base: End::default(),
            recent: Recent::default(),
            begun: 0,
            earlier: 0,
            due_ns: None,
            not_before_ns: 0,
            stopped_ns: None,
            unwritten: 0,
            news: Vec::new(),
            last_part: 0,
        })
    }

    fn writer_for(&self, place: &Place, file: File) -> Result<Writer<LogFile>> {
        let sink = LogFile {
            file,
            room: self.room.clone(),
        };
        let name = place.path().display().to_string();
        Writer::new(sink, name, place.compressed())
    }

    /// Bytes on disk, all parts of this run together.
    pub fn bytes(&self) -> u64 {
        self.earlier + self.writer.bytes()
    }

    /// Takes one record of the run. Of an `end`, what earlier parts have told is left out.
    ///
    /// # Errors
    /// When it cannot be written: once, see [`RunLog`].
    pub fn append(&mut self, event: &Event) -> Result<(), LogError> {
        let written = match event {
            Event::Start(start) => {
                self.start = Some(start.clone());
                self.base = End::default();
                self.unwritten = 0;
                self.recent = Recent::default();
                self.writer.append(event)
            }
            Event::End(total) if self.start.as_ref().is_some_and(|s| s.part.is_some()) => {
                let share = Event::End(Box::new(self.share(total)));
                self.writer.append(&share)
            }
            _ => {
                if self.place.is_some() {
                    self.recent.note(event);
                }
                self.writer.append(event)
            }
        };
        written.inspect_err(|_| self.stopped())
    }

    /// Writes what has gathered. To be called some times a second.
    ///
    /// # Errors
    /// When it cannot be written, or an earlier part could not be: once, see [`RunLog`].
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.writer.flush().inspect_err(|_| self.stopped())?;
        self.settling.settled()
    }

    /// Flushes, and waits until the disk has taken it.
    ///
    /// # Errors
    /// When it cannot be written: once, see [`RunLog`].
    pub fn finish(&mut self) -> Result<(), LogError> {
        let written = self.writer.finish().inspect_err(|_| self.stopped());
        self.settling.wait().and(written)
    }

    /// Where parts are made and removed, if they are.
    pub fn parts_in(&self) -> Option<&Place> {
        self.place.as_deref().filter(|_| self.rotation.wanted())
    }

    /// Whether it belongs to another user.
    pub fn given_away(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.has_owner())
    }

    /// What happened to files since this was asked last, a line each.
    pub fn news(&mut self) -> Vec<String> {
        if let Some(room) = &self.room {
            let name = self.writer.name();
            let freed = room.freed();
            self.news.extend(freed.iter().map(|part| {
                format!(
                    "event log {name}: the disk is full: its oldest part {} was removed",
                    shown(part)
                )
            }));
        }
        std::mem::take(&mut self.news)
    }

    /// Whether the log is to go on in another part, at the moment `now_ns`.
    pub fn due(&mut self, now_ns: u64) -> Due {
        let Some(start) = &self.start else {
            return Due::No;
        };
        if !self.rotation.wanted() || now_ns < self.not_before_ns {
            return Due::No;
        }
        if self.stopped_ns.is_some() {
            // Its disk was full: is there room again?
            let space = fstatvfs(&self.writer.sink().file);
            let free = space.map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize));
            self.not_before_ns = now_ns + AGAIN_NS;
            return if free >= ROOM { Due::Now } else { Due::No };
        }
        let age_ns = now_ns.saturating_sub(start.clock.boot_ns);
        self.rotation.due(
            self.writer.length().saturating_sub(self.begun),
            age_ns,
            &mut self.due_ns,
            now_ns,
        )
    }

    /// Ends the present part with the sums of the run up to now, and goes on in another one, whose
    /// `start` is that of the run as `present` changes it: clocks, mounts.
    ///
    /// Where that is not possible the log goes on as it is, and the news say why.
    ///
    /// # Errors
    /// When the end of the part could not be written: once, see [`RunLog`]. It goes on in the next
    /// part all the same.
    pub fn turn(
        &mut self,
        turn: Turn,
        total: &End,
        present: &dyn Fn(&mut Start),
    ) -> Result<(), LogError> {
        self.due_ns = None;
        let (Some(place), Some(before)) = (self.place.clone(), self.start.clone()) else {
            return Ok(());
        };
        let name = place.path().display().to_string();
        let next = match self.next_file(turn, &place) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.not_before_ns = total.ts_ns + AGAIN_NS;
                let why = reason(&error);
                self.news.push(format!(
                    "event log {name} cannot go on in a new file: {why}: it goes on in the old one"
                ));
                return Ok(());
            }
        };
        let writer = match self.writer_for(&place, next) {
            Ok(writer) => writer,
            Err(error) => {
                self.news.push(format!("event log {name}: {error:#}"));
                return Ok(());
            }
        };
        let share = self.share(total);
        let ended = self
            .writer
            .append(&Event::End(Box::new(share)))
            .and_then(|()| self.writer.flush());
        let whole = ended.is_ok() && self.stopped_ns.is_none();
        let old = std::mem::replace(&mut self.writer, writer);
        let lost = old.dropped();
        self.earlier += old.bytes();
        self.settling.begin(old);
        let mut start = before;
        let part = start.part.unwrap_or(Part {
            number: 1,
            run_ns: start.clock.boot_ns,
            carried: 0,
        });
        present(&mut start);
        let carried = if whole {
            self.base = total.clone();
            self.unwritten = 0;
            self.recent.carried(total.ts_ns)
        } else {
            self.unwritten += lost;
            Vec::new()
        };
        start.part = Some(Part {
            number: part.number + 1,
            carried: carried.len() as u64,
            ..part
        });
        let gap = self.stopped_ns.take().map(|since_ns| Loss {
            hook: Text::const_new("ring"),
            counter: Text::const_new(UNWRITTEN),
            count: lost,
            since_ns,
            ts_ns: total.ts_ns,
        });
        self.start = Some(start.clone());
        let begun = self.begin(start, carried.into_iter().chain(gap.map(Event::Loss)));
        self.prune();
        ended.and(begun)
    }
}

impl RunLog {
    fn begin(
        &mut self,
        start: Box<Start>,
        records: impl Iterator<Item = Event>,
    ) -> Result<(), LogError> {
        let mut records = std::iter::once(Event::Start(start)).chain(records);
        let written = records.try_for_each(|event| self.writer.append(&event));
        let written = written.and_then(|()| self.writer.flush());
        self.begun = self.writer.bytes();
        written.inspect_err(|_| self.stopped())
    }

    /// The file to go on in; `None` when the log was not renamed and shall not be.
    fn next_file(&mut self, turn: Turn, place: &Place) -> std::io::Result<Option<File>> {
        let name = place.path().display().to_string();
        if !place.holds(&self.writer.sink().file) {
            let file = self.created(place)?;
            self.news.push(format!("event log {name} was opened anew"));
            return Ok(Some(file));
        }
        if turn == Turn::Reopen && !self.rotation.wanted() {
            self.news.push(format!(
                "event log {name} has not been renamed: it goes on; rename it before SIGHUP"
            ));
            return Ok(None);
        }
        let part = place.finish_part(&mut self.last_part)?;
        match self.created(place) {
            Ok(file) => {
                self.news.push(format!(
                    "event log {name}: a part is finished, {}",
                    shown(&part)
                ));
                Ok(Some(file))
            }
            Err(error) => {
                // If that fails as well, the records are in the part all the same.
                let _ = place.rename(&part, place.name());
                Err(error)
            }
        }
    }

    /// A new file; the oldest part makes room for it.
    fn created(&self, place: &Place) -> std::io::Result<File> {
        loop {
            match place.create_anew() {
                Err(error) if self.room.as_ref().is_some_and(|room| room.made(&error)) => {}
                other => return other,
            }
        }
    }

    /// The sums of the present part.
    fn share(&self, total: &End) -> End {
        let mut share = share::since(total, &self.base);
        if self.unwritten > 0 {
            share.losses.insert(UNWRITTEN.to_owned(), self.unwritten);
        }
        share
    }

    fn stopped(&mut self) {
        let now_ns = crate::clock::boot_ns();
        self.stopped_ns.get_or_insert(now_ns);
        self.not_before_ns = now_ns + AGAIN_NS;
    }

    fn prune(&mut self) {
        let (Some(place), Some(keep)) = (&self.place, self.rotation.keep) else {
            return;
        };
        if let Err(error) = place.prune(keep) {
            let (name, why) = (place.path().display(), reason(&error));
            self.news.push(format!(
                "event log {name}: an old part cannot be removed: {why}"
            ));
        }
    }
}

fn shown(name: &OsString) -> String {
    name.to_string_lossy().into_owned()
}
