//! Format files of trace events.

use iomap_trace::kernel::tracefs::Format;
use std::fmt::Write;

/// Parses `input`; what was understood of it, printed as the kernel prints it, is understood alike.
///
/// # Panics
/// When it is not.
pub fn tracefs_format(input: &[u8]) {
    let Some(format) = Format::parse(input) else {
        return;
    };
    for field in &format.fields {
        assert!(
            !field.name.contains([' ', '*', '[', ';', '\n']),
            "{field:?}"
        );
        let found = format.field(&field.name).map(|found| &found.name);
        assert_eq!(found, Some(&field.name));
    }
    assert_eq!(Format::parse(print(&format).as_bytes()), Some(format));
}

fn print(format: &Format) -> String {
    let mut text = format!("name: {}\nID: {}\nformat:\n", format.name, format.id);
    for field in &format.fields {
        let at = field.ty.find('[').unwrap_or(field.ty.len());
        let (ty, brackets) = field.ty.split_at(at);
        let _ = writeln!(
            text,
            "\tfield:{ty} {}{brackets};\toffset:{};\tsize:{};\tsigned:{};",
            field.name,
            field.offset,
            field.size,
            u8::from(field.signed)
        );
    }
    text
}
