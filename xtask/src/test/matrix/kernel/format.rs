//! The layout of a trace event, from its file `format`.

use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// A trace event.
#[derive(Debug)]
pub struct Format {
    /// Its number in the entries.
    pub id: u16,
    /// Offset and size of the fields, in bytes.
    fields: BTreeMap<String, (usize, usize)>,
}

impl Format {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID:"));
        let id = id.context("the format has no ID")?.trim().parse()?;
        let mut fields = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, place)) = field(line) {
                fields.insert(name, place);
            }
        }
        Ok(Self { id, fields })
    }

    /// The value of an integer field, as unsigned.
    ///
    /// # Errors
    /// When the event has no such field.
    pub fn value(&self, bytes: &[u8], name: &str) -> Result<u64> {
        let (offset, size) = self.fields.get(name).copied().unwrap_or_default();
        let field = bytes.get(offset..offset + size).unwrap_or_default();
        let mut value = [0; 8];
        let place = value.get_mut(..field.len()).filter(|p| !p.is_empty());
        place
            .with_context(|| format!("event {} has no number {name}", self.id))?
            .copy_from_slice(field);
        Ok(u64::from_le_bytes(value))
    }
}

/// Name and place of `field:u64 ino; offset:32; size:8; signed:0;`, which has tabs in between.
fn field(line: &str) -> Option<(String, (usize, usize))> {
    let mut parts = line.trim().split(';').map(str::trim);
    let declaration = parts.next()?.strip_prefix("field:")?;
    let name = declaration.rsplit([' ', '*']).next()?.to_owned();
    let offset = parts.next()?.strip_prefix("offset:")?.parse().ok()?;
    let size = parts.next()?.strip_prefix("size:")?.parse().ok()?;
    Some((name, (offset, size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "name: x\nID: 1581\nformat:\n\
            \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
            \tfield:const void * work;\toffset:8;\tsize:8;\tsigned:0;\n\
            \tfield:u8 fsid[16];\toffset:16;\tsize:16;\tsigned:0;\n\
            \tfield:s32 ret;\toffset:4;\tsize:4;\tsigned:1;\n\nprint fmt: \"\"\n";
        let format = Format::parse(text).unwrap();
        assert_eq!(format.id, 1581);
        let bytes = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 7, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(format.value(&bytes, "work").unwrap(), 0x107);
        assert_eq!(format.value(&bytes, "ret").unwrap(), 0xffff_ffff);
        assert!(format.value(&bytes, "fsid[16]").is_err());
        assert!(format.value(&bytes, "nothing").is_err());
        assert!(Format::parse("nothing").is_err());
    }
}
