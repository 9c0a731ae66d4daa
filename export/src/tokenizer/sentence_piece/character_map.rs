//! SentencePiece's map from strings to strings, as it is compiled into models: checked, not read.
//!
//! ```text
//! bytes of the trie, u32 | the trie, a double array of u32 (Aoe 1989, as Darts-clone stores it) | texts, each ended by 0
//! ```
//!
//! A unit at a place of the double array says which byte leads to it and how far its children are; a unit that is a leaf
//! has the place of its text in the first child. The tokenizers library follows these numbers without looking at them,
//! so everything that can be reached is followed once here.

const LENGTH_BYTES: usize = 4;
const UNIT_BYTES: usize = 4;

/// Checks that every string leads to a text or nowhere.
pub(super) fn check(map: &[u8]) -> Result<(), String> {
    let wrong = |reason: String| format!("the map of characters {reason}");
    let (length, rest) =
        map.split_first_chunk::<LENGTH_BYTES>().ok_or_else(|| wrong(format!("has {} bytes", map.len())))?;
    let length = u32::from_le_bytes(*length) as usize;
    if !length.is_multiple_of(UNIT_BYTES) || length == 0 || length > rest.len() {
        return Err(wrong(format!("has a trie of {length} bytes, but {} follow", rest.len())));
    }
    let (trie, texts) = rest.split_at(length);
    let texts = std::str::from_utf8(texts).map_err(|_| wrong("has texts that are not UTF-8".to_owned()))?;
    let units = trie.chunks_exact(UNIT_BYTES).map(|unit| u32::from_le_bytes(unit.try_into().expect("four bytes")));
    let trie = Trie { units: units.collect(), texts };
    trie.follow_all().map_err(wrong)
}

struct Trie<'a> {
    units: Vec<u32>,
    texts: &'a str,
}

impl Trie<'_> {
    fn follow_all(&self) -> Result<(), String> {
        let mut seen = vec![false; self.units.len()];
        let mut places = vec![self.children_of(0)?];
        while let Some(base) = places.pop() {
            if std::mem::replace(&mut seen[base], true) {
                continue;
            }
            // No text has a zero in it that is looked up: it ends one.
            for byte in 1..=u8::MAX {
                let place = base ^ usize::from(byte);
                let unit = self.unit(place)?;
                // What says which byte leads to a unit: its low bits, and the bit that marks a value, which is none.
                if unit & 0x8000_00ff != u32::from(byte) {
                    continue;
                }
                let children = self.children_of(place)?;
                if unit >> 8 & 1 == 1 {
                    self.check_text(self.unit(children)?)?;
                }
                places.push(children);
            }
        }
        Ok(())
    }

    /// The place that children are counted from, which is in the array.
    fn children_of(&self, place: usize) -> Result<usize, String> {
        let unit = self.unit(place)?;
        let distance = (unit >> 10) << ((unit & 1 << 9) >> 6);
        let children = place ^ distance as usize;
        self.unit(children).map(|_| children)
    }

    fn unit(&self, place: usize) -> Result<u32, String> {
        let unit = self.units.get(place).copied();
        unit.ok_or_else(|| format!("leads to unit {place} of a trie of {}", self.units.len()))
    }

    fn check_text(&self, value: u32) -> Result<(), String> {
        let start = (value & 0x7fff_ffff) as usize;
        let text = self.texts.get(start..).filter(|rest| rest.contains('\0'));
        text.map(|_| ()).ok_or_else(|| format!("leads to text at byte {start} of {}", self.texts.len()))
    }
}

#[cfg(test)]
mod tests;
