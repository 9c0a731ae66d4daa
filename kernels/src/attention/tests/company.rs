//! A row has the same bits in any company.

use proptest::prelude::*;

use super::bits;
use super::case::{Case, Sequence};
use super::strategies::{cases, config};
use crate::attention::{
    Attention, AttentionConfig, CheckedRows, Columns, KvType, LayerPages, PagedRows, append, attend,
};
use crate::{CosSin, Serial, Simd, Threads};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_row_has_the_same_bits_alone_on_its_path_and_in_any_company(case in cases(), threads in 1..4_usize) {
        let width = case.config.heads * case.config.head_dim;
        for simd in Simd::available() {
            let together = case.run(simd, &Threads(threads));
            let mut row = 0;
            for (number, sequence) in case.sequences.iter().enumerate() {
                for index in 0..sequence.parents.len() {
                    let expected = alone(&case, number, sequence, index, simd);
                    prop_assert_eq!(bits(&together[row * width..][..width]), bits(&expected), "row {}", row);
                    row += 1;
                }
            }
        }
    }
}

/// One row, its ancestors cached one by one before it.
fn alone(case: &Case, number: usize, sequence: &Sequence, row: usize, simd: Simd) -> Vec<f32> {
    let path = sequence.path(row);
    let single = Single { case, number, context: sequence.context, path };
    single.run(simd)
}

/// A row whose tokens are those of another case's path, stored as a plain chain.
struct Single<'a> {
    case: &'a Case,
    number: usize,
    context: usize,
    path: Vec<usize>,
}

impl Single<'_> {
    fn run(&self, simd: Simd) -> Vec<f32> {
        let config = &self.case.config;
        let tokens: Vec<usize> = (0..self.context).chain(self.path.iter().map(|row| self.context + row)).collect();
        let blocks = tokens.len().div_ceil(config.block_tokens);
        let mut pages = LayerPages::new(config, self.case.kv_type, blocks);
        let tables: Vec<i32> = (0..blocks as i32).rev().collect();
        let table = self.case.rotary();
        let cos_sin = (config.rotary_dim > 0).then_some(CosSin { table: &table, positions: 4096 });
        let (stride, kv) = (self.case.columns(), config.kv_heads * config.head_dim);
        let mut output = vec![0.0; config.heads * config.head_dim];
        for (position, &token) in tokens.iter().enumerate() {
            let slot = tables[position / config.block_tokens] * config.block_tokens as i32
                + (position % config.block_tokens) as i32;
            let rows = PagedRows {
                positions: &[position as i32],
                slot_mapping: &[slot],
                block_tables: &tables,
                blocks_per_table: blocks,
                query_starts: &[0, 1],
                tree: None,
            };
            let rows = rows.check(config, blocks, cos_sin.as_ref()).expect("a well-formed row");
            let qkv = self.case.qkv(self.number, token);
            let part = |offset| Columns { data: &qkv, stride, offset };
            append(config, &mut pages, &rows, part(stride - 2 * kv), part(stride - kv), cos_sin.as_ref());
            if position + 1 == tokens.len() {
                let bias = self.case.bias();
                let position_bias = self.case.position_bias(&bias);
                let attention =
                    Attention { config, pages: &pages, rows: &rows, queries: part(0), cos_sin, position_bias };
                attend(simd, attention, &mut output, &Serial);
            }
        }
        output
    }
}

fn check_many_rows_at_once(kv_type: KvType) {
    for simd in Simd::available() {
        for rows in [33, 64, 511, 512, 2048] {
            let case = |context: usize, rows: usize| Case {
                config: config(),
                kv_type,
                sequences: vec![Sequence::chain(context, rows)],
                distances: 0,
                seed: 5,
            };
            let whole = case(0, rows).run(simd, &Threads(2));
            let width = 48;
            for start in [0, 1, rows / 2, rows - 1] {
                let rest = case(start, rows - start).run(simd, &Serial);
                assert_eq!(bits(&rest), bits(&whole[start * width..]), "{simd}: {rows} rows from {start}");
            }
        }
    }
}

#[test]
fn many_rows_at_once_equal_the_same_rows_in_chunks_in_f32() {
    check_many_rows_at_once(KvType::F32);
}

#[test]
fn many_rows_at_once_equal_the_same_rows_in_chunks_in_f16() {
    check_many_rows_at_once(KvType::F16);
}

#[test]
fn many_rows_at_once_equal_the_same_rows_in_chunks_in_q8() {
    check_many_rows_at_once(KvType::Q8);
}

/// A row over a source is the last row of a chain over the same keys, whoever is beside it.
#[test]
fn a_row_over_a_source_sees_all_of_it_and_nothing_else() {
    for (kv_type, positions) in [(KvType::F32, 1), (KvType::F32, 33), (KvType::Q8, 300)] {
        let chain = Sequence::chain(positions - 1, 1);
        let config = AttentionConfig { rotary_dim: 0, ..config() };
        let case = Case { config, kv_type, sequences: vec![chain], distances: 0, seed: 3 };
        let mut pages = case.pages();
        let expected = case.run_over(&mut pages, Simd::detect(), &Serial);
        // The blocks of a case are dealt in some order, those of a source stand one behind the other.
        let ordered = in_order(&case, positions);
        let query = case.qkv(0, positions - 1);
        let queries: Vec<f32> =
            (0..3).flat_map(|row| if row == 1 { query.clone() } else { case.qkv(1, row) }).collect();
        let rows = CheckedRows::over_source(&case.config, 3, positions).expect("a well-formed source");
        let queries = Columns { data: &queries, stride: case.columns(), offset: 0 };
        let attention = Attention {
            config: &case.config,
            pages: &ordered,
            rows: &rows,
            queries,
            cos_sin: None,
            position_bias: None,
        };
        let mut output = vec![0.0; 3 * 48];
        attend(Simd::detect(), attention, &mut output, &Serial);
        assert_eq!(bits(&output[48..96]), bits(&expected), "{kv_type}, {positions} positions");
    }
    assert!(CheckedRows::over_source(&config(), 1, 0).is_err());
}

/// The keys and values of a case's one sequence in blocks 0, 1, 2 ...
fn in_order(case: &Case, positions: usize) -> LayerPages {
    let blocks = positions.div_ceil(case.config.block_tokens);
    let mut pages = LayerPages::new(&case.config, case.kv_type, blocks);
    let places: Vec<i32> = (0..positions as i32).collect();
    let rows = PagedRows {
        positions: &places,
        slot_mapping: &places,
        block_tables: &(0..blocks as i32).collect::<Vec<_>>(),
        blocks_per_table: blocks,
        query_starts: &[0, positions as i32],
        tree: None,
    };
    let rows = rows.check(&case.config, blocks, None).expect("a well-formed source");
    let qkv: Vec<f32> = (0..positions).flat_map(|token| case.qkv(0, token)).collect();
    let (stride, kv) = (case.columns(), case.config.kv_heads * case.config.head_dim);
    let part = |offset| Columns { data: &qkv, stride, offset };
    append(&case.config, &mut pages, &rows, part(stride - 2 * kv), part(stride - kv), None);
    pages
}
