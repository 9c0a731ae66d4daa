//! The bytes of a journal; integers are little-endian.
//!
//! ```text
//! header   magic "VDBATCH\n" | version u32 | rows u64 | digest of the run [32] | crc of these u32       56 bytes
//! record   length u32 | row u64 | kind u8 | crc of the bytes u32 | crc of these u32 | bytes [length]    21 + length
//! record   ...
//! ```
//!
//! A record's prefix has a checksum of its own, so that a length is known to be sound before it is used, and a record
//! behind a damaged one can be found. That checksum begins with the run's digest: what a file system may show of an
//! older file's blocks after a power cut is no record of this run. The checksum is CRC-32 (as in gzip), which catches
//! every change of up to 32 neighbouring bits.

use flate2::Crc;

pub(super) const HEADER_BYTES: usize = 8 + 4 + 8 + 32 + 4;
pub(super) const PREFIX_BYTES: usize = 4 + 8 + 1 + 4 + 4;

const MAGIC: &[u8; 8] = b"VDBATCH\n";
const VERSION: u32 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// A line of the output.
    Result,
    /// A line of the file of errors.
    Error,
}

/// What the whole journal is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) run: [u8; 32],
    pub(super) rows: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.rows.to_le_bytes());
        bytes[20..52].copy_from_slice(&self.run);
        let crc = crc(&[&bytes[..52]]);
        bytes[52..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `bytes`: at most [`HEADER_BYTES`]. The error says what was found and what was expected.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(MAGIC) {
            return Err("it does not start with `VDBATCH`".to_owned());
        }
        let Ok(bytes) = <&[u8; HEADER_BYTES]>::try_from(bytes) else {
            return Err(format!("it has {} bytes, expected {HEADER_BYTES} or more", bytes.len()));
        };
        let version = u32::from_le_bytes(part(bytes, 8));
        if version != VERSION {
            return Err(format!("it has version {version}, expected {VERSION}"));
        }
        if crc(&[&bytes[..52]]) != u32::from_le_bytes(part(bytes, 52)) {
            return Err("its first bytes are damaged".to_owned());
        }
        Ok(Self { run: part(bytes, 20), rows: u64::from_le_bytes(part(bytes, 12)) })
    }

    /// What sets the header found apart from that of this run.
    pub(super) fn difference(&self, expected: &Self) -> String {
        if self.rows == expected.rows {
            format!("its digest begins with {}, this run's with {}", short(&self.run), short(&expected.run))
        } else {
            format!("its input had {} rows, this one has {}", self.rows, expected.rows)
        }
    }
}

fn short(digest: &[u8; 32]) -> String {
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What stands before a record's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) length: u32,
    pub(super) row: u64,
    pub(super) kind: Kind,
    pub(super) crc: u32,
}

impl Prefix {
    /// None if the record is too long for the format.
    pub(super) fn of(row: u64, kind: Kind, record: &[u8]) -> Option<Self> {
        Some(Self { length: u32::try_from(record.len()).ok()?, row, kind, crc: crc(&[record]) })
    }

    pub(super) fn encode(&self, header: &Header) -> [u8; PREFIX_BYTES] {
        let mut bytes = [0; PREFIX_BYTES];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.row.to_le_bytes());
        bytes[12] = match self.kind {
            Kind::Result => 1,
            Kind::Error => 2,
        };
        bytes[13..17].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc(&[&header.run, &bytes[..17]]);
        bytes[17..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// None if the bytes are not the prefix of a record of this run.
    pub(super) fn decode(bytes: &[u8; PREFIX_BYTES], header: &Header) -> Option<Self> {
        let kind = match bytes[12] {
            1 => Kind::Result,
            2 => Kind::Error,
            _ => return None,
        };
        let row = u64::from_le_bytes(part(bytes, 4));
        let is_sound = row < header.rows && crc(&[&header.run, &bytes[..17]]) == u32::from_le_bytes(part(bytes, 17));
        let length = u32::from_le_bytes(part(bytes, 0));
        is_sound.then(|| Self { length, row, kind, crc: u32::from_le_bytes(part(bytes, 13)) })
    }

    /// Whether these are the bytes behind the prefix.
    pub(super) fn is_of(&self, record: &[u8]) -> bool {
        crc(&[record]) == self.crc
    }
}

fn part<const LENGTH: usize>(bytes: &[u8], start: usize) -> [u8; LENGTH] {
    bytes[start..start + LENGTH].try_into().expect("the slice has this length")
}

fn crc(parts: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum()
}
