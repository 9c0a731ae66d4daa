//! A row's logits and KV pages have the same bits in any company: the promise that all others rest on.

use anyhow::Result;
use veridraft_export::{ExportConfig, MatMulOperators, Weights};
use veridraft_models::{Batch, BlockId, CausalModel, CausalModelConfig, KvType, LanguageModel, TokenId, TreeMask};
use veridraft_tests::TinyLlama;

const BLOCK_TOKENS: usize = 16;

/// `count` tokens of a fixed text.
fn tokens(count: usize) -> Vec<TokenId> {
    (0..count as u32).map(|index| (index * 7919 + index * index * 31) % TinyLlama::VOCABULARY as u32).collect()
}

/// Blocks of sequence `number`, scattered over the pool.
fn table(number: usize, sequences: usize, tokens: usize) -> Vec<BlockId> {
    let blocks = tokens.div_ceil(BLOCK_TOKENS);
    (0..blocks).map(|index| BlockId(((blocks - 1 - index) * sequences + number) as u32)).collect()
}

/// Adds rows `start..end` of a sequence to the batch and wants all their logits.
fn add_rows(batch: &mut Batch, tokens: &[TokenId], start: usize, end: usize, table: &[BlockId]) {
    if batch.query_starts.is_empty() {
        batch.query_starts.push(0);
    }
    for position in start..end {
        batch.logit_rows.push(batch.token_ids.len() as u32);
        batch.token_ids.push(tokens[position]);
        batch.positions.push(position as u32);
        let block = table[position / BLOCK_TOKENS].0 as usize;
        batch.slot_mapping.push((block * BLOCK_TOKENS + position % BLOCK_TOKENS) as u32);
    }
    batch.block_tables.push(table.to_vec());
    batch.query_starts.push(batch.token_ids.len() as u32);
}

/// Logits of every row, and every KV row, with the prompt cut into chunks of `chunk` rows.
fn run_chunked(model: &mut CausalModel, tokens: &[TokenId], chunk: usize) -> Result<(Vec<f32>, Vec<f32>)> {
    let table = table(0, 1, tokens.len());
    let mut logits = Vec::new();
    for start in (0..tokens.len()).step_by(chunk) {
        let mut batch = Batch::default();
        add_rows(&mut batch, tokens, start, (start + chunk).min(tokens.len()), &table);
        logits.extend(model.forward(&batch)?.values);
    }
    Ok((logits, kv_rows(model, tokens.len(), &table)))
}

fn kv_rows(model: &CausalModel, tokens: usize, table: &[BlockId]) -> Vec<f32> {
    let mut rows = Vec::new();
    for layer in 0..TinyLlama::LAYERS {
        for position in 0..tokens {
            let slot = table[position / BLOCK_TOKENS].0 as usize * BLOCK_TOKENS + position % BLOCK_TOKENS;
            let (key, value) = model.kv_row(layer, slot).expect("the layer exists");
            rows.extend(key.into_iter().chain(value));
        }
    }
    rows
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Names the first difference instead of printing thousands of numbers.
fn assert_same_bits(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let difference = bits(found).iter().zip(bits(expected)).position(|(found, expected)| *found != expected);
    if let Some(index) = difference {
        panic!("{what}: value {index} is {}, expected {}", found[index], expected[index]);
    }
}

fn tiny_llama(weights: Weights) -> Result<TinyLlama> {
    TinyLlama::create_with(ExportConfig { weights, ..ExportConfig::default() })
}

/// Keys and values, or weights, in fewer bits change numbers, and nothing of this.
fn check_every_chunking(weights: Weights, kv: KvType) -> Result<()> {
    check_chunkings_of(&tiny_llama(weights)?, kv)
}

fn check_chunkings_of(tiny: &TinyLlama, kv: KvType) -> Result<()> {
    let open = |threads| tiny.open_with(544, CausalModelConfig { threads, kv, ..CausalModelConfig::default() });
    let tokens = tokens(530);
    let mut single = open(1)?;
    assert_eq!((single.cache_spec().blocks, single.cache_spec().block_bytes), (34, 16 * TinyLlama::slot_bytes(kv)));
    let (logits, pages) = run_chunked(&mut single, &tokens, 1)?;
    assert!(logits.iter().all(|value| value.is_finite()));
    for threads in [1, 2, 3] {
        let mut model = open(threads)?;
        for chunk in [2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 64, 255, 257, 511, 512, 530] {
            let (found_logits, found_pages) = run_chunked(&mut model, &tokens, chunk)?;
            assert_same_bits(&found_logits, &logits, &format!("logits, chunks of {chunk}, {threads} threads"));
            assert_same_bits(&found_pages, &pages, &format!("pages, chunks of {chunk}, {threads} threads"));
        }
    }
    Ok(())
}

#[test]
fn every_chunking_of_a_prompt_gives_the_same_logits_and_pages() -> Result<()> {
    check_every_chunking(Weights::F32, KvType::F32)
}

#[test]
fn every_chunking_gives_the_same_with_weights_in_8_bits() -> Result<()> {
    check_every_chunking(Weights::Q8, KvType::F32)
}

#[test]
fn every_chunking_gives_the_same_with_weights_in_4_bits() -> Result<()> {
    check_every_chunking(Weights::Q4, KvType::F32)
}

#[test]
fn every_chunking_gives_the_same_with_keys_and_values_in_16_bits() -> Result<()> {
    check_every_chunking(Weights::Q4, KvType::F16)
}

#[test]
fn every_chunking_gives_the_same_with_keys_and_values_in_8_bits() -> Result<()> {
    check_every_chunking(Weights::Q4, KvType::Q8)
}

/// What ONNX Runtime's own operators promise for floats, with the library that is pinned.
#[test]
fn every_chunking_gives_the_same_with_standard_products_of_floats() -> Result<()> {
    let config = ExportConfig { weights: Weights::F32, operators: MatMulOperators::Standard };
    check_chunkings_of(&TinyLlama::create_with(config)?, KvType::F32)
}

#[test]
fn two_thousand_rows_at_once_equal_single_ones() -> Result<()> {
    let tiny = tiny_llama(Weights::Q4)?;
    let tokens = tokens(2048);
    let mut model = tiny.open(2, 2048)?;
    let (expected, pages) = run_chunked(&mut model, &tokens, 1)?;
    let (found, found_pages) = run_chunked(&mut model, &tokens, 2048)?;
    assert_same_bits(&found, &expected, "logits");
    assert_same_bits(&found_pages, &pages, "pages");
    Ok(())
}

#[test]
fn a_sequence_has_the_same_logits_beside_others() -> Result<()> {
    let tiny = tiny_llama(Weights::Q4)?;
    let tokens = tokens(300);
    let lengths = [1, 40, 17, 300, 2, 129];
    let mut model = tiny.open(2, 300 * lengths.len())?;
    let alone: Vec<_> = lengths
        .iter()
        .map(|&length| Ok(run_chunked(&mut model, &tokens[..length], length)?.0))
        .collect::<Result<_>>()?;
    let mut batch = Batch::default();
    for (number, &length) in lengths.iter().enumerate() {
        add_rows(
            &mut batch,
            &tokens,
            0,
            length,
            &table(number, lengths.len(), 300)[300_usize.div_ceil(16) - length.div_ceil(16)..],
        );
    }
    let together = model.forward(&batch)?;
    let mut row = 0;
    for (length, expected) in lengths.iter().zip(&alone) {
        let found = &together.values[row * together.vocabulary..][..length * together.vocabulary];
        assert_same_bits(found, expected, &format!("a sequence of {length} tokens"));
        row += length;
    }
    Ok(())
}

/// A tree of drafts behind 20 cached tokens; each path must give what the same tokens give as a chain.
#[test]
fn a_path_through_a_tree_equals_the_same_path_as_a_chain() -> Result<()> {
    let tiny = tiny_llama(Weights::Q4)?;
    let mut model = tiny.open(2, 64)?;
    let context = tokens(20);
    let table = table(0, 1, 40);
    // Parent of each new row; row 0 is the root.
    let parents = [None, Some(0), Some(0), Some(1), Some(2), Some(4), Some(1)];
    let draft: Vec<TokenId> = (0..parents.len() as u32).map(|index| 50 + index * 3).collect();
    let path = |mut row: usize| {
        let mut path = vec![row];
        while let Some(parent) = parents[row] {
            row = parent;
            path.insert(0, row);
        }
        path
    };
    let chain = |model: &mut CausalModel, row: usize| -> Result<Vec<f32>> {
        let tokens: Vec<_> = context.iter().copied().chain(path(row).into_iter().map(|row| draft[row])).collect();
        let (logits, _) = run_chunked(model, &tokens, 1)?;
        Ok(logits[logits.len() - TinyLlama::VOCABULARY..].to_vec())
    };
    let expected: Vec<_> = (0..parents.len()).map(|row| chain(&mut model, row)).collect::<Result<_>>()?;

    let mut prefill = Batch::default();
    add_rows(&mut prefill, &context, 0, context.len(), &table);
    model.forward(&prefill)?;
    let mut batch = Batch::default();
    let padded: Vec<_> = context.iter().chain(&draft).copied().collect();
    add_rows(&mut batch, &padded, context.len(), padded.len(), &table);
    batch.positions = (0..parents.len()).map(|row| (context.len() + path(row).len() - 1) as u32).collect();
    let width = parents.len();
    let visible = (0..width).flat_map(|row| (0..width).map(move |other| (row, other)));
    batch.tree_mask =
        Some(TreeMask { width, visible: visible.map(|(row, other)| path(row).contains(&other)).collect() });
    let logits = model.forward(&batch)?;
    for (row, expected) in expected.iter().enumerate() {
        assert_same_bits(logits.row(row), expected, &format!("row {row} of the tree"));
    }
    Ok(())
}
