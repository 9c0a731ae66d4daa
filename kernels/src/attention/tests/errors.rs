//! What is wrong is refused before anything is read or written.

use proptest::prelude::*;

use super::strategies::config;
use crate::attention::{Attention, AttentionConfig, Columns, KvType, LayerPages, PagedRows, append, attend};
use crate::{Serial, Simd};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hostile_arrays_are_errors(
        positions in proptest::collection::vec(-2..40_i32, 0..6),
        slots in proptest::collection::vec(-2..70_i32, 0..6),
        tables in proptest::collection::vec(-2..6_i32, 0..6),
        starts in proptest::collection::vec(-1..7_i32, 0..4),
        mask in proptest::collection::vec(any::<bool>(), 0..20),
        (blocks_per_table, width, has_tree) in (0..4_usize, 0..6_usize, any::<bool>()),
    ) {
        let rows = PagedRows {
            positions: &positions,
            slot_mapping: &slots,
            block_tables: &tables,
            blocks_per_table,
            query_starts: &starts,
            tree: has_tree.then_some((&mask, width)),
        };
        let config = AttentionConfig { rotary_dim: 0, ..config() };
        if let Ok(rows) = rows.check(&config, 4, None) {
            let data = vec![1.0; positions.len() * 80];
            let mut pages = LayerPages::new(&config, KvType::F32, 4);
            let part = |offset| Columns { data: &data, stride: 80, offset };
            append(&config, &mut pages, &rows, part(48), part(64), None);
            let mut output = vec![0.0; positions.len() * 48];
            let attention = Attention { config: &config, pages: &pages, rows: &rows, queries: part(0), cos_sin: None, position_bias: None };
            attend(Simd::detect(), attention, &mut output, &Serial);
        }
    }
}

#[test]
#[should_panic(expected = "pages of this configuration")]
fn pages_of_another_configuration_are_not_touched() {
    let config = AttentionConfig { rotary_dim: 0, ..config() };
    let rows = PagedRows {
        positions: &[0],
        slot_mapping: &[0],
        block_tables: &[0],
        blocks_per_table: 1,
        query_starts: &[0, 1],
        tree: None,
    };
    let rows = rows.check(&config, 1, None).expect("well-formed rows");
    let other = AttentionConfig { head_dim: 32, ..config.clone() };
    let data = [0.0; 80];
    let part = |offset| Columns { data: &data, stride: 80, offset };
    append(&config, &mut LayerPages::new(&other, KvType::F32, 1), &rows, part(48), part(64), None);
}

#[test]
fn what_is_wrong_with_rows_is_said() {
    let check = |rows: PagedRows, expected: &str| {
        let config = AttentionConfig { rotary_dim: 0, ..config() };
        assert_eq!(rows.check(&config, 4, None).map_err(|error| error.to_string()).err().as_deref(), Some(expected));
    };
    let good = PagedRows {
        positions: &[3, 4],
        slot_mapping: &[19, 20],
        block_tables: &[1],
        blocks_per_table: 1,
        query_starts: &[0, 2],
        tree: None,
    };
    check(PagedRows { slot_mapping: &[19], ..good }, "`slot_mapping` has 1 values, expected 2");
    check(PagedRows { slot_mapping: &[19, 64], ..good }, "slot of row 1 is 64, expected 0 to 63");
    check(PagedRows { slot_mapping: &[19, 19], ..good }, "slot 19 is written by two rows");
    check(PagedRows { slot_mapping: &[19, 21], ..good }, "slot of row 1 is 21, but its block table leads to 20");
    check(PagedRows { positions: &[3, 5], ..good }, "position of row 1 is 5, expected 4");
    check(PagedRows { block_tables: &[-1], ..good }, "block of sequence 0 is -1, expected 0 to 3");
    check(PagedRows { query_starts: &[0, 1], ..good }, "`query_starts` goes from 0 to 1, expected 0 to 2");
    check(
        PagedRows { tree: Some((&[true, false, true, false], 2)), ..good },
        "row 1 sees 1 new rows, expected 2, itself last",
    );
}
