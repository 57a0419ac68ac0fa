//! What is remembered of the current task: its direct write, and what btrfs does in it.

use crate::actor;
use crate::maps::{NO_TASK, TASKS, Task};

/// The state of this task, if there is one.
#[inline(always)]
pub fn known() -> Option<*mut Task> {
    TASKS.get_ptr_mut(actor::tid())
}

/// The state of this task; one of nothing when there was none. `None` when there is no room.
#[inline(always)]
pub fn own() -> Option<*mut Task> {
    if let Some(task) = known() {
        // In place: an insertion would take a new element each time.
        return Some(task);
    }
    // SAFETY: nobody writes to it.
    let nothing = unsafe { &*NO_TASK.get_ptr(0)? };
    TASKS.insert(actor::tid(), nothing, 0).ok()?;
    known()
}
