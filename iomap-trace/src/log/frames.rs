//! A log's bytes, uncompressed, as far as they can be had.

use std::io::{self, BufRead, BufReader, Read};
use zstd::stream::raw::{Decoder, Operation};

use super::ZSTD_MAGIC;

const BUFFER: usize = 128 << 10;

/// The input.
pub(super) type Input = Box<dyn Read + Send>;

/// The contents of a log, compressed or not: told apart by the first bytes.
pub(super) enum Source {
    Plain(io::Chain<io::Cursor<Vec<u8>>, Input>),
    Zstd(Frames<io::Chain<io::Cursor<Vec<u8>>, Input>>),
}

impl Source {
    pub(super) fn new(mut input: Input) -> io::Result<Self> {
        let mut head = Vec::with_capacity(ZSTD_MAGIC.len());
        Read::take(&mut input, ZSTD_MAGIC.len() as u64).read_to_end(&mut head)?;
        let compressed = head == ZSTD_MAGIC;
        let input = io::Cursor::new(head).chain(input);
        Ok(if compressed {
            Self::Zstd(Frames::new(input)?)
        } else {
            Self::Plain(input)
        })
    }

    /// Reads some of it, 0 bytes at the end. To be called with as much room each time: when a frame
    /// is damaged, what could be had of it depends on that.
    pub(super) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Plain(source) => source.read(out),
                Self::Zstd(source) => source.read(out),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Compressed bytes of the last frame, when it is not whole. Known at the end.
    pub(super) fn cut_frame(&self) -> Option<u64> {
        match self {
            Self::Plain(_) => None,
            Self::Zstd(source) => source.cut,
        }
    }
}

/// The contents of zstd frames, one after the other. A frame that ends early ends the contents.
pub(super) struct Frames<R> {
    input: BufReader<R>,
    decoder: Decoder<'static>,
    /// Compressed bytes of the present frame read so far; `None` between frames.
    inside: Option<u64>,
    /// Zero bytes where a frame should begin: a power failure can leave a file so.
    zeros: u64,
    cut: Option<u64>,
}

impl<R: Read> Frames<R> {
    fn new(input: R) -> io::Result<Self> {
        Ok(Self {
            input: BufReader::with_capacity(BUFFER, input),
            decoder: Decoder::new()?,
            inside: None,
            zeros: 0,
            cut: None,
        })
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.cut.is_some() || out.is_empty() {
                return Ok(0);
            }
            let input = self.input.fill_buf()?;
            let inside = match self.inside {
                None if input.is_empty() => {
                    self.cut = (self.zeros > 0).then_some(self.zeros);
                    return Ok(0);
                }
                None if input[0] == 0 => {
                    let zeros = input.iter().take_while(|byte| **byte == 0).count();
                    self.input.consume(zeros);
                    self.zeros += zeros as u64;
                    continue;
                }
                None if self.zeros > 0 => {
                    return Err(io::Error::other("zeros between two zstd frames"));
                }
                None => {
                    self.decoder.reinit()?;
                    0
                }
                Some(inside) => inside,
            };
            let step = self.decoder.run_on_buffers(input, out)?;
            if input.is_empty() && step.bytes_written == 0 {
                self.cut = Some(inside);
                return Ok(0);
            }
            self.input.consume(step.bytes_read);
            self.inside = (step.remaining > 0).then_some(inside + step.bytes_read as u64);
            if step.bytes_written > 0 {
                return Ok(step.bytes_written);
            }
        }
    }
}
