//! Finds out that an ELF library ends too early, before the system's loader does.
//!
//! The loader maps what the file's headers promise and dies of a bus error where the file is shorter, as half a
//! download is. Other formats are left to their loaders.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The file's size and the size that its headers promise, in bytes, if it is the smaller one.
pub(super) fn truncated(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let found = std::fs::metadata(path)?.len();
    let promised = bytes_promised(path)?;
    Ok(promised.filter(|&promised| promised > found).map(|promised| (found, promised)))
}

/// The size in bytes that the segments of a 64-bit little-endian ELF file need; `None` for any other file.
fn bytes_promised(path: &Path) -> io::Result<Option<u64>> {
    let mut file = File::open(path)?;
    let mut header = [0; 64];
    if !filled(&mut file, &mut header)? || !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(None);
    }
    let [table, entry_bytes, entries] = [number(&header[32..40]), number(&header[54..56]), number(&header[56..58])];
    // Two 16-bit numbers multiplied, and checked against the file's size before room is made for them.
    let table_bytes = entry_bytes * entries;
    let mut promised = table.saturating_add(table_bytes);
    if file.metadata()?.len() < promised {
        return Ok(Some(promised));
    }
    let mut segments = vec![0; table_bytes as usize];
    file.seek(SeekFrom::Start(table))?;
    if !filled(&mut file, &mut segments)? {
        return Ok(Some(promised));
    }
    for segment in segments.chunks_exact((entry_bytes as usize).max(1)).filter(|segment| segment.len() >= 40) {
        promised = promised.max(number(&segment[8..16]).saturating_add(number(&segment[32..40])));
    }
    Ok(Some(promised))
}

fn filled(file: &mut File, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(little_endian: &[u8]) -> u64 {
    little_endian.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header with one segment that ends at byte 1000, cut to `length`.
    fn check(length: usize, expected: Option<u64>) {
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[32], elf[54], elf[56]) = (64, 56, 1);
        elf[64 + 8..64 + 10].copy_from_slice(&600_u16.to_le_bytes());
        elf[64 + 32..64 + 34].copy_from_slice(&400_u16.to_le_bytes());
        elf.resize(length, 0);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("library");
        std::fs::write(&path, elf).expect("written");
        assert_eq!(bytes_promised(&path).expect("read"), expected, "{length}");
    }

    #[test]
    fn the_end_of_the_last_segment_is_promised() {
        check(1000, Some(1000));
        check(500, Some(1000));
        check(120, Some(1000));
        check(119, Some(120));
        check(64, Some(120));
        check(63, None);
        check(0, None);
    }
}
