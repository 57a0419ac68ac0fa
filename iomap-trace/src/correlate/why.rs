//! Why something was in the way of a folio, who it was, and what that rests on.

use compact_str::format_compact;

use crate::event::{HolderKind, How, Text, Touched};

use super::held::Held;
use super::losses::Hooks;
use super::{Cause, Confidence, Party};

/// The other party, as the records have it.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// It held the range.
    Held(&'a Held),
    /// It dirtied the folio.
    Dirtied(&'a Touched),
    /// It put it into the page cache.
    Cached(&'a Touched),
}

impl Who<'_> {
    /// Thread.
    pub fn tid(self) -> u32 {
        match self {
            Self::Held(held) => held.tid,
            Self::Dirtied(toucher) | Self::Cached(toucher) => toucher.tid,
        }
    }

    /// As the verdict names it.
    pub fn party(self) -> Party {
        match self {
            Self::Held(held) => holder_party(held),
            Self::Dirtied(toucher) => toucher_party(toucher, "dirtied"),
            Self::Cached(toucher) => toucher_party(toucher, "cached"),
        }
    }
}

/// A cause for one folio.
#[derive(Clone, Debug)]
pub struct Why<'a> {
    pub cause: Cause,
    pub confidence: Confidence,
    pub party: Option<Who<'a>>,
    pub reason: Option<&'static str>,
    /// Whoever cached the folio during the write.
    pub cacher: Option<&'a Touched>,
    /// The holder works for this very write.
    pub own: Option<bool>,
    /// It was seen to be refused, and not only found afterwards.
    pub refused: bool,
    /// The folio was brought back during the write: it may not be the one that was refused.
    pub came_back: bool,
    /// What was found held at the very moment at which it was looked at.
    pub holds: bool,
    /// Up to when a holder that is not known yet could change it; 0: none could.
    pub until: u64,
    /// What was lost between these two moments could have changed it, if it rests on that.
    pub window: (u64, u64),
    /// What was lost of that.
    pub lost: Hooks,
    /// A lock that was over before this moment could not have changed it; none could if absent.
    pub locks_since: Option<u64>,
}

impl<'a> Why<'a> {
    /// A cause of confidence `window`.
    pub fn because(cause: Cause, reason: &'static str) -> Self {
        Self {
            cause,
            confidence: Confidence::Window,
            party: None,
            reason: Some(reason),
            cacher: None,
            own: None,
            refused: false,
            came_back: false,
            holds: false,
            until: 0,
            window: (u64::MAX, 0),
            lost: Hooks::NONE,
            locks_since: None,
        }
    }

    /// Nothing is claimed.
    pub fn unknown(reason: &'static str) -> Self {
        Self {
            confidence: Confidence::None,
            ..Self::because(Cause::Unknown, reason)
        }
    }

    /// The same, seen to hold at the failure itself.
    pub fn exact(self) -> Self {
        Self {
            confidence: Confidence::Exact,
            reason: None,
            ..self
        }
    }

    /// The same, with the other party.
    pub fn by(self, who: Who<'a>) -> Self {
        Self {
            party: Some(who),
            ..self
        }
    }

    /// The lock that is blamed.
    pub fn held(&self) -> Option<&'a Held> {
        match self.party {
            Some(Who::Held(held)) => Some(held),
            _ => None,
        }
    }
}

/// The party that touched the page cache.
fn toucher_party(toucher: &Touched, did: &'static str) -> Party {
    Party {
        pid: toucher.pid,
        tid: toucher.tid,
        comm: toucher.comm.clone(),
        did: Text::const_new(did),
        how: Some(toucher.how).filter(|how| *how != How::Unknown),
        since_ns: toucher.ts_ns,
        held_ns: None,
    }
}

/// The party that held the range.
fn holder_party(held: &Held) -> Party {
    let did = match (&held.kind, &held.function) {
        (HolderKind::OrderedIo, _) => Text::const_new("completed ordered I/O"),
        (HolderKind::ExtentLock, Some(function)) => format_compact!("locked in {function}"),
        (HolderKind::ExtentLock, None) => Text::const_new("locked the extent"),
    };
    Party {
        pid: held.pid,
        tid: held.tid,
        comm: held.comm.clone(),
        did,
        how: None,
        since_ns: held.tried,
        held_ns: Some(held.given_up - held.tried),
    }
}
