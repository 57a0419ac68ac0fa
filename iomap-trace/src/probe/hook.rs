//! A hook, the ways to see it, and the probes of each.

use super::choice::Plan;

/// Kind of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Fentry,
    Fexit,
    Kprobe,
    Kretprobe,
    RawTp,
}

impl Kind {
    /// Name as in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
            Self::RawTp => "raw_tp",
        }
    }
}

/// A program and where it goes: a tracepoint, or a function, by its name without the suffixes that
/// the compiler gives to clones.
#[derive(Clone, Copy, Debug)]
pub struct Attach {
    pub kind: Kind,
    pub program: &'static str,
    pub target: &'static str,
}

/// Several ways to see one thing: the first of which every program attaches is taken.
#[derive(Debug)]
pub struct Part {
    pub choices: &'static [&'static [Attach]],
    /// The hook works without it.
    pub optional: bool,
    /// What becomes of it in standby.
    pub standby: Standby,
}

impl Part {
    /// This part, but in standby.
    pub const fn in_standby(mut self, standby: Standby) -> Self {
        self.standby = standby;
        self
    }
}

/// What becomes of a part in standby.
#[derive(Clone, Copy, Debug)]
pub enum Standby {
    /// It waits for the first failure.
    Waits,
    /// It is attached: it tells of failures.
    Stays,
    /// It waits where all of these are attached instead.
    StoodInFor(&'static [Attach]),
}

/// What shows a hook in some plans.
#[derive(Debug)]
pub struct Way {
    pub plans: &'static [Plan],
    pub parts: &'static [Part],
    /// Layout slots without which the programs see nothing.
    pub needs: &'static [&'static str],
    /// Constants without which they see nothing.
    pub wants: &'static [Want],
    /// What it cannot tell.
    pub limit: Option<&'static str>,
}

impl Way {
    /// All programs that may be attached, in the order in which that is tried.
    pub fn attaches(&self) -> impl DoubleEndedIterator<Item = &'static Attach> + use<> {
        let choices = self.parts.iter().flat_map(|part| part.choices);
        choices.flat_map(|choice| *choice)
    }
}

/// A hook.
#[derive(Debug)]
pub struct Hook {
    pub name: &'static str,
    /// Best first; those of the run's plan are tried.
    pub ways: &'static [Way],
    /// Only where this filesystem is present.
    pub filesystem: Option<&'static str>,
    /// Why there is none, where no way fits the plan.
    pub without: &'static str,
}

impl Hook {
    /// As [`Way::attaches`], of all ways.
    pub fn attaches(&self) -> impl Iterator<Item = &'static Attach> + use<> {
        self.ways.iter().flat_map(Way::attaches)
    }
}

/// A constant of the kernel that a hook wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// `EXTENT_LOCKED` and `IO_TREE_INODE_IO`, and what the tree's inode is.
    ExtentBits,
    /// The address of `finish_ordered_fn`.
    FinishOrdered,
    /// The type of `btrfs_ordered_extent.inode`.
    OrderedInode,
}

const fn at(kind: Kind, program: &'static str, target: &'static str) -> Attach {
    Attach {
        kind,
        program,
        target,
    }
}

/// A raw tracepoint.
pub const fn raw(program: &'static str, tracepoint: &'static str) -> Attach {
    at(Kind::RawTp, program, tracepoint)
}

/// The begin of a function, by a trampoline.
pub const fn fentry(program: &'static str, function: &'static str) -> Attach {
    at(Kind::Fentry, program, function)
}

/// Its return, by a trampoline.
pub const fn fexit(program: &'static str, function: &'static str) -> Attach {
    at(Kind::Fexit, program, function)
}

/// The begin of a function, by a kprobe.
pub const fn kprobe(program: &'static str, function: &'static str) -> Attach {
    at(Kind::Kprobe, program, function)
}

/// Its return, by a kretprobe.
pub const fn kretprobe(program: &'static str, function: &'static str) -> Attach {
    at(Kind::Kretprobe, program, function)
}

/// A part that the hook needs, and that waits in standby.
pub const fn part(choices: &'static [&'static [Attach]]) -> Part {
    Part {
        choices,
        optional: false,
        standby: Standby::Waits,
    }
}

/// As [`part`]; the hook works without it.
pub const fn optional(choices: &'static [&'static [Attach]]) -> Part {
    Part {
        choices,
        optional: true,
        standby: Standby::Waits,
    }
}

/// A part that tells of failures itself.
pub const fn telling(part: Part) -> Part {
    part.in_standby(Standby::Stays)
}
