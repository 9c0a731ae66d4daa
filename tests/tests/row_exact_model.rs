//! A row's logits and KV pages have the same bits in any company: the promise that all others rest on.

use anyhow::Result;
use veridraft_export::{ExportConfig, MatMulOperators, Weights};
use veridraft_models::{Batch, CausalModelConfig, KvType, LanguageModel, TokenId};
use veridraft_tests::{TinyLlama, TreeOfRows, add_rows, assert_same_bits, run_chunked, scattered_table};

/// `count` tokens of a fixed text.
fn tokens(count: usize) -> Vec<TokenId> {
    (0..count as u32).map(|index| (index * 7919 + index * index * 31) % TinyLlama::VOCABULARY as u32).collect()
}

fn tiny_llama(weights: Weights) -> Result<TinyLlama> {
    TinyLlama::create_with(&ExportConfig { weights, ..ExportConfig::default() })
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
    let config =
        ExportConfig { weights: Weights::F32, operators: MatMulOperators::Standard, ..ExportConfig::default() };
    check_chunkings_of(&TinyLlama::create_with(&config)?, KvType::F32)
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
            &scattered_table(number, lengths.len(), 300)[300_usize.div_ceil(16) - length.div_ceil(16)..],
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
    // Parent of each new row; row 0 is the root.
    let parents = [None, Some(0), Some(0), Some(1), Some(2), Some(4), Some(1)];
    let draft: Vec<TokenId> = (0..parents.len() as u32).map(|index| 50 + index * 3).collect();
    TreeOfRows { context: &tokens(20), draft: &draft, parents: &parents }.check(&mut model)?;
    Ok(())
}
