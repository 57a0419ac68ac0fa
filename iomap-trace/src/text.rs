//! File names as text: what is not UTF-8 is escaped, and control characters never reach a terminal.

use std::fmt::Write as _;

/// A path as a JSON string can carry it, and whether it had to be escaped for that.
///
/// Valid UTF-8 is returned as it is. Otherwise each byte that is not UTF-8 becomes `\xHH` and each
/// backslash `\\`, so that the bytes can be had back.
pub fn escape_path(path: &[u8]) -> (String, bool) {
    if let Ok(text) = std::str::from_utf8(path) {
        return (text.to_owned(), false);
    }
    let mut out = String::with_capacity(path.len() + 8);
    for chunk in path.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    (out, true)
}

/// The bytes that [`escape_path`] escaped.
pub fn unescape_path(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(1..3).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = match (first, tail.first(), byte) {
            (b'\\', Some(b'x'), Some(byte)) => {
                out.push(byte);
                &tail[3..]
            }
            (b'\\', Some(b'\\'), _) => {
                out.push(b'\\');
                &tail[1..]
            }
            _ => {
                out.push(first);
                tail
            }
        };
    }
    out
}

/// Text for a terminal: control characters as escapes (`\n`, `\u{1b}`), everything else as it is.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_stays_as_it_is() {
        for name in ["plain", "with space", "a\nb", "back\\slash", "häß", ""] {
            assert_eq!(escape_path(name.as_bytes()), (name.to_owned(), false));
        }
    }

    #[test]
    fn other_bytes_are_escaped_and_backslashes_doubled() {
        assert_eq!(
            escape_path(b"a\xff\xfe\\b\xc3"),
            ("a\\xff\\xfe\\\\b\\xc3".to_owned(), true)
        );
    }

    #[test]
    fn escaped_bytes_come_back() {
        for bytes in [&b"a\xff\xfe\\b\xc3"[..], b"\\xff\xff", b"\xff", b"\xe4\\"] {
            assert_eq!(unescape_path(&escape_path(bytes).0), bytes);
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\n\x1b[2Jé"), "a\\n\\u{1b}[2Jé");
    }
}
