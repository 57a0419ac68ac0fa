//! The GNU build id of a loaded module: a hash of its contents that the linker left in a note.

use std::fmt::Write as _;

use crate::kernel::Roots;

/// `NT_GNU_BUILD_ID` (include/uapi/linux/elf.h has no name for it; binutils has).
const NT_GNU_BUILD_ID: u32 = 3;

/// The id in hexadecimal; an error says why there is none.
pub fn of_module(roots: &Roots, module: &str) -> Result<String, String> {
    let note = format!("module/{module}/notes/.note.gnu.build-id");
    let path = roots.sys.join(note);
    let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let id = parse(&bytes).ok_or_else(|| format!("{}: not a build id", path.display()))?;
    let mut text = String::with_capacity(2 * id.len());
    for byte in id {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// An ELF note: lengths of name and contents, type, then both, the name padded to four bytes.
fn parse(note: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_ne_bytes(note.get(at..at + 4)?.try_into().ok()?));
    let (name, len, kind) = (word(0)?, word(4)?, word(8)?);
    if (name, kind) != (4, NT_GNU_BUILD_ID) || note.get(12..16)? != b"GNU\0" {
        return None;
    }
    let len = usize::try_from(len).ok()?;
    note.get(16..16_usize.checked_add(len)?)
        .filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(name: &[u8; 4], kind: u32, id: &[u8]) -> Vec<u8> {
        let head = [4, id.len() as u32, kind].map(u32::to_ne_bytes);
        [&head.concat()[..], name, id].concat()
    }

    #[test]
    fn only_a_whole_build_id_counts() {
        let good = note(b"GNU\0", 3, &[0x47, 0, 0x2c]);
        assert_eq!(parse(&good), Some(&[0x47, 0, 0x2c][..]));
        assert_eq!(parse(&good[..good.len() - 1]), None);
        for bad in [
            note(b"Xen\0", 3, &[1]),
            note(b"GNU\0", 1, &[1]),
            note(b"GNU\0", 3, &[]),
            Vec::new(),
        ] {
            assert_eq!(parse(&bad), None, "{bad:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots {
            sys: dir.path().to_owned(),
            ..Roots::default()
        };
        assert!(of_module(&roots, "x").unwrap_err().contains("No such file"));
        let notes = dir.path().join("module/x/notes");
        std::fs::create_dir_all(&notes).unwrap();
        let file = notes.join(".note.gnu.build-id");
        std::fs::write(&file, good).unwrap();
        assert_eq!(of_module(&roots, "x").as_deref(), Ok("47002c"));
        std::fs::write(&file, "x").unwrap();
        assert!(
            of_module(&roots, "x")
                .unwrap_err()
                .ends_with("not a build id")
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            _ = parse(&bytes);
        }
    }
}
