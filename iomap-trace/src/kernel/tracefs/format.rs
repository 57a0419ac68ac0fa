//! `format` files of trace events.

/// Layout of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// Name of the event.
    pub name: String,
    /// Id, as `common_type` has it.
    pub id: u32,
    /// Fields, the `common_` ones first.
    pub fields: Vec<Field>,
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name without an array's brackets.
    pub name: String,
    /// C type, with an array's brackets.
    pub ty: String,
    /// Offset in bytes.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Whether it is signed.
    pub signed: bool,
}

impl Format {
    /// Parses the text of a `format` file; `None` when name or id are missing.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let value = |key: &str| {
            text.lines()
                .find_map(|l| l.strip_prefix(key))
                .map(str::trim)
        };
        Some(Self {
            name: value("name:")?.to_owned(),
            id: value("ID:")?.parse().ok()?,
            fields: text.lines().filter_map(field).collect(),
        })
    }

    /// A field by name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// `\tfield:unsigned char fsid[16];\toffset:8;\tsize:16;\tsigned:0;`
fn field(line: &str) -> Option<Field> {
    let declaration = line.trim_start().strip_prefix("field:")?;
    let (declaration, rest) = declaration.split_once(';')?;
    let mut numbers = rest
        .split(';')
        .filter_map(|part| part.trim().split_once(':'));
    let mut number = |key: &str| -> Option<u32> {
        let (_, value) = numbers.find(|(k, _)| *k == key)?;
        value.parse().ok()
    };
    let (offset, size, signed) = (number("offset")?, number("size")?, number("signed")? != 0);
    let (plain, brackets) = match declaration.find('[') {
        Some(at) => declaration.split_at(at),
        None => (declaration, ""),
    };
    let at = plain.rfind([' ', '*']).map_or(0, |at| at + 1);
    let (ty, name) = plain.split_at(at);
    Some(Field {
        name: name.to_owned(),
        ty: format!("{}{brackets}", ty.trim_end()),
        offset,
        size,
        signed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
name: btrfs_set_extent_bit
ID: 1234
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:u8 fsid[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:const void * work;\toffset:24;\tsize:8;\tsigned:0;
\tfield:const char *name;\toffset:32;\tsize:8;\tsigned:0;

print fmt: \"%pU: io_tree=%s\", REC->fsid, REC->owner
";

    #[test]
    fn a_real_one() {
        let format = Format::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(
            (format.name.as_str(), format.id),
            ("btrfs_set_extent_bit", 1234)
        );
        assert_eq!(format.fields.len(), 5);
        let get = |name| format.field(name).unwrap();
        assert_eq!((get("fsid").offset, get("fsid").size), (8, 16));
        assert_eq!(get("fsid").ty, "u8[16]");
        assert_eq!(get("work").ty, "const void *");
        assert_eq!(get("name").ty, "const char *");
        assert!(get("common_pid").signed && !get("common_type").signed);
        assert_eq!(Format::parse(b"name: x\n"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text: Vec<u8>) {
            _ = Format::parse(&text);
        }

        #[test]
        fn fields_never_panic(lines in prop::collection::vec(
            "\t?field:[a-z \\[\\]*0-9]{0,12};?\t?(offset:[0-9]{0,11};)?(size:[0-9-]{0,3};)?signed:[01];",
            0..8)) {
            _ = Format::parse(format!("name: x\nID: 1\n{}", lines.join("\n")).as_bytes());
        }
    }
}
