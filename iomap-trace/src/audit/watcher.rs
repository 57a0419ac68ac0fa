//! Charges each failure to a child command when its record arrives.

use std::collections::HashMap;

use super::process;
use super::tree::Tree;
use crate::correlate::Judged;
use crate::event::Event;
use crate::report::Observer;
use crate::report::audit::{Audit, Origin, Owner};

/// Failures that wait for their verdicts; the engine itself decides each within seconds.
const WAITING: usize = 1 << 20;

/// Watches a live run.
#[derive(Debug)]
pub struct Watcher {
    tree: Tree,
    audit: Audit,
    kernel: String,
    /// Whose the failures are that are not judged yet, and the process that met them, by number.
    waiting: HashMap<u64, (Owner, u32)>,
    /// Command lines of processes that met failures, by process and what they belong to.
    lines: HashMap<(u32, Owner), String>,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            tree: Tree::new(std::process::id()),
            audit: Audit::default(),
            kernel: String::new(),
            waiting: HashMap::new(),
            lines: HashMap::new(),
        }
    }
}

impl Watcher {
    /// What was found.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Release of the kernel.
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    fn failure(&mut self, id: u64, pid: u32, comm: &str) {
        let owner = self.tree.owner(pid).unwrap_or(Owner {
            origin: Origin::Gone,
            pid,
            started: 0,
        });
        let key = (pid, owner.clone());
        if !self.lines.contains_key(&key) {
            let line = process::command(pid).unwrap_or_else(|| comm.to_owned());
            let own = if owner.pid == pid {
                Some(line.clone())
            } else {
                process::command(owner.pid)
            };
            if let Some(own) = own {
                self.audit.seen(owner.clone(), &own);
            }
            if self.lines.len() >= WAITING {
                self.lines.clear();
            }
            self.lines.insert(key, line);
        }
        if self.waiting.len() < WAITING {
            self.waiting.insert(id, (owner, pid));
        }
    }
}

impl Observer for Watcher {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start(start) => self.kernel.clone_from(&start.kernel.release),
            Event::Failure(failure) => self.failure(failure.id, failure.pid, &failure.comm),
            _ => {}
        }
    }

    fn judged(&mut self, judged: &Judged) {
        let failure = &judged.failure;
        let gone = (
            Owner {
                origin: Origin::Gone,
                pid: failure.pid,
                started: 0,
            },
            failure.pid,
        );
        let (owner, pid) = self.waiting.remove(&failure.id).unwrap_or(gone);
        let key = (pid, owner);
        let line = self
            .lines
            .get(&key)
            .map_or(failure.comm.as_str(), String::as_str);
        self.audit.judged(key.1, line, judged);
    }

    fn started(&mut self, pid: u32) {
        self.tree.set_root(pid);
        self.tick();
    }

    fn tick(&mut self) {
        for owner in self.tree.look() {
            if let Some(line) = process::command(owner.pid) {
                self.audit.seen(owner, &line);
            }
        }
    }
}
