//! Finds the sound part of a journal: the records before the first that is cut short, damaged or of a row that has one.

use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};

use super::format::{HEADER_BYTES, Header, PREFIX_BYTES, Prefix};

/// What is in a file.
pub(super) struct Found {
    /// Where the record of each row begins, 0 for those that have none.
    pub(super) offsets: Vec<u64>,
    /// Where the sound part ends.
    pub(super) end: u64,
    /// What comes behind it.
    pub(super) damage: Option<Damage>,
}

/// The part that is to be cut.
pub(super) struct Damage {
    pub(super) bytes: u64,
    /// Whether it holds records: a crash alone rarely does that, a bad disk or an editor does.
    pub(super) is_followed: bool,
}

/// Reads the file once from its header on, in memory for its longest record.
pub(super) fn recover(file: &mut File, header: &Header, rows: usize) -> Result<Found> {
    let length = file.metadata()?.len();
    let mut offsets = vec![0; rows];
    let mut end = HEADER_BYTES as u64;
    file.seek(SeekFrom::Start(end))?;
    let mut reader = BufReader::with_capacity(1 << 16, &mut *file);
    let mut record = Vec::new();
    while let Some(prefix) = next(&mut reader, header, length - end, &mut record)? {
        let row = usize::try_from(prefix.row).expect("a sound row is below the count of rows");
        // Whoever wrote this did not write it with `append`; the first record stands.
        if offsets[row] != 0 {
            break;
        }
        offsets[row] = end;
        end += (PREFIX_BYTES + record.len()) as u64;
    }
    let bytes = length - end;
    let damage = match bytes {
        0 => None,
        _ => Some(Damage { bytes, is_followed: has_record(file, end + 1, header)? }),
    };
    Ok(Found { offsets, end, damage })
}

/// The next record, its bytes in `record`, unless it is damaged or reaches over the `left` bytes of the file.
fn next(reader: &mut impl Read, header: &Header, left: u64, record: &mut Vec<u8>) -> Result<Option<Prefix>> {
    let Some(room) = left.checked_sub(PREFIX_BYTES as u64) else { return Ok(None) };
    let mut bytes = [0; PREFIX_BYTES];
    reader.read_exact(&mut bytes)?;
    let Some(prefix) = Prefix::decode(&bytes, header).filter(|prefix| u64::from(prefix.length) <= room) else {
        return Ok(None);
    };
    record.resize(prefix.length as usize, 0);
    reader.read_exact(record)?;
    Ok(prefix.is_of(record).then_some(prefix))
}

/// Whether the prefix of a record stands anywhere from `start` on.
fn has_record(file: &mut File, start: u64, header: &Header) -> Result<bool> {
    file.seek(SeekFrom::Start(start))?;
    let mut window = [0; PREFIX_BYTES];
    let mut filled = 0;
    for byte in BufReader::with_capacity(1 << 16, file).bytes() {
        window.rotate_left(1);
        window[PREFIX_BYTES - 1] = byte?;
        filled += 1;
        if filled >= PREFIX_BYTES && Prefix::decode(&window, header).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
