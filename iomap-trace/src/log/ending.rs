//! How a log ends.

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its `end` record: nothing is missing.
    Complete,
    /// After a whole record that is not `end`: the recorder was killed, or its disk was full.
    NoEnd,
    /// Inside a record or a zstd frame.
    Cut {
        /// Bytes of the file after the last whole record, or of the last frame, which is not
        /// whole: of that, whole records were read where they could be had.
        bytes_ignored: u64,
    },
}

impl Ending {
    /// A line that says what is missing from the log called `name`, if anything is.
    pub fn warning(self, name: &str) -> Option<String> {
        let how = match self {
            Self::Complete => return None,
            Self::NoEnd => "it has no `end` record".to_owned(),
            Self::Cut { bytes_ignored: 1 } => "its last byte is no whole record".to_owned(),
            Self::Cut { bytes_ignored } => {
                format!("its last {bytes_ignored} bytes are no whole record")
            }
        };
        Some(format!(
            "{name}: the log's tail is missing ({how}): what happened last and the losses are not known"
        ))
    }
}
