//! Who takes part, and where.

use super::super::Policy;
use super::cast;
use super::kernel::Kernel;
use super::locker::{Locker, Under};
use super::party::{Buffered, Dirtier, Flusher, Party, Worker};
use super::schedule::Cue;
use super::tree::Span;
use super::world::{Fs, PAGE, Place, Shape};
use super::writer::{Write, Writer};
use crate::event::Dev;
use crate::rng::Rng;

/// A party, before it begins.
#[derive(Clone, Debug)]
pub enum Role {
    /// A direct writer, by its number.
    Direct(usize, Vec<Write>),
    /// A worker, by its number.
    Worker(usize),
    /// The flusher, for so many rounds.
    Flusher(u32),
    /// Stores into pages through a mapping.
    Dirtier(Vec<u64>),
    /// Locks ranges.
    Locker(Under, Vec<Span>),
    /// Holds buffers; the journal, or a mere reference.
    Buffered(bool, Vec<u64>),
}

impl Role {
    /// The party.
    pub fn party(&self) -> Box<dyn Party> {
        match self.clone() {
            Self::Direct(number, writes) => Box::new(Writer::new(cast::DIRECT[number], writes)),
            Self::Worker(number) => Box::new(Worker::new(cast::ORDERED[number])),
            Self::Flusher(rounds) => Box::new(Flusher::new(rounds)),
            Self::Dirtier(pages) => Box::new(Dirtier::new(pages)),
            Self::Locker(under, spans) => Box::new(Locker::new(under, spans)),
            Self::Buffered(journal, pages) => Box::new(Buffered::new(journal, pages)),
        }
    }
}

/// A file, and what goes on in it.
#[derive(Clone, Debug)]
pub struct File {
    /// Filesystem.
    pub fs: Fs,
    /// Where.
    pub place: Place,
    /// Pages of a folio.
    pub folio_pages: u64,
    /// Pages that are cached at the begin, and whether they are dirty.
    pub cached: Vec<(u64, bool)>,
    /// Who takes part.
    pub roles: Vec<Role>,
    /// In which order; empty: at random.
    pub script: Vec<Cue>,
    /// It begins when the file before it is done with; otherwise at the same time.
    pub follows: bool,
    /// Data is written in place.
    pub nocow: bool,
    /// The first write-back fails.
    pub io_error: bool,
    /// Laundering fails.
    pub launder_error: bool,
    /// Writeback begins under a folio lock.
    pub careless_writeback: bool,
    /// Unlocks can take tens of milliseconds.
    pub slow_unlocks: bool,
    /// `wb_err` at the begin.
    pub wb_err: u32,
}

impl File {
    /// A file of which nothing is cached.
    pub const fn new(fs: Fs, place: Place) -> Self {
        Self {
            fs,
            place,
            folio_pages: 1,
            cached: Vec::new(),
            roles: Vec::new(),
            script: Vec::new(),
            follows: false,
            nocow: false,
            io_error: false,
            launder_error: false,
            careless_writeback: false,
            slow_unlocks: false,
            wb_err: 0,
        }
    }
}

/// A scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Seed of every choice.
    pub seed: u64,
    /// Kernel.
    pub kernel: Kernel,
    /// Policy of the direct write path.
    pub policy: Policy,
    /// What the tracer sees.
    pub shape: Shape,
    /// Files.
    pub(super) files: Vec<File>,
}

/// One of these.
fn one_of<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len() as u64) as usize]
}

/// Offsets: the first page, the usual, beyond 4 GiB, and the last that a file can have.
const FIRST_PAGES: [u64; 4] = [0, 256, (5 << 30) / PAGE, u64::MAX / PAGE - 40];

impl Scenario {
    /// Anything that can happen, as `seed` has it: kernels, filesystems, policies, parties.
    pub fn random(seed: u64) -> Self {
        let rng = &mut Rng::for_thread(seed, 0);
        let kernel = one_of(rng, &Kernel::ALL);
        let policy = one_of(rng, &Policy::ALL);
        let shape = one_of(rng, &[Shape::Returns, Shape::Returns, Shape::Tracepoints]);
        let first = file(rng, None);
        let mut files = vec![first];
        if rng.below(4) == 0 {
            let another = file(rng, Some(&files[0]));
            files.push(another);
        }
        Self {
            seed,
            kernel,
            policy,
            shape,
            files,
        }
    }

    /// The same, with results and refusals seen, or not.
    pub const fn seen(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    /// The filesystem of the first file.
    pub fn fs(&self) -> Fs {
        self.files[0].fs
    }

    /// The columns of the timeline after the first three.
    pub fn other(&self) -> &'static str {
        let name = |role: &Role| match role {
            Role::Dirtier(_) => Some("mmap dirtier"),
            Role::Locker(Under::Nothing, _) => Some("FIEMAP"),
            Role::Locker(Under::DirectRead, _) => Some("direct reader"),
            Role::Locker(Under::Read, _) => Some("reader"),
            Role::Locker(Under::Write, _) => Some("buffered writer"),
            Role::Buffered(true, _) => Some("journal"),
            Role::Buffered(false, _) => Some("user of a buffer"),
            _ => None,
        };
        let names: Vec<_> = self.files[0].roles.iter().filter_map(name).collect();
        match names[..] {
            [] => "",
            [name] => name,
            _ => "others",
        }
    }
}

/// A file with anything going on in it; `other` is there already.
fn file(rng: &mut Rng, other: Option<&File>) -> File {
    let mut fs = one_of(
        rng,
        &[Fs::Btrfs, Fs::Btrfs, Fs::Btrfs, Fs::Xfs, Fs::Ext4, Fs::Fuse],
    );
    let pages = 1 + rng.below(6);
    let mut place = Place {
        dev: Dev {
            major: 0,
            minor: 35,
        },
        ino: 258,
        root: None,
        first_page: one_of(rng, &FIRST_PAGES),
        pages,
    };
    let mut follows = false;
    if let Some(other) = other {
        // The number of a file that is gone is used again, or that of one in another place.
        follows = rng.below(2) == 0;
        if follows {
            fs = other.fs;
        } else {
            place.dev.minor += (rng.below(2) == 0) as u32;
            place.ino += u64::from(place.dev == other.place.dev) * (1 + rng.below(2));
        }
    }
    place.root = (fs == Fs::Btrfs).then_some(5);
    let mut file = File::new(fs, place);
    file.follows = follows;
    file.folio_pages = one_of(rng, &[1, 1, 1, 2, 4]);
    for page in 0..pages {
        if rng.below(3) > 0 {
            file.cached.push((page, rng.below(2) == 0));
        }
    }
    file.nocow = rng.below(7) == 0;
    file.io_error = rng.below(12) == 0;
    file.launder_error = rng.below(3) == 0;
    file.slow_unlocks = rng.below(8) == 0;
    file.wb_err = one_of(rng, &[0, 0, 5, 5 | 1 << 12]);
    file.roles = roles(rng, fs, pages);
    file
}

fn roles(rng: &mut Rng, fs: Fs, pages: u64) -> Vec<Role> {
    let mut roles = Vec::new();
    for number in 0..1 + rng.below(2) as usize {
        let writes = (0..1 + rng.below(3)).map(|_| Write {
            span: bytes(rng, pages, true),
            queued: rng.below(3) == 0,
        });
        roles.push(Role::Direct(number, writes.collect()));
    }
    if fs == Fs::Btrfs {
        roles.extend((0..1 + rng.below(2) as usize).map(Role::Worker));
    }
    if rng.below(2) == 0 {
        roles.push(Role::Flusher(1 + rng.below(3) as u32));
    }
    if rng.below(2) == 0 {
        let pages = (0..1 + rng.below(5)).map(|_| rng.below(pages));
        roles.push(Role::Dirtier(pages.collect()));
    }
    for under in [Under::Nothing, Under::DirectRead, Under::Read, Under::Write] {
        if rng.below(3) == 0 {
            let spans = (0..1 + rng.below(3)).map(|_| bytes(rng, pages, false));
            roles.push(Role::Locker(under, spans.collect()));
        }
    }
    for journal in [true, false] {
        if fs == Fs::Ext4 && rng.below(2) == 0 {
            let pages = (0..1 + rng.below(3)).map(|_| rng.below(pages));
            roles.push(Role::Buffered(journal, pages.collect()));
        }
    }
    roles
}

/// Bytes of a system call: of whole pages, of sectors (or any), or none.
fn bytes(rng: &mut Rng, pages: u64, direct: bool) -> Span {
    let unit = match rng.below(10) {
        0..2 if direct => 512,
        0..2 => 1,
        _ => PAGE,
    };
    let (one, other) = (
        rng.below(pages * PAGE / unit + 1),
        rng.below(pages * PAGE / unit + 1),
    );
    Span {
        start: one.min(other) * unit,
        end: one.max(other) * unit,
    }
}
