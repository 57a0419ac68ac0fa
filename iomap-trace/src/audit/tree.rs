//! Whose descendants processes are: read while they live, remembered after.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::process::{self, Stat};
use crate::report::audit::{Origin, Owner};

/// Processes that are remembered.
const CAPACITY: usize = 16_384;
/// How long an id is taken for the same process without another look.
const TRUSTED: Duration = Duration::from_millis(100);
/// Ancestors that are asked for: a chain that is longer was changed while it was read.
const DEEPEST: usize = 1024;
/// Longest time of one look at the tree: records wait meanwhile.
const BUDGET: Duration = Duration::from_millis(5);

#[derive(Debug)]
struct Known {
    started: u64,
    owner: Owner,
    checked: Instant,
}

/// The processes below the audited command.
#[derive(Debug)]
pub struct Tree {
    /// The command's process, 0 before it runs.
    root: u32,
    /// Our own: orphans become our children.
    us: u32,
    known: HashMap<u32, Known>,
}

impl Tree {
    /// Below process `us`, before the command runs.
    pub fn new(us: u32) -> Self {
        Self {
            root: 0,
            us,
            known: HashMap::new(),
        }
    }

    /// The command runs as process `pid`.
    pub fn set_root(&mut self, pid: u32) {
        self.root = pid;
    }

    /// Looks at all descendants, and gives the direct children of the command that live.
    pub fn look(&mut self) -> Vec<Owner> {
        let began = Instant::now();
        if self.root == 0 {
            return Vec::new();
        }
        let mut direct = Vec::new();
        let mut todo = vec![self.root, self.us];
        while let Some(parent) = todo.pop() {
            if began.elapsed() > BUDGET {
                break;
            }
            for pid in process::children(parent) {
                if pid == self.root {
                    continue;
                }
                if let Some(owner) = self.owner(pid) {
                    if owner.origin == Origin::Child && owner.pid == pid {
                        direct.push(owner);
                    }
                    todo.push(pid);
                }
            }
        }
        direct
    }

    /// To whom a process belongs: from memory when it has ended. None when nothing is known.
    pub fn owner(&mut self, pid: u32) -> Option<Owner> {
        if let Some(known) = self.known.get(&pid)
            && known.checked.elapsed() < TRUSTED
        {
            return Some(known.owner.clone());
        }
        let Some(stat) = process::stat(pid) else {
            return self.known.get(&pid).map(|known| known.owner.clone());
        };
        if let Some(known) = self.known.get_mut(&pid)
            && known.started == stat.started
        {
            known.checked = Instant::now();
            return Some(known.owner.clone());
        }
        let owner = self.trace(pid, stat)?;
        if self.known.len() >= CAPACITY {
            self.known.clear();
        }
        let known = Known {
            started: stat.started,
            owner: owner.clone(),
            checked: Instant::now(),
        };
        self.known.insert(pid, known);
        Some(owner)
    }

    /// Follows the parents of a process up to the command.
    fn trace(&self, pid: u32, stat: Stat) -> Option<Owner> {
        let owner = |origin, pid, stat: Stat| Owner {
            origin,
            pid,
            started: stat.started,
        };
        if pid == self.root {
            return Some(owner(Origin::Command, pid, stat));
        }
        let (mut at, mut of) = (pid, stat);
        for _ in 0..DEEPEST {
            // What became an orphan since has its place in memory.
            if at != pid
                && let Some(known) = self.known.get(&at)
                && known.started == of.started
            {
                return Some(match known.owner.origin {
                    Origin::Outside => owner(Origin::Outside, pid, stat),
                    _ => known.owner.clone(),
                });
            }
            match of.parent {
                parent if parent == self.root => return Some(owner(Origin::Child, at, of)),
                parent if parent == self.us => return Some(owner(Origin::Orphan, at, of)),
                0 | 1 => return Some(owner(Origin::Outside, pid, stat)),
                parent => (at, of) = (parent, process::stat(parent)?),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn a_grandchild_belongs_to_the_child() {
        let mut command = Command::new("sh")
            .args(["-c", "(sleep 60 & echo $!; wait) & wait; :"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = command.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let sleep: u32 = line.trim().parse().unwrap();
        let mut tree = Tree::new(std::process::id());
        assert_eq!(tree.look(), []);
        tree.set_root(command.id());
        let child = process::stat(sleep).unwrap().parent;
        let owner = tree.owner(sleep).unwrap();
        assert_eq!((owner.origin, owner.pid), (Origin::Child, child));
        assert_eq!(tree.owner(command.id()).unwrap().origin, Origin::Command);
        let outside = tree.owner(std::os::unix::process::parent_id());
        assert_eq!(outside.unwrap().origin, Origin::Outside);
        assert_eq!(tree.look(), std::slice::from_ref(&owner));
        let kill = |pid: u32| Command::new("kill").arg(pid.to_string()).status().unwrap();
        kill(sleep);
        command.wait().unwrap();
        std::thread::sleep(2 * TRUSTED);
        assert_eq!(process::stat(sleep), None);
        assert_eq!(tree.owner(sleep), Some(owner), "it is remembered");
    }
}
