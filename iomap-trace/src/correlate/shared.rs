//! Names that many locks have in common, each in memory once.

use foldhash::fast::RandomState;
use std::collections::HashSet;
use std::sync::Arc;

use crate::event::Text;

/// So many are known at the same time: a kernel has some tens of functions that lock, but a log may
/// say anything.
const KNOWN: usize = 1024;

/// Names that came up lately.
#[derive(Debug, Default)]
pub struct Shared(HashSet<Arc<Text>, RandomState>);

impl Shared {
    /// The name, in the memory of the same one before.
    pub fn of(&mut self, name: Text) -> Arc<Text> {
        if let Some(known) = self.0.get(&name) {
            return Arc::clone(known);
        }
        if self.0.len() >= KNOWN {
            self.0.clear();
        }
        let name = Arc::new(name);
        self.0.insert(Arc::clone(&name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_and_not_all_are() {
        let mut shared = Shared::default();
        let first = shared.of("lock_extents_for_read".into());
        assert!(Arc::ptr_eq(
            &first,
            &shared.of("lock_extents_for_read".into())
        ));
        for number in 0..3 * KNOWN {
            assert_eq!(*shared.of(number.to_string().into()), *number.to_string());
        }
        assert!(shared.0.len() <= KNOWN);
        assert_eq!(*shared.of("lock_extents_for_read".into()), *first);
    }
}
