//! A row has the same bits in any company.

use proptest::prelude::*;

use super::bits;
use super::case::{Case, Sequence};
use super::strategies::{cases, config};
use crate::attention::{Attention, Columns, KvType, LayerPages, PagedRows, append, attend};
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
                let attention = Attention { config, pages: &pages, rows: &rows, queries: part(0), cos_sin };
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
