//! What an audit says: the failures of a command by the child of it that met them.

mod case;
mod fail_on;
mod junit;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;
use std::collections::HashMap;

use super::summary::Summary;
use crate::correlate::Judged;

pub use case::{Case, Finding, Origin, Owner};
pub use fail_on::FailOn;
pub use junit::junit;
pub use text::audit_text;

/// Child commands that are told apart; failures of further ones are counted together.
const CASES: usize = 10_000;

/// How the audited command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// With this exit status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

/// The failures of a command, by child command, in the order in which these were first seen.
#[derive(Debug, Default)]
pub struct Audit {
    cases: Vec<Case>,
    index: HashMap<Owner, usize>,
}

/// An audit that is over. In JSON it carries `"type":"audit"`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "audit")]
pub struct Audited<'a> {
    /// The command, its arguments separated by spaces.
    pub command: &'a str,
    /// How it ended.
    pub ended: Option<Ended>,
    /// Release of the kernel.
    pub kernel: &'a str,
    /// Whether there were failures of the kind that `--fail-on` names.
    pub failed: bool,
    /// Child commands.
    pub children: &'a [Case],
    /// The sums.
    pub summary: &'a Summary,
    /// The kind of failures that fails a child command.
    #[serde(skip)]
    pub fail_on: FailOn,
}

impl Audit {
    /// A command that was seen to run; its line may change, since a child is a copy of its parent
    /// until it executes a program.
    pub fn seen(&mut self, owner: Owner, command: &str) {
        if let Some(case) = self.case(owner)
            && !command.is_empty()
            && case.command != command
        {
            command.clone_into(&mut case.command);
        }
    }

    /// A failure that process `process` (its command line, or its name) met. A withdrawn one is
    /// none.
    pub fn judged(&mut self, owner: Owner, process: &str, judged: &Judged) {
        if judged.verdict.withdrawn.is_some() {
            return;
        }
        let case = match self.case(owner) {
            Some(case) => case,
            None => self.rest(),
        };
        case.judged(process, judged);
    }

    /// The child commands.
    pub fn cases(&self) -> &[Case] {
        &self.cases
    }

    fn case(&mut self, owner: Owner) -> Option<&mut Case> {
        if let Some(at) = self.index.get(&owner) {
            return self.cases.get_mut(*at);
        }
        if self.cases.len() >= CASES {
            return None;
        }
        self.index.insert(owner.clone(), self.cases.len());
        self.cases.push(Case::new(owner));
        self.cases.last_mut()
    }

    /// Those that were one too many.
    fn rest(&mut self) -> &mut Case {
        let at = *self.index.entry(Owner::rest()).or_insert_with(|| {
            self.cases.push(Case::new(Owner::rest()));
            self.cases.len() - 1
        });
        &mut self.cases[at]
    }
}
