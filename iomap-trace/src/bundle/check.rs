//! The last look: no original may be left in any file of a redacted bundle.

use anyhow::{Result, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use super::names::{Names, words};

/// Looks for originals in `file`, which is called `name`, as whole words. A name that is a word of
/// this program's own reveals nothing.
///
/// # Errors
/// When there is one; when the file cannot be read.
pub fn check(name: &str, file: impl Read, names: &Names) -> Result<()> {
    let mut own = Own::default();
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        for word in words(&line) {
            if names.betrays(word) && !own.has(word) {
                bail!(
                    "`{}` is still in {name}, so nothing was written: please report this",
                    crate::text::printable(&String::from_utf8_lossy(word))
                );
            }
        }
    }
}

/// The words of this program: all of its texts are in its file.
#[derive(Default)]
struct Own {
    program: Option<Vec<u8>>,
}

impl Own {
    fn has(&mut self, word: &[u8]) -> bool {
        let program = self.program.get_or_insert_with(|| {
            let mut bytes = Vec::new();
            if let Ok(mut file) = File::open("/proc/self/exe") {
                // What cannot be read is not known to be a word of ours.
                let _ = file.read_to_end(&mut bytes);
            }
            bytes
        });
        memchr::memmem::find(program, word).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_original_is_found() {
        let mut names = Names::default();
        // No text of the program: it is put together at run time.
        let secret = format!("{}{}", "zq", std::process::id() + 1_000_000);
        names.path(&format!("/srv/{secret}"));
        names.comm("failure");
        let text = |word: &str| format!("a line\n{{\"path\":\"/x/{word}/y\"}}\n");
        assert!(check("f", text(&secret).as_bytes(), &names).is_err());
        assert!(check("f", text("harmless").as_bytes(), &names).is_ok());
        assert!(check("f", text("failure").as_bytes(), &names).is_ok());
    }
}
