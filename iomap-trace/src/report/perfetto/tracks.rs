//! Which thread of the trace a slice goes to.

use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::ops::Range;

use super::lanes::Lane;
use super::write::Writer;
use crate::event::{Clock, Dev, Start};
use crate::report::cell;

/// Tracks that are told apart; slices of further files and tasks share one each.
const TRACKS: usize = 4096;
/// Lanes of a track; what would need more is left out.
const LANES: usize = 64;
/// No process has a higher number (`PID_MAX_LIMIT`): those above are this trace's own.
pub(super) const PIDS: u32 = 1 << 22;
/// From here on threads are lanes and files.
const OWN_THREADS: u32 = 1 << 30;
/// Machines, or boots of one, that are told apart.
const HOSTS: usize = 64;
/// Columns of a host's name.
const NAME: usize = 64;

/// A slice, in nanoseconds since boot.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub name: String,
    pub category: &'static str,
    pub begin: u64,
    pub end: u64,
}

/// Where a slice is, and when (nanoseconds since the origin).
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub pid: u32,
    pub tid: u32,
    pub begin: u64,
    pub end: u64,
    lane: usize,
}

/// What a track is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A thread of a process.
    Task(u32, u32),
    /// A file.
    File(Dev, Option<u64>, u64),
    /// Tasks that are not told apart.
    OtherTasks,
    /// Files that are not told apart.
    OtherFiles,
}

/// A track before it is looked up.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub key: (usize, Key),
    /// What it is called; a file may have no path.
    pub name: Option<String>,
}

impl Track {
    /// A thread's.
    pub fn task(tracks: &Tracks, pid: u32, tid: u32, comm: &str) -> Self {
        Self {
            key: (tracks.host(), Key::Task(pid, tid)),
            name: Some(cell::clean(comm, true)),
        }
    }

    /// A file's.
    pub fn file(tracks: &Tracks, dev: Dev, root: Option<u64>, ino: u64) -> Self {
        Self {
            key: (tracks.host(), Key::File(dev, root, ino)),
            name: None,
        }
    }
}

#[derive(Debug)]
struct Open {
    pid: u32,
    lanes: Vec<(u32, Lane)>,
    title: String,
    /// The title says all there is to say.
    named: bool,
}

/// All tracks.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    open: HashMap<(usize, Key), Open, RandomState>,
    /// Boots that were seen, each with the name of its host, if it has one.
    hosts: Vec<(String, Option<String>)>,
    /// Name of the host of the next run.
    name: Option<String>,
    /// Processes that have a name: that of the first task, or `files`.
    processes: HashSet<u32, RandomState>,
    current: usize,
    threads: u32,
    /// The present run's.
    pub clock: Clock,
}

impl Tracks {
    /// The next run is one of this host, where there may be several.
    pub fn name(&mut self, host: Option<&str>) {
        self.name = host.map(|host| cell::fit_end(&cell::clean(host, true), NAME));
    }

    /// A run begins: processes and inodes mean something else on another machine.
    pub fn start(&mut self, start: &Start) {
        self.clock = start.clock;
        let known = self
            .hosts
            .iter()
            .position(|(boot, _)| *boot == start.boot_id);
        self.current = known.unwrap_or_else(|| {
            if self.hosts.len() < HOSTS {
                // The last place is that of all that come then.
                let last = self.hosts.len() + 1 == HOSTS;
                let others = last.then(|| "further hosts".to_owned());
                let name = others.or_else(|| self.name.clone());
                self.hosts.push((start.boot_id.clone(), name));
            }
            self.hosts.len() - 1
        });
    }

    fn host(&self) -> usize {
        self.current
    }

    /// Finds the lane that a slice fits in, the one of `within` or behind it; names it when it is
    /// new. None when there are too many.
    pub fn place(
        &mut self,
        track: &Track,
        slice: Range<u64>,
        within: Option<Place>,
        writer: &mut Writer,
        out: &mut dyn Write,
    ) -> io::Result<Option<Place>> {
        let key = self.known(&track.key);
        if !self.open.contains_key(&key) {
            let open = self.open_track(&key, track, writer, out)?;
            self.open.insert(key.clone(), open);
        }
        let Some(open) = self.open.get_mut(&key) else {
            return Ok(None);
        };
        if let (false, Some(name), Key::File(..)) = (open.named, &track.name, &key.1) {
            open.title = format!("{name} ({})", open.title);
            open.named = true;
            for (lane, (tid, _)) in open.lanes.iter().enumerate() {
                writer.thread(open.pid, *tid, &lane_title(&open.title, lane), out)?;
            }
        }
        let first = within.map_or(0, |place| place.lane);
        let found = (first..open.lanes.len()).find(|lane| open.lanes[*lane].1.take(&slice));
        let lane = match found {
            Some(lane) => lane,
            None if open.lanes.len() >= LANES => return Ok(None),
            None => {
                let number = open.lanes.len();
                let tid = match (number, &key.1) {
                    (0, Key::Task(_, tid)) => thread_id(key.0, *tid),
                    _ => {
                        self.threads += 1;
                        OWN_THREADS + self.threads
                    }
                };
                let mut lane = Lane::default();
                lane.take(&slice);
                open.lanes.push((tid, lane));
                writer.thread(open.pid, tid, &lane_title(&open.title, number), out)?;
                number
            }
        };
        Ok(Some(Place {
            pid: open.pid,
            tid: open.lanes[lane].0,
            begin: slice.start,
            end: slice.end,
            lane,
        }))
    }

    /// The key, or that of the many.
    fn known(&self, key: &(usize, Key)) -> (usize, Key) {
        if self.open.len() < TRACKS || self.open.contains_key(key) {
            return key.clone();
        }
        let other = match key.1 {
            Key::Task(..) | Key::OtherTasks => Key::OtherTasks,
            Key::File(..) | Key::OtherFiles => Key::OtherFiles,
        };
        (key.0, other)
    }

    fn open_track(
        &mut self,
        (host, key): &(usize, Key),
        track: &Track,
        writer: &mut Writer,
        out: &mut dyn Write,
    ) -> io::Result<Open> {
        let suffix = match (self.hosts.get(*host), host) {
            (Some((_, Some(name))), _) => format!(" on {name}"),
            (_, 0) => String::new(),
            _ => format!(" (machine {})", host + 1),
        };
        let name = track.name.clone().unwrap_or_default();
        let (pid, process, title) = match key {
            Key::Task(pid, tid) => (
                thread_id(*host, *pid),
                name.clone(),
                format!("{name}/{tid}"),
            ),
            Key::OtherTasks => (
                thread_id(*host, 0),
                "further tasks".to_owned(),
                "further tasks".to_owned(),
            ),
            Key::File(dev, root, ino) => {
                let root = root.map_or_else(String::new, |root| format!(", subvolume {root}"));
                let title = format!("inode {ino}{root} on {dev}");
                (files_id(*host), "files".to_owned(), title)
            }
            Key::OtherFiles => (
                files_id(*host),
                "files".to_owned(),
                "further files".to_owned(),
            ),
        };
        if self.processes.insert(pid) {
            // Files stand on top.
            let sort_index = (pid == files_id(*host)).then_some(-1);
            writer.process(pid, &format!("{process}{suffix}"), sort_index, out)?;
        }
        Ok(Open {
            pid,
            lanes: Vec::new(),
            title,
            named: false,
        })
    }
}

fn lane_title(title: &str, lane: usize) -> String {
    match lane {
        0 => title.to_owned(),
        _ => format!("{title} ({})", lane + 1),
    }
}

/// The number of a process or thread: of other machines they begin higher.
fn thread_id(host: usize, id: u32) -> u32 {
    // There are no more than HOSTS, so that the sum is below OWN_THREADS.
    (host as u32) * (2 * PIDS) + id.min(PIDS - 1)
}

/// The number of the process that stands for the files.
fn files_id(host: usize) -> u32 {
    (host as u32) * (2 * PIDS) + PIDS
}
