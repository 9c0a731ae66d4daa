//! How a model lies in memory and in a file: a trie of sorted arrays, read in place.
//!
//! ```text
//! header    magic [8] | version u32 | order u32 | vocabulary u32 | root backoff f32 | tokenizer SHA-256 [32]
//!           n-grams of order 1 .. order: u64 each
//! order k   token u32 [n]          the newest token; siblings, which share the tokens before it, lie side by side, rising
//!           probability f32 [n]    p(token | the tokens before it), interpolated already
//!           rank u32 [n]           places among the siblings, the likeliest sibling's first
//!           backoff f32 [n]        what the n-gram, as a context, leaves to the shorter one   } not for the
//!           children u32 [n + 1]   where the n-grams that continue it start in order k + 1    } highest order
//! ```
//!
//! Numbers are little-endian, every array starts at a multiple of 8, gaps are 0, and the file ends with its last array.
//! An n-gram that occurred needs one probability, and no token needs more than a product of backoffs and one of these.

use std::ops::Range;

use super::MAX_ORDER;

/// The first bytes of every file of an n-gram model.
pub const MAGIC: [u8; 8] = *b"VDNGRAM\0";
const VERSION: u32 = 1;
/// Bytes before the counts.
const FIXED_HEADER: usize = 56;

/// What stands before the arrays.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) vocabulary: u32,
    /// What the empty context leaves to the uniform distribution.
    pub(super) root_backoff: f32,
    pub(super) tokenizer: [u8; 32],
    /// N-grams of each order, the first order first; as many as the order.
    pub(super) counts: Vec<u64>,
}

/// The arrays of one order, to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Level {
    pub(super) tokens: Vec<u32>,
    pub(super) probabilities: Vec<f32>,
    pub(super) ranks: Vec<u32>,
    pub(super) backoffs: Vec<f32>,
    pub(super) children: Vec<u32>,
}

/// Where the arrays of one order start, in bytes. Those that the highest order lacks are where they would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sections {
    /// N-grams of the order.
    pub(super) count: usize,
    pub(super) tokens: usize,
    pub(super) probabilities: usize,
    pub(super) ranks: usize,
    pub(super) backoffs: usize,
    pub(super) children: usize,
}

impl Header {
    /// Reads a header, or says what is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(&MAGIC) {
            return Err("it does not start with `VDNGRAM`".to_owned());
        }
        let cut = || format!("it ends after {} bytes, in its header", bytes.len());
        let fixed = bytes.get(..FIXED_HEADER).ok_or_else(cut)?;
        let (version, order) = (u32_at(fixed, 8), u32_at(fixed, 12) as usize);
        if version != VERSION {
            return Err(format!("version {version}, expected {VERSION}"));
        }
        if !(1..=MAX_ORDER).contains(&order) {
            return Err(format!("order {order}, expected 1 to {MAX_ORDER}"));
        }
        let counts = bytes.get(FIXED_HEADER..FIXED_HEADER + 8 * order).ok_or_else(cut)?;
        Ok(Self {
            vocabulary: u32_at(fixed, 16),
            root_backoff: f32_at(fixed, 20),
            tokenizer: fixed[24..].try_into().expect("32 of 56 bytes are left"),
            counts: counts
                .chunks_exact(8)
                .map(|eight| u64::from_le_bytes(eight.try_into().expect("eight bytes")))
                .collect(),
        })
    }

    /// The places of all arrays in a file of `length` bytes, or what does not fit.
    pub(super) fn sections(&self, length: usize) -> Result<Vec<Sections>, String> {
        let cut = || format!("{length} bytes, too few for {:?} n-grams", self.counts);
        let mut end = FIXED_HEADER + 8 * self.counts.len();
        let mut sections = Vec::with_capacity(self.counts.len());
        for (order, &count) in (1..).zip(&self.counts) {
            // Checked before anything is multiplied; four times a length of something in memory cannot overflow a u64.
            let count = usize::try_from(count).ok().filter(|&count| count < length / 4).ok_or_else(cut)?;
            u32::try_from(count).map_err(|_| format!("{count} n-grams of order {order}, expected less than 2^32"))?;
            let mut array = |elements: usize| {
                let start = end;
                end = start.saturating_add(4 * elements).next_multiple_of(8);
                start
            };
            let is_highest = order == self.counts.len();
            sections.push(Sections {
                count,
                tokens: array(count),
                probabilities: array(count),
                ranks: array(count),
                backoffs: array(if is_highest { 0 } else { count }),
                children: array(if is_highest { 0 } else { count + 1 }),
            });
            if end > length {
                return Err(cut());
            }
        }
        if end < length { Err(format!("{length} bytes, but its n-grams end at {end}")) } else { Ok(sections) }
    }
}

impl Level {
    /// Arrays without n-grams.
    pub(super) fn with_capacity(count: usize) -> Self {
        let (tokens, probabilities, ranks) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        Self { tokens, probabilities, ranks, backoffs: Vec::new(), children: Vec::new() }
    }

    /// Takes the probabilities of the siblings that come next, and ranks them; equally likely ones by their token.
    pub(super) fn push_siblings(&mut self, probabilities: &[f64]) {
        let start = self.probabilities.len();
        self.probabilities.extend(probabilities.iter().map(|&probability| probability as f32));
        let (rounded, first_rank) = (&self.probabilities[start..], self.ranks.len());
        self.ranks.extend(0..rounded.len() as u32);
        // The sort is stable, and siblings rise by their token.
        self.ranks[first_rank..].sort_by(|&one, &other| rounded[other as usize].total_cmp(&rounded[one as usize]));
    }
}

/// The bytes of a model.
pub(super) fn write(header: &Header, levels: &[Level]) -> Vec<u8> {
    let elements = levels.iter().map(|level| level.tokens.len() * 5 + 12).sum::<usize>();
    let mut bytes = Vec::with_capacity(FIXED_HEADER + 8 * levels.len() + 4 * elements);
    bytes.extend(MAGIC);
    for number in [VERSION, levels.len() as u32, header.vocabulary] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(header.root_backoff.to_le_bytes());
    bytes.extend(header.tokenizer);
    header.counts.iter().for_each(|count| bytes.extend(count.to_le_bytes()));
    for level in levels {
        write_array(&mut bytes, level.tokens.iter().map(|token| token.to_le_bytes()));
        write_array(&mut bytes, level.probabilities.iter().map(|probability| probability.to_le_bytes()));
        write_array(&mut bytes, level.ranks.iter().map(|rank| rank.to_le_bytes()));
        write_array(&mut bytes, level.backoffs.iter().map(|backoff| backoff.to_le_bytes()));
        write_array(&mut bytes, level.children.iter().map(|child| child.to_le_bytes()));
    }
    bytes
}

fn write_array(bytes: &mut Vec<u8>, elements: impl Iterator<Item = [u8; 4]>) {
    elements.for_each(|element| bytes.extend(element));
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

impl Sections {
    pub(super) fn token(&self, bytes: &[u8], index: usize) -> u32 {
        u32_at(bytes, self.tokens + 4 * index)
    }

    pub(super) fn probability(&self, bytes: &[u8], index: usize) -> f32 {
        f32_at(bytes, self.probabilities + 4 * index)
    }

    pub(super) fn rank(&self, bytes: &[u8], index: usize) -> u32 {
        u32_at(bytes, self.ranks + 4 * index)
    }

    pub(super) fn backoff(&self, bytes: &[u8], index: usize) -> f32 {
        f32_at(bytes, self.backoffs + 4 * index)
    }

    /// Where the n-grams that continue one lie in the next order.
    pub(super) fn children(&self, bytes: &[u8], index: usize) -> Range<usize> {
        let at = |index| u32_at(bytes, self.children + 4 * index) as usize;
        at(index)..at(index + 1)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a range of four bytes"))
}

fn f32_at(bytes: &[u8], at: usize) -> f32 {
    f32::from_bits(u32_at(bytes, at))
}
