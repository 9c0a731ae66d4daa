//! The wire format of protocol buffers, read field by field from a file that may be anything.
//!
//! Nothing is held but the field under the cursor: a message is a stretch of the file, and what is not wanted is
//! skipped by seeking, so gigabytes of weights cost nothing. A length is checked against the stretch it stands in before
//! anything else is done with it. The format: <https://protobuf.dev/programming-guides/encoding/>.

use std::io::{BufReader, Read, Seek, SeekFrom};

/// Bytes of a text, at most; names and keys in ONNX files are far shorter.
const LONGEST_TEXT: u64 = 1 << 16;

/// What was wrong and where, or why the file could not be read.
pub(super) type Result<T> = std::result::Result<T, String>;

/// A stretch of the file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A field's value, as far as the wire tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// An integer.
    Number(u64),
    /// Text, bytes or a message.
    Bytes(Extent),
    /// 4 or 8 bytes that nobody here wants.
    Fixed,
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) value: Value,
}

/// A file under a cursor.
pub(super) struct Reader<R> {
    source: BufReader<R>,
    position: u64,
    length: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads from the start.
    pub(super) fn new(mut source: R) -> Result<Self> {
        let length = source.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
        source.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        Ok(Self { source: BufReader::new(source), position: 0, length })
    }

    /// The whole file.
    pub(super) fn extent(&self) -> Extent {
        Extent { start: 0, end: self.length }
    }

    /// Hands every field of a message to `visit`, which may read its bytes.
    pub(super) fn fields(
        &mut self,
        message: Extent,
        visit: &mut dyn FnMut(&mut Self, Field) -> Result<()>,
    ) -> Result<()> {
        let mut next = message.start;
        while next < message.end {
            self.seek(next)?;
            let field = self.field(message.end)?;
            next = match field.value {
                Value::Bytes(extent) => extent.end,
                Value::Number(_) | Value::Fixed => self.position,
            };
            visit(self, field)?;
        }
        Ok(())
    }

    /// Text at a place in the file.
    pub(super) fn text(&mut self, extent: Extent) -> Result<String> {
        let length = extent.end - extent.start;
        if length > LONGEST_TEXT {
            return Err(format!("a name of {length} bytes at byte {}, expected at most {LONGEST_TEXT}", extent.start));
        }
        self.seek(extent.start)?;
        let mut bytes = vec![0; length as usize];
        self.read(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| format!("a name at byte {} is not UTF-8", extent.start))
    }

    fn field(&mut self, end: u64) -> Result<Field> {
        let start = self.position;
        let tag = self.number(end)?;
        let value = match tag & 7 {
            0 => Value::Number(self.number(end)?),
            1 => self.skip(8, end)?,
            2 => {
                let length = self.number(end)?;
                let extent = Extent { start: self.position, end: self.position.saturating_add(length) };
                self.check_end(extent.end, end)?;
                Value::Bytes(extent)
            }
            5 => self.skip(4, end)?,
            other => return Err(format!("field of wire type {other} at byte {start}, expected an ONNX file")),
        };
        if tag >> 3 == 0 {
            return Err(format!("field number 0 at byte {start}, expected an ONNX file"));
        }
        Ok(Field { number: tag >> 3, value })
    }

    fn skip(&mut self, bytes: u64, end: u64) -> Result<Value> {
        self.check_end(self.position.saturating_add(bytes), end)?;
        self.seek(self.position + bytes)?;
        Ok(Value::Fixed)
    }

    /// A number in groups of seven bits, the lowest first.
    fn number(&mut self, end: u64) -> Result<u64> {
        let start = self.position;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            self.check_end(self.position + 1, end)?;
            let mut byte = [0];
            self.read(&mut byte)?;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(format!("a number of more than ten bytes at byte {start}, expected an ONNX file"))
    }

    /// Refuses what goes on behind the stretch it stands in.
    fn check_end(&self, found: u64, end: u64) -> Result<()> {
        if found <= end {
            return Ok(());
        }
        if end == self.length {
            return Err(format!("it is cut short: {end} bytes, expected at least {found}"));
        }
        Err(format!("a field at byte {} ends at {found}, expected at most {end}", self.position))
    }

    fn seek(&mut self, position: u64) -> Result<()> {
        // Both are within a file, whose length fits i64; short ways stay in the buffer.
        let way = position as i64 - self.position as i64;
        self.source.seek_relative(way).map_err(|error| error.to_string())?;
        self.position = position;
        Ok(())
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.source.read_exact(bytes).map_err(|error| error.to_string())?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}
