//! A tar archive in one zstd stream.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufWriter, Read, Write};

/// Directory that an archive unpacks to.
pub const DIRECTORY: &str = "iomap-trace-bundle";

/// An archive that is being written. Its files belong to root and are readable by their owner only;
/// they have no time, so that the same files give the same archive.
pub struct Pack<'a> {
    tar: tar::Builder<zstd::Encoder<'a, BufWriter<&'a File>>>,
}

impl<'a> Pack<'a> {
    /// An archive in the empty `file`.
    ///
    /// # Errors
    /// When zstd cannot be set up.
    pub fn new(file: &'a File) -> Result<Self> {
        let mut zstd =
            zstd::Encoder::new(BufWriter::new(file), 0).context("zstd cannot be set up")?;
        zstd.include_checksum(true)
            .context("zstd cannot be set up")?;
        Ok(Self {
            tar: tar::Builder::new(zstd),
        })
    }

    /// Adds a file of `len` bytes.
    ///
    /// # Errors
    /// When `content` cannot be read, or the archive cannot be written.
    pub fn add(&mut self, name: &str, len: u64, content: impl Read) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(len);
        header.set_mode(0o600);
        header.set_entry_type(tar::EntryType::Regular);
        self.tar
            .append_data(&mut header, format!("{DIRECTORY}/{name}"), content)
            .with_context(|| format!("{name} cannot be packed"))
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<()> {
        let write = || self.tar.into_inner()?.finish()?.flush();
        write().context("the bundle cannot be written")
    }
}
