//! Reading a file while another program writes it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A file that grows; it need not be there yet.
pub struct Tail {
    path: std::path::PathBuf,
    file: Option<File>,
    pending: Vec<u8>,
}

impl Tail {
    /// Follows the file at `path` from its start.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            file: None,
            pending: Vec::new(),
        }
    }

    /// What has been written since the last call. What cannot be read has not been written.
    pub fn bytes(&mut self) -> Vec<u8> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let mut new = Vec::new();
        if let Some(file) = &mut self.file {
            let _ = file.read_to_end(&mut new);
        }
        new
    }

    /// The lines that have been completed since the last call, without their ends.
    pub fn lines(&mut self) -> Vec<String> {
        let new = self.bytes();
        self.pending.extend(new);
        let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let complete: Vec<_> = self.pending.drain(..=end).collect();
        let text = String::from_utf8_lossy(&complete);
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Tail;
    use std::io::Write;

    #[test]
    fn gives_complete_lines_once() {
        let path = std::env::temp_dir().join(format!("iomap-trace-tail-{}", std::process::id()));
        let mut tail = Tail::new(&path);
        assert!(tail.lines().is_empty());
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"one\r\ntwo\nthr").unwrap();
        assert_eq!(tail.lines(), ["one", "two"]);
        assert!(tail.lines().is_empty());
        file.write_all(b"ee\n").unwrap();
        assert_eq!(tail.lines(), ["three"]);
        std::fs::remove_file(&path).unwrap();
    }
}
