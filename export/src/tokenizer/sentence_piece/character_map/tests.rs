//! Maps that lead nowhere are refused, and damaged ones never make the check, or the library behind it, panic.

use proptest::prelude::*;

use super::*;

/// A map from `a` to `xy`, and nothing else: a root, and a block of 256 places that the root's children are counted from.
fn small() -> Vec<u8> {
    let mut units = vec![0_u32; 512];
    // The root's children are counted from 256; so are those of `a`, whose text stands in the place of byte zero.
    units[0] = 256 << 10;
    let distance = (256 ^ usize::from(b'a')) ^ 256;
    units[256 ^ usize::from(b'a')] = (distance as u32) << 10 | 1 << 8 | u32::from(b'a');
    units[256] = 1 << 31;
    map(&units, "xy\0")
}

fn map(units: &[u32], texts: &str) -> Vec<u8> {
    let length = (units.len() * UNIT_BYTES) as u32;
    let units = units.iter().flat_map(|unit| unit.to_le_bytes());
    length.to_le_bytes().into_iter().chain(units).chain(texts.bytes()).collect()
}

/// What the tokenizers library makes of a text.
fn normalized(map: &[u8], text: &str) -> Option<String> {
    use tokenizers::{NormalizedString, Normalizer};
    let json = serde_json::json!({ "type": "Precompiled", "precompiled_charsmap": super::super::base64::encode(map) });
    let normalizer: tokenizers::NormalizerWrapper = serde_json::from_value(json).ok()?;
    let mut text = NormalizedString::from(text);
    normalizer.normalize(&mut text).ok()?;
    Some(text.get().to_owned())
}

#[test]
fn a_right_map_is_accepted_and_works() {
    assert_eq!(check(&small()), Ok(()));
    assert_eq!(normalized(&small(), "cab").as_deref(), Some("cxyb"));
}

#[test]
fn what_leads_out_of_the_map_is_named() {
    let check = |map: &[u8], expected: &str| {
        assert_eq!(check(map), Err(format!("the map of characters {expected}")));
    };
    check(&[1, 0], "has 2 bytes");
    check(&[8, 0, 0, 0, 1, 2], "has a trie of 8 bytes, but 2 follow");
    check(&[0, 0, 0, 0], "has a trie of 0 bytes, but 0 follow");
    check(&map(&[1 << 20], ""), "leads to unit 1024 of a trie of 1");
    check(&small()[..small().len() - 1], "leads to text at byte 0 of 2");
    let mut texts = small();
    *texts.last_mut().expect("a text") = 0xff;
    check(&texts, "has texts that are not UTF-8");
}

proptest! {
    #[test]
    fn a_damaged_map_is_refused_or_works(places in prop::collection::vec((0_usize..2200, any::<u8>()), 0..12)) {
        let mut map = small();
        for (place, byte) in places {
            let place = place % map.len();
            map[place] = byte;
        }
        if check(&map).is_ok() {
            // The library panics where a map leads out of itself.
            let text = normalized(&map, "cab a\u{301} \u{e9} \u{1f600} zebra");
            prop_assert!(text.is_some());
        }
    }
}
