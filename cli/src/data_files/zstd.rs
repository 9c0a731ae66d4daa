//! Zstandard (RFC 8878) over a decoder and an encoder of single frames.

use std::io::{BufRead, Error, Read, Result, Write};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// Bytes of text in one frame, which is what the writer holds. Longer frames were not measured to be smaller.
const FRAME_BYTES: usize = 1 << 20;

/// Reads the text of all frames, one behind the other, and checks the checksum of those that have one.
pub(super) struct ZstandardReader<R> {
    source: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> ZstandardReader<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), is_in_frame: false }
    }

    /// Goes on to the next frame that has text; false at the end of the source.
    fn begin_frame(&mut self) -> Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.is_in_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = std::io::copy(&mut (&mut self.source).take(length.into()), &mut std::io::sink())?;
                    if skipped < length.into() {
                        return Err(Error::other("it ends in a frame that is to be skipped"));
                    }
                }
                Err(error) => return Err(Error::other(error)),
            }
        }
        Ok(false)
    }

    /// Called with no text left of the frame.
    fn end_frame(&mut self) -> Result<()> {
        self.is_in_frame = false;
        match self.decoder.get_checksum_from_data() {
            Some(expected) if self.decoder.get_calculated_checksum() != Some(expected) => {
                Err(Error::other("the checksum of a Zstandard frame is wrong"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstandardReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            if !self.is_in_frame && !self.begin_frame()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(Error::other)?;
            }
            match self.decoder.read(buffer)? {
                0 if buffer.is_empty() => return Ok(0),
                0 => self.end_frame()?,
                read => return Ok(read),
            }
        }
    }
}

/// Writes frames of [`FRAME_BYTES`] each, the last one shorter.
pub(super) struct ZstandardWriter<W> {
    drain: W,
    pending: Vec<u8>,
    frames: usize,
}

impl<W: Write> ZstandardWriter<W> {
    pub(super) fn new(drain: W) -> Self {
        Self { drain, pending: Vec::new(), frames: 0 }
    }

    /// Writes the last frame. A text of no bytes is one empty frame, as other programs refuse a file of none.
    pub(super) fn finish(mut self) -> Result<W> {
        if !self.pending.is_empty() || self.frames == 0 {
            self.write_frame(self.pending.len())?;
        }
        Ok(self.drain)
    }

    /// The encoder panics if its drain fails, so it writes to memory.
    fn write_frame(&mut self, length: usize) -> Result<()> {
        self.drain.write_all(&compress_to_vec(&self.pending[..length], CompressionLevel::Fastest))?;
        self.pending.drain(..length);
        self.frames += 1;
        Ok(())
    }
}

impl<W: Write> Write for ZstandardWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = bytes.len().min(FRAME_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        if self.pending.len() == FRAME_BYTES {
            self.write_frame(FRAME_BYTES)?;
        }
        Ok(taken)
    }

    /// Text of less than a frame stays, as where frames end must depend on the text alone.
    fn flush(&mut self) -> Result<()> {
        self.drain.flush()
    }
}
