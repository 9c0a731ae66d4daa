//! Laws of attention against a naive f64 model and against itself in other company.

use proptest::prelude::*;

use super::{Attention, AttentionConfig, Columns, KvType, LayerPages, PagedRows, append, attend};
use crate::{CosSin, Parallel, Serial, Simd, Threads};

/// One sequence of a case: cached tokens, then new rows with their parents (`None` hangs on the context).
#[derive(Clone, Debug)]
struct Sequence {
    context: usize,
    parents: Vec<Option<usize>>,
}

#[derive(Clone, Debug)]
struct Case {
    config: AttentionConfig,
    kv_type: KvType,
    sequences: Vec<Sequence>,
    seed: u64,
}

/// The arrays of a case, as a batch would hold them.
struct Arrays {
    positions: Vec<i32>,
    slots: Vec<i32>,
    tables: Vec<i32>,
    blocks_per_table: usize,
    starts: Vec<i32>,
    mask: Vec<bool>,
    width: usize,
    blocks: usize,
}

impl Sequence {
    fn chain(context: usize, rows: usize) -> Self {
        Self { context, parents: (0..rows).map(|row| row.checked_sub(1)).collect() }
    }

    /// Rows on the way from the context to `row`, itself last.
    fn path(&self, row: usize) -> Vec<usize> {
        let mut path = vec![row];
        while let Some(parent) = self.parents[path[0]] {
            path.insert(0, parent);
        }
        path
    }

    fn is_chain(&self) -> bool {
        self.parents.iter().enumerate().all(|(row, parent)| *parent == row.checked_sub(1))
    }

    fn tokens(&self) -> usize {
        self.context + self.parents.len()
    }
}

/// Numbers in [-1, 1) that depend on `key` alone.
fn noise(key: u64) -> f32 {
    let mut state = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((state ^ (state >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn rotary_angle(position: usize, index: usize) -> f32 {
    position as f32 * 0.7_f32.powi(index as i32)
}

impl Case {
    fn columns(&self) -> usize {
        (self.config.heads + 2 * self.config.kv_heads) * self.config.head_dim
    }

    /// The fused q/k/v of one token, known by sequence, index in it, and case.
    fn qkv(&self, sequence: usize, token: usize) -> Vec<f32> {
        let key = self.seed ^ ((sequence as u64) << 48) ^ ((token as u64) << 24);
        (0..self.columns() as u64).map(|column| 3.0 * noise(key.wrapping_add(column << 56 ^ column))).collect()
    }

    fn rotary(&self) -> Vec<f32> {
        let half = self.config.rotary_dim / 2;
        let row = |position| {
            (0..half)
                .map(move |index| rotary_angle(position, index).cos())
                .chain((0..half).map(move |index| rotary_angle(position, index).sin()))
        };
        (0..4096).flat_map(row).collect()
    }

    /// Blocks are dealt to sequences in an order that the seed shuffles.
    fn arrays(&self) -> Arrays {
        let block_tokens = self.config.block_tokens;
        let counts: Vec<_> = self.sequences.iter().map(|sequence| sequence.tokens().div_ceil(block_tokens)).collect();
        let blocks_per_table = counts.iter().copied().max().unwrap_or(0) + 1;
        let blocks = counts.iter().sum::<usize>() + 2;
        let mut order: Vec<i32> = (0..blocks as i32).collect();
        order.sort_by_key(|&block| noise(self.seed ^ 77 ^ ((block as u64) << 20)).to_bits());
        let mut arrays = Arrays {
            positions: Vec::new(),
            slots: Vec::new(),
            tables: Vec::new(),
            blocks_per_table,
            starts: vec![0],
            mask: Vec::new(),
            width: 0,
            blocks,
        };
        if !self.sequences.iter().all(Sequence::is_chain) {
            arrays.width = self.sequences.iter().map(|sequence| sequence.parents.len()).max().unwrap_or(0);
        }
        let mut dealt = order.into_iter();
        for (sequence, count) in self.sequences.iter().zip(counts) {
            let table: Vec<i32> = dealt.by_ref().take(count).collect();
            for row in 0..sequence.parents.len() {
                let path = sequence.path(row);
                let stored = sequence.context + row;
                arrays.positions.push((sequence.context + path.len() - 1) as i32);
                arrays.slots.push(table[stored / block_tokens] * block_tokens as i32 + (stored % block_tokens) as i32);
                arrays.mask.extend((0..arrays.width).map(|other| path.contains(&other)));
            }
            arrays.starts.push(arrays.positions.len() as i32);
            arrays.tables.extend(&table);
            arrays.tables.extend(std::iter::repeat_n(-1, blocks_per_table - table.len()));
        }
        arrays
    }

    /// Fills the context, appends the new rows and attends with them: `[rows, heads * head_dim]`.
    fn run(&self, simd: Simd, parallel: &dyn Parallel) -> Vec<f32> {
        self.run_over(&mut self.pages(), simd, parallel)
    }

    fn pages(&self) -> LayerPages {
        LayerPages::new(&self.config, self.kv_type, self.arrays().blocks)
    }

    fn run_over(&self, pages: &mut LayerPages, simd: Simd, parallel: &dyn Parallel) -> Vec<f32> {
        let arrays = self.arrays();
        let table = self.rotary();
        let cos_sin = (self.config.rotary_dim > 0).then_some(CosSin { table: &table, positions: 4096 });
        for (number, sequence) in self.sequences.iter().enumerate() {
            self.fill_context(number, sequence, &arrays, pages, cos_sin.as_ref());
        }
        let new = self.sequences.iter().enumerate().flat_map(|(number, sequence)| {
            (0..sequence.parents.len()).flat_map(move |row| self.qkv(number, sequence.context + row))
        });
        let qkv: Vec<f32> = new.collect();
        let rows = arrays.rows();
        let rows = rows.check(&self.config, arrays.blocks, cos_sin.as_ref()).expect("a well-formed case");
        let (stride, kv) = (self.columns(), self.config.kv_heads * self.config.head_dim);
        let part = |offset| Columns { data: &qkv, stride, offset };
        append(&self.config, pages, &rows, part(stride - 2 * kv), part(stride - kv), cos_sin.as_ref());
        let mut output = vec![f32::NAN; arrays.positions.len() * self.config.heads * self.config.head_dim];
        let attention = Attention { config: &self.config, pages, rows: &rows, queries: part(0), cos_sin };
        attend(simd, attention, &mut output, parallel);
        output
    }

    fn fill_context(
        &self,
        number: usize,
        sequence: &Sequence,
        arrays: &Arrays,
        pages: &mut LayerPages,
        cos_sin: Option<&CosSin>,
    ) {
        if sequence.context == 0 {
            return;
        }
        let block_tokens = self.config.block_tokens;
        let table = &arrays.tables[number * arrays.blocks_per_table..][..arrays.blocks_per_table];
        let slot =
            |position: usize| table[position / block_tokens] * block_tokens as i32 + (position % block_tokens) as i32;
        let slots: Vec<i32> = (0..sequence.context).map(slot).collect();
        let positions: Vec<i32> = (0..sequence.context as i32).collect();
        let rows = PagedRows {
            positions: &positions,
            slot_mapping: &slots,
            block_tables: table,
            blocks_per_table: arrays.blocks_per_table,
            query_starts: &[0, sequence.context as i32],
            tree: None,
        };
        let rows = rows.check(&self.config, arrays.blocks, cos_sin).expect("a well-formed context");
        let qkv: Vec<f32> = (0..sequence.context).flat_map(|token| self.qkv(number, token)).collect();
        let (stride, kv) = (self.columns(), self.config.kv_heads * self.config.head_dim);
        let part = |offset| Columns { data: &qkv, stride, offset };
        append(&self.config, pages, &rows, part(stride - 2 * kv), part(stride - kv), cos_sin);
    }

    /// A head of one token, rotated in f64.
    fn head(&self, qkv: &[f32], head: usize, position: usize, rotary_dim: usize) -> Vec<f64> {
        let numbers = &qkv[head * self.config.head_dim..][..self.config.head_dim];
        let mut head: Vec<f64> = numbers.iter().map(|&number| f64::from(number)).collect();
        let half = rotary_dim / 2;
        for index in 0..half {
            let (sin, cos) = rotary_angle(position, index).sin_cos();
            let (x, y) = (head[index], head[index + half]);
            head[index] = x * f64::from(cos) - y * f64::from(sin);
            head[index + half] = y * f64::from(cos) + x * f64::from(sin);
        }
        head
    }

    /// Key and value of a token before they were stored.
    fn exact(&self, token: Token) -> [Vec<f64>; 2] {
        let qkv = self.qkv(token.sequence, token.index);
        let AttentionConfig { heads, kv_heads, rotary_dim, .. } = self.config;
        let key = self.head(&qkv, heads + token.kv_head, token.position, rotary_dim);
        [key, self.head(&qkv, heads + kv_heads + token.kv_head, token.position, 0)]
    }

    /// Key and value of a token as pages give them back.
    fn stored(&self, arrays: &Arrays, pages: &LayerPages, token: Token) -> [Vec<f64>; 2] {
        let tokens = self.config.block_tokens;
        let block = arrays.tables[token.sequence * arrays.blocks_per_table + token.index / tokens] as usize;
        let slot = block * tokens + token.index % tokens;
        let numbers = [pages.key(slot, token.kv_head), pages.value(slot, token.kv_head)];
        numbers.map(|numbers| numbers.into_iter().map(f64::from).collect())
    }

    /// The definition of attention in f64, over the keys and values that `kv` gives.
    fn naive(&self, kv: &dyn Fn(Token) -> [Vec<f64>; 2]) -> Vec<f64> {
        let mut outputs = Vec::new();
        for (number, sequence) in self.sequences.iter().enumerate() {
            let depth = |index: usize| match index.checked_sub(sequence.context) {
                Some(row) => sequence.context + sequence.path(row).len() - 1,
                None => index,
            };
            let token = |index, kv_head| kv(Token { sequence: number, index, position: depth(index), kv_head });
            let of_head = |kv_head| (0..sequence.tokens()).map(|index| token(index, kv_head)).collect();
            let stored: Vec<Vec<_>> = (0..self.config.kv_heads).map(of_head).collect();
            for row in 0..sequence.parents.len() {
                let branch = sequence.path(row).into_iter().map(|row| sequence.context + row);
                let walk: Vec<usize> = (0..sequence.context).chain(branch).collect();
                let qkv = self.qkv(number, sequence.context + row);
                for head in 0..self.config.heads {
                    let query = self.head(&qkv, head, walk.len() - 1, self.config.rotary_dim);
                    outputs.extend(self.naive_head(&query, &walk, &stored[head / self.config.group()]));
                }
            }
        }
        outputs
    }

    /// One head of the row at the end of a walk over stored keys and values.
    fn naive_head(&self, query: &[f64], walk: &[usize], stored: &[[Vec<f64>; 2]]) -> impl Iterator<Item = f64> {
        let first = self.config.window.map_or(0, |window| walk.len().saturating_sub(window));
        let seen: Vec<_> = walk[first..].iter().map(|&index| &stored[index]).collect();
        let dot = |key: &[f64]| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
        let scores: Vec<f64> = seen.iter().map(|[key, _]| dot(key) * f64::from(self.config.scale)).collect();
        let largest = scores.iter().copied().fold(f64::MIN, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let mut output = vec![0.0; self.config.head_dim];
        for ([_, value], weight) in seen.iter().zip(&weights) {
            output.iter_mut().zip(value).for_each(|(place, value)| *place += weight * value);
        }
        output.into_iter().map(move |number| number / sum)
    }
}

/// A token under one key and value head.
#[derive(Clone, Copy)]
struct Token {
    sequence: usize,
    /// In the order of storing.
    index: usize,
    position: usize,
    kv_head: usize,
}

impl Arrays {
    fn rows(&self) -> PagedRows<'_> {
        PagedRows {
            positions: &self.positions,
            slot_mapping: &self.slots,
            block_tables: &self.tables,
            blocks_per_table: self.blocks_per_table,
            query_starts: &self.starts,
            tree: (self.width > 0).then_some((&self.mask, self.width)),
        }
    }
}

fn config() -> AttentionConfig {
    AttentionConfig { heads: 3, kv_heads: 1, head_dim: 16, scale: 0.25, rotary_dim: 16, window: None, block_tokens: 16 }
}

fn configs() -> impl Strategy<Value = AttentionConfig> {
    let window = prop_oneof![3 => Just(None), 1 => (1..400_usize).prop_map(Some)];
    let block_tokens = prop_oneof![Just(8_usize), Just(16), Just(24), Just(32), Just(64)];
    (1..4_usize, 1..4_usize, 1..4_usize, 0..9_usize, window, block_tokens).prop_map(
        |(group, kv_heads, width, rotary, window, block_tokens)| AttentionConfig {
            heads: group * kv_heads,
            kv_heads,
            head_dim: width * 16,
            scale: 1.0 / ((width * 16) as f32).sqrt(),
            rotary_dim: (rotary * 2).min(width * 16),
            window,
            block_tokens,
        },
    )
}

fn sequences() -> impl Strategy<Value = Vec<Sequence>> {
    let context = prop_oneof![0..40_usize, 250..262_usize, 500..530_usize];
    let chain = (context.clone(), 1..20_usize).prop_map(|(context, rows)| Sequence::chain(context, rows));
    let tree =
        (context, proptest::collection::vec(any::<proptest::sample::Index>(), 1..9)).prop_map(|(context, picks)| {
            let parents = picks.iter().enumerate().map(|(row, pick)| pick.index(row + 1).checked_sub(1));
            Sequence { context, parents: parents.collect() }
        });
    proptest::collection::vec(prop_oneof![chain, tree], 1..4)
}

fn cases() -> impl Strategy<Value = Case> {
    let kv_types = proptest::sample::select(KvType::ALL.to_vec());
    (configs(), kv_types, sequences(), any::<u64>()).prop_map(|(config, kv_type, sequences, seed)| Case {
        config,
        kv_type,
        sequences,
        seed,
    })
}

fn paths() -> impl Iterator<Item = Simd> {
    [Simd::Portable, Simd::Avx2].into_iter().filter(|simd| simd.is_available())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_agrees_with_the_definition_in_f64(case in cases()) {
        let arrays = case.arrays();
        for simd in paths() {
            let mut pages = case.pages();
            let found = case.run_over(&mut pages, simd, &Serial);
            let expected = case.naive(&|token| case.stored(&arrays, &pages, token));
            for (found, expected) in found.iter().zip(&expected) {
                let error = (f64::from(*found) - expected).abs();
                prop_assert!(error < 2e-5, "{simd}: {found}, expected {expected}");
            }
        }
    }

    /// Numbers are up to 3, or 4.3 once rotated, and scores up to some ten: an error of a score changes the output by
    /// about as much.
    #[test]
    fn stored_keys_and_values_change_attention_little(case in cases()) {
        let tolerance = match case.kv_type {
            KvType::F32 => 2e-5,
            KvType::F16 => 1e-2,
            KvType::Q8 => 0.25,
        };
        let found = case.run(Simd::detect(), &Serial);
        for (found, expected) in found.iter().zip(&case.naive(&|token| case.exact(token))) {
            let error = (f64::from(*found) - expected).abs();
            prop_assert!(error < tolerance, "{}: {found}, expected {expected}", case.kv_type);
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_on_its_path_and_in_any_company(case in cases(), threads in 1..4_usize) {
        let width = case.config.heads * case.config.head_dim;
        for simd in paths() {
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
            let attention = Attention { config: &config, pages: &pages, rows: &rows, queries: part(0), cos_sin: None };
            attend(Simd::detect(), attention, &mut output, &Serial);
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
    for simd in paths() {
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

#[test]
fn paths_agree_to_one_part_in_a_hundred_thousand() {
    if !Simd::Avx2.is_available() {
        return println!("skipped: no AVX2");
    }
    for kv_type in KvType::ALL {
        let sequences = vec![Sequence::chain(300, 9), Sequence::chain(0, 17)];
        let case = Case { config: config(), kv_type, sequences, seed: 9 };
        let (portable, avx2) = (case.run(Simd::Portable, &Serial), case.run(Simd::Avx2, &Serial));
        for (portable, avx2) in portable.chunks_exact(16).zip(avx2.chunks_exact(16)) {
            let largest = portable.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
            for (portable, avx2) in portable.iter().zip(avx2) {
                assert!((portable - avx2).abs() <= 1e-5 * largest, "{portable} and {avx2} in a head up to {largest}");
            }
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
