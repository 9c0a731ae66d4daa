//! Reading little-endian values one behind the other, never past the end.

/// A place in a file. Every error names what was read, where it stood, and where the file ends.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// A cursor over `bytes` that starts at `offset`, which lies within them.
    pub(super) fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: u64, what: &str) -> Result<&'a [u8], String> {
        match usize::try_from(length) {
            Ok(length) if length <= self.remaining() => {
                let start = self.offset;
                self.offset += length;
                Ok(&self.bytes[start..self.offset])
            }
            _ => Err(format!(
                "{what} at byte {} takes {length} bytes, but the file ends at byte {}",
                self.offset,
                self.bytes.len()
            )),
        }
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], String> {
        let bytes = self.take(N as u64, what)?;
        Ok(bytes.try_into().expect("`take` gives as many bytes as asked for"))
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, String> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, String> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A length in bytes, then so many bytes of UTF-8.
    pub(super) fn string(&mut self, what: &str) -> Result<&'a str, String> {
        let length = self.u64(what)?;
        let start = self.offset;
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| format!("{what} at byte {start} is not UTF-8"))
    }

    /// A number of items that take at least `item_bytes` each, so a count that cannot be true is refused before it
    /// drives a loop or an allocation.
    pub(super) fn count(&mut self, item_bytes: u64, what: &str) -> Result<usize, String> {
        let start = self.offset;
        let count = self.u64(what)?;
        let most = self.remaining() as u64 / item_bytes;
        if count > most {
            return Err(format!(
                "{what} at byte {start} is {count}, but the {} bytes behind it have room for {most} at most",
                self.remaining()
            ));
        }
        Ok(count as usize)
    }
}
