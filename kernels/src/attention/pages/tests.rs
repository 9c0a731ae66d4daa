//! What pages give back of what was appended.

use super::LayerPages;
use crate::attention::{AttentionConfig, Columns, KvType, PagedRows, append};

const HEAD_DIM: usize = 8;

/// What is read back of a key, and of a value, stored as a row between two others.
fn check(kv_type: KvType, row: [f32; HEAD_DIM], expected: [f32; HEAD_DIM]) {
    let config = AttentionConfig {
        heads: 1,
        kv_heads: 1,
        head_dim: HEAD_DIM,
        scale: 1.0,
        rotary_dim: 0,
        window: None,
        softcap: None,
        block_tokens: 8,
    };
    let mut pages = LayerPages::new(&config, kv_type, 1);
    let data = [[9.0; HEAD_DIM], row, [-7.0; HEAD_DIM]].concat();
    let rows = PagedRows {
        positions: &[0, 1, 2],
        slot_mapping: &[0, 1, 2],
        block_tables: &[0],
        blocks_per_table: 1,
        query_starts: &[0, 3],
        tree: None,
    };
    let rows = rows.check(&config, 1, None).expect("well-formed rows");
    let columns = Columns { data: &data, stride: HEAD_DIM, offset: 0 };
    append(&config, &mut pages, &rows, columns, columns, None);
    for found in [pages.key(1, 0), pages.value(1, 0)] {
        let same = found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()));
        assert!(same, "{kv_type}: {found:?}, expected {expected:?}");
    }
}

#[test]
fn numbers_in_32_bits_are_kept() {
    let row = [0.0, -0.0, 1.1, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NAN, -3.3];
    check(KvType::F32, row, row);
}

#[test]
fn numbers_in_16_bits_are_rounded_to_the_nearest_and_ties_to_even() {
    let row = [1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 1.0 + 1.1 / 2048.0, -2.5, 65504.0, 1e6, f32::NAN, 1e-9];
    check(KvType::F16, row, [1.0, 1.0 + 4.0 / 2048.0, 1.0 + 2.0 / 2048.0, -2.5, 65504.0, f32::INFINITY, f32::NAN, 0.0]);
}

#[test]
fn numbers_in_8_bits_are_multiples_of_a_scale() {
    check(KvType::Q8, [127.0, -127.0, 0.4, 0.5, 1.5, -2.6, 63.0, 0.0], [127.0, -127.0, 0.0, 0.0, 2.0, -3.0, 63.0, 0.0]);
    check(KvType::Q8, [0.0; HEAD_DIM], [0.0; HEAD_DIM]);
}

#[test]
fn rows_that_8_bits_cannot_hold_are_zero_or_nan() {
    let tiny = f32::from_bits(1);
    check(KvType::Q8, [tiny; HEAD_DIM], [0.0; HEAD_DIM]);
    check(KvType::Q8, [1.0, 2.0, f32::INFINITY, 0.0, 0.0, 0.0, 0.0, 0.0], [f32::NAN; HEAD_DIM]);
    check(KvType::Q8, [1.0, 2.0, f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0], [f32::NAN; HEAD_DIM]);
}

#[test]
fn a_copied_slot_holds_the_same_bits_and_others_are_as_before() {
    for kv_type in KvType::ALL {
        let config = AttentionConfig {
            heads: 2,
            kv_heads: 2,
            head_dim: HEAD_DIM,
            scale: 1.0,
            rotary_dim: 0,
            window: None,
            softcap: None,
            block_tokens: 8,
        };
        let mut pages = LayerPages::new(&config, kv_type, 2);
        let slots: Vec<i32> = (0..16).collect();
        let data: Vec<f32> = (0..16 * 2 * HEAD_DIM).map(|number| (number as f32).sin()).collect();
        let rows = PagedRows {
            positions: &slots,
            slot_mapping: &slots,
            block_tables: &[0, 1],
            blocks_per_table: 2,
            query_starts: &[0, 16],
            tree: None,
        };
        let rows = rows.check(&config, 2, None).expect("well-formed rows");
        let columns = Columns { data: &data, stride: 2 * HEAD_DIM, offset: 0 };
        append(&config, &mut pages, &rows, columns, columns, None);
        let read = |pages: &LayerPages| -> Vec<_> {
            (0..16).map(|slot| [0, 1].map(|head| (pages.key(slot, head), pages.value(slot, head)))).collect()
        };
        let mut expected = read(&pages);
        pages.copy_slots(&[(3, 9), (9, 1), (4, 4)]);
        for (from, to) in [(3, 9), (9, 1)] {
            expected[to] = expected[from].clone();
        }
        assert_eq!(read(&pages), expected, "{kv_type}");
    }
}

#[test]
fn types_have_names() {
    for kv_type in KvType::ALL {
        assert_eq!(kv_type.to_string().parse(), Ok(kv_type));
    }
    let error = "q4".parse::<KvType>().map_err(|error| error.to_string());
    assert_eq!(error, Err("`q4` is not a type of keys and values, expected f32, f16 or q8".to_owned()));
}
