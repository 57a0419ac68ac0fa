//! Old logs stay readable: one function for each schema turns its records into those of the next.

use serde_json::Value;

use crate::event::SCHEMA;

/// Turns one record of schema `n` into one of schema `n + 1`.
type Fixup = fn(&mut Value);

/// `FIXUPS[n - 1]` takes a record of schema `n`.
const FIXUPS: &[Fixup] = &[];

// A new schema needs its fix-up.
const _: () = assert!(FIXUPS.len() + 1 == SCHEMA as usize);

/// Turns a record of schema `from` into one of this version's. A `start` record keeps the number
/// of the schema it was written with.
pub(super) fn apply(record: &mut Value, from: u32) {
    apply_table(FIXUPS, record, from);
}

fn apply_table(table: &[Fixup], record: &mut Value, from: u32) {
    for fixup in table.iter().skip(from.saturating_sub(1) as usize) {
        fixup(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TABLE: &[Fixup] = &[
        |record| {
            if let Some(old) = record
                .as_object_mut()
                .and_then(|fields| fields.remove("offset"))
            {
                record["pos"] = old;
            }
        },
        |record| record["len"] = json!(1),
    ];

    #[test]
    fn every_step_from_the_log_s_schema_on_is_applied_in_order() {
        let fixed = |from| {
            let mut record = json!({"type": "failure", "offset": 5});
            apply_table(TABLE, &mut record, from);
            record
        };
        assert_eq!(fixed(1), json!({"type": "failure", "pos": 5, "len": 1}));
        assert_eq!(fixed(2), json!({"type": "failure", "offset": 5, "len": 1}));
        assert_eq!(fixed(3), json!({"type": "failure", "offset": 5}));
    }
}
