//! A child command and what it met.

use serde::Serialize;

use crate::correlate::{Cause, Judged};
use crate::event::{Dev, Phase, Text};
use crate::report::Counts;
use crate::report::cell;
use crate::report::detail::detail;

/// Findings of one child command that are told apart; further ones are only counted.
const FINDINGS: usize = 50;

/// What a process was to the audited command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The command's own process.
    Command,
    /// A direct child of the command, or below one.
    Child,
    /// Its descendant, but its parent had ended before its ancestry was read.
    Orphan,
    /// Another process, on a file that the command writes or dirties.
    Outside,
    /// It had ended before its ancestry could be read: only its name is known.
    Gone,
    /// Further child commands, counted together.
    Rest,
}

impl Origin {
    /// Name as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Child => "child",
            Self::Orphan => "orphan",
            Self::Outside => "outside",
            Self::Gone => "gone",
            Self::Rest => "rest",
        }
    }
}

/// A process to which failures are charged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Owner {
    /// What it was to the command.
    pub origin: Origin,
    /// Its id; 0 for [`Origin::Rest`].
    pub pid: u32,
    /// When it started, clock ticks since boot: ids are used again. 0 if that is not known.
    #[serde(skip)]
    pub started: u64,
}

impl Owner {
    /// Those that were too many.
    pub const fn rest() -> Self {
        Self {
            origin: Origin::Rest,
            pid: 0,
            started: 0,
        }
    }
}

/// Failures that are alike: the same process, file, phase and cause, and the other party did the
/// same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How many.
    pub count: u64,
    /// Phase.
    pub phase: Phase,
    /// Cause.
    pub cause: Cause,
    /// Command name of the failing process.
    pub comm: Text,
    /// The failing process.
    pub pid: u32,
    /// Its command line, or its name when it had ended.
    pub process: String,
    /// Device of the super block.
    pub dev: Dev,
    /// Inode number.
    pub ino: u64,
    /// Path, if known, as in [`crate::event::Failure::path`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether the path is escaped.
    #[serde(skip)]
    pub path_escaped: bool,
    /// First byte of the first of them.
    pub pos: u64,
    /// Length of the first of them, bytes.
    pub len: u64,
    /// The other party of the first of them, in words.
    pub party: String,
    #[serde(skip)]
    party_did: Option<(Text, Text)>,
}

impl Finding {
    fn new(process: &str, Judged { failure, verdict }: &Judged, party: String) -> Self {
        Self {
            count: 1,
            phase: failure.phase,
            cause: verdict.cause,
            comm: failure.comm.clone(),
            pid: failure.pid,
            process: process.to_owned(),
            dev: failure.dev,
            ino: failure.ino,
            path: failure.path.clone(),
            path_escaped: failure.flags.iter().any(|flag| flag == "path-escaped"),
            pos: failure.pos,
            len: failure.len,
            party,
            party_did: did(verdict),
        }
    }

    fn is_like(&self, Judged { failure, verdict }: &Judged) -> bool {
        self.phase == failure.phase
            && self.cause == verdict.cause
            && self.pid == failure.pid
            && self.dev == failure.dev
            && self.ino == failure.ino
            && self.party_did == did(verdict)
    }

    /// Name of the file, safe to print.
    pub fn file(&self) -> String {
        match &self.path {
            Some(path) => cell::clean(path, !self.path_escaped),
            None => format!("{}:{}", self.dev, self.ino),
        }
    }
}

fn did(verdict: &crate::correlate::Verdict) -> Option<(Text, Text)> {
    let party = verdict.party.as_ref()?;
    Some((party.comm.clone(), party.did.clone()))
}

/// A child command.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// Whose it was.
    #[serde(flatten)]
    pub owner: Owner,
    /// Its command line, arguments separated by spaces, or a command name when it had ended; empty
    /// for [`Origin::Rest`].
    pub command: String,
    /// Failures.
    pub failures: Counts,
    /// What they were, in the order in which they were judged.
    pub findings: Vec<Finding>,
    /// Failures beyond what `findings` has.
    pub further: u64,
}

impl Case {
    /// One that met nothing.
    pub const fn new(owner: Owner) -> Self {
        Self {
            owner,
            command: String::new(),
            failures: Counts {
                pre: 0,
                map: 0,
                post: 0,
            },
            findings: Vec::new(),
            further: 0,
        }
    }

    pub(super) fn judged(&mut self, process: &str, judged: &Judged) {
        self.failures.add(judged.failure.phase);
        if self.command.is_empty() && self.owner.pid == judged.failure.pid {
            process.clone_into(&mut self.command);
        }
        if let Some(finding) = self.findings.iter_mut().find(|f| f.is_like(judged)) {
            finding.count += 1;
        } else if self.findings.len() < FINDINGS {
            let finding = Finding::new(process, judged, detail(judged));
            self.findings.push(finding);
        } else {
            self.further += 1;
        }
    }

    /// Its command line, safe to print.
    pub fn title(&self) -> String {
        match self.owner.origin {
            Origin::Rest => "further child commands".to_owned(),
            _ if self.command.is_empty() => "(name not known)".to_owned(),
            _ => cell::clean(&self.command, true),
        }
    }
}
