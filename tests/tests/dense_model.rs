//! Other programs' graphs through the engine: what is cached is what a pass over all tokens gives, rejected drafts leave
//! nothing behind, and drafting changes no text.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use veridraft_engine::drafters::{DraftModel, Drafter, Lookup, Suffix};
use veridraft_engine::{CostModel, Decode, Engine, EngineConfig, Finished, Parts, Request, SamplingConfig};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{Batch, BlockId, CausalModelConfig, LanguageModel, ModelFolder, TokenId, UnsizedAnyModel};
use veridraft_tests::{DenseFolder, ScriptedDrafter};

/// A batch of sequences, each some tokens behind a context in a block of its own; the logits of all rows.
fn batch(sequences: &[(u32, usize, &[TokenId])]) -> Batch {
    let mut batch = Batch { query_starts: vec![0], ..Batch::default() };
    for &(block, context, tokens) in sequences {
        let positions = (context..context + tokens.len()).map(|position| position as u32);
        batch.slot_mapping.extend(positions.clone().map(|position| block * DenseFolder::CONTEXT as u32 + position));
        batch.positions.extend(positions);
        batch.token_ids.extend(tokens);
        batch.block_tables.push(vec![BlockId(block)]);
        batch.query_starts.push(batch.token_ids.len() as u32);
    }
    batch.logit_rows = (0..batch.rows() as u32).collect();
    batch
}

fn logits(model: &mut dyn LanguageModel, sequences: &[(u32, usize, &[TokenId])]) -> Vec<f32> {
    model.forward(&batch(sequences)).expect("the batch is sound").values
}

fn check_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let most = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    assert!(most <= tolerance, "logits differ by {most}, expected at most {tolerance}");
}

/// How far the same numbers may lie apart when added in another order.
fn tolerance(graph: &str) -> f32 {
    if graph == "half" { 2e-2 } else { 1e-5 }
}

/// The same tokens on every call.
fn text(count: usize) -> Vec<TokenId> {
    (0..count)
        .map(|index| (index * index * 7 + 3 * index + 5) as TokenId % DenseFolder::VOCABULARY as TokenId)
        .collect()
}

#[test]
fn all_layouts_are_one_model() -> Result<()> {
    let tokens = text(20);
    let mut expected = Vec::new();
    for graph in DenseFolder::GRAPHS {
        let mut opened = DenseFolder::create(graph)?.open(1)?;
        let found = logits(&mut *opened.model, &[(0, 0, &tokens)]);
        assert!(found.iter().any(|score| score.abs() > 1.0));
        if expected.is_empty() {
            expected.clone_from(&found);
        }
        check_close(&found, &expected, tolerance(graph));
    }
    Ok(())
}

#[test]
fn cached_rows_are_what_a_pass_over_all_tokens_gives() -> Result<()> {
    // What is in the cache, wrong tokens behind it that are rejected, right ones in their place.
    let pieces = prop::collection::vec((1..6_usize, 0..5_usize), 1..6);
    for graph in DenseFolder::GRAPHS {
        let model = RefCell::new(DenseFolder::create(graph)?.open(2)?.model);
        TestRunner::new(ProptestConfig::with_cases(16)).run(&pieces, |pieces| {
            let mut model = model.borrow_mut();
            let total: usize = pieces.iter().map(|(right, _)| right).sum();
            let tokens = text(total);
            let expected = logits(&mut **model, &[(1, 0, &tokens)]);
            let mut found = Vec::new();
            let mut done = 0;
            for (right, wrong) in pieces {
                if wrong > 0 {
                    logits(&mut **model, &[(0, done, &vec![47; wrong])]);
                }
                found.extend(logits(&mut **model, &[(0, done, &tokens[done..done + right])]));
                done += right;
            }
            check_close(&found, &expected, tolerance(graph));
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn sequences_of_a_batch_do_not_touch_each_other() -> Result<()> {
    for graph in DenseFolder::GRAPHS {
        let mut model = DenseFolder::create(graph)?.open(3)?.model;
        let (long, short) = (text(17), vec![9, 9, 1]);
        let alone = [logits(&mut *model, &[(0, 0, &long)]), logits(&mut *model, &[(0, 0, &short)])].concat();
        let together = logits(&mut *model, &[(2, 0, &long), (0, 0, &short)]);
        check_close(&together, &alone, tolerance(graph));
        let next = [logits(&mut *model, &[(2, 17, &[4])]), logits(&mut *model, &[(0, 3, &[8, 8])])].concat();
        check_close(&logits(&mut *model, &[(2, 17, &[4]), (0, 3, &[8, 8])]), &next, tolerance(graph));
    }
    Ok(())
}

#[test]
fn a_batch_that_cannot_be_is_refused_and_changes_nothing() -> Result<()> {
    let mut model = DenseFolder::create("concatenated")?.open(2)?.model;
    let before = logits(&mut *model, &[(0, 0, &[1, 2, 3])]);
    let mut check = |batch: Batch, expected: &str| {
        let error = model.forward(&batch).expect_err(expected).to_string();
        assert!(error.starts_with("batch: ") && error.contains(expected), "{error}");
    };
    check(batch(&[(0, 4, &[1])]), "rows behind 4 tokens of a sequence, of which 3 are computed");
    check(batch(&[(2, 0, &[1])]), "a sequence in block 2 behind 0 tokens, expected chains in 2 blocks of 64");
    check(batch(&[(1, 0, &[1]), (1, 0, &[1])]), "a sequence in block 1");
    check(batch(&[(0, 0, &[1; 65])]), "a sequence in block 0");
    check(batch(&[(0, 0, &[48])]), "token 48, expected less than the vocabulary, 48");
    check(Batch { query_starts: vec![0, 2], ..batch(&[(0, 0, &[1])]) }, "rows 0 to 2 of a sequence");
    check(Batch { logit_rows: vec![1], ..batch(&[(0, 0, &[1])]) }, "logits of row 1, expected less than 1");
    check(Batch { positions: vec![0, 2], ..batch(&[(0, 0, &[1, 2])]) }, "a sequence in block 0");
    check(Batch { block_tables: vec![Vec::new()], ..batch(&[(0, 0, &[1])]) }, "expected a block");
    check(Batch { positions: Vec::new(), ..batch(&[(0, 0, &[1])]) }, "expected positions, slots and starts");
    assert_eq!(logits(&mut *model, &[(0, 0, &[1, 2, 3])]), before);
    Ok(())
}

struct Numbers;

impl Decode for Numbers {
    fn decode(&self, ids: &[TokenId]) -> String {
        ids.iter().map(|id| format!("{id} ")).collect()
    }
}

fn engine(graph: &str, sequences: usize, drafters: Vec<Box<dyn Drafter>>) -> Result<Engine> {
    let start = Instant::now();
    let parts = Parts {
        model: DenseFolder::create(graph)?.open(sequences)?.model,
        decoder: Arc::new(Numbers),
        drafters,
        costs: CostModel::default(),
        clock: Box::new(move || start.elapsed().max(Duration::from_nanos(1))),
    };
    Ok(Engine::new(parts, EngineConfig::default()))
}

/// Every kind of drafter, one of them the target itself.
fn drafters(graph: &str) -> Result<Vec<Vec<Box<dyn Drafter>>>> {
    let same = DenseFolder::create(graph)?.open(3)?.model;
    Ok(vec![
        vec![Box::new(Lookup::default()), Box::new(Suffix::default())],
        vec![Box::new(ScriptedDrafter::new(text(30)))],
        vec![Box::new(DraftModel::new(same, DenseFolder::VOCABULARY))],
    ])
}

fn requests() -> Vec<Request> {
    let lengths = [(3, 30), (12, 20), (1, 40), (25, 39), (7, 8), (16, 24)];
    let request = |(index, (prompt, count)): (usize, (usize, usize))| {
        let temperature = if index % 2 == 0 { 0.0 } else { 0.9 };
        let sampling = SamplingConfig { temperature, seed: index as u64, ..SamplingConfig::default() };
        let prompt = text(40)[index..index + prompt].to_vec();
        Request { sampling, draft_min: 3, draft_max: 5, ..Request::new(prompt, count) }
    };
    lengths.into_iter().enumerate().map(request).collect()
}

/// Runs all requests at once; returns what each gave and how many sequences ran beside each other at most.
fn run(engine: &mut Engine, requests: &[Request]) -> Result<(Vec<Finished>, usize)> {
    let ids = requests.iter().map(|request| engine.add(request.clone())).collect::<Result<Vec<_>, _>>()?;
    let mut most = 0;
    while engine.has_work() {
        most = most.max(engine.step()?.sequences.len());
        engine.check().map_err(anyhow::Error::msg)?;
    }
    Ok((ids.into_iter().map(|id| engine.remove(id).expect("it was added")).collect(), most))
}

#[test]
fn drafts_and_company_change_no_text() -> Result<()> {
    let requests = requests();
    let alone = |request: &Request| -> Result<Vec<TokenId>> {
        let mut engine = engine("concatenated", 1, Vec::new())?;
        Ok(run(&mut engine, std::slice::from_ref(request))?.0.remove(0).token_ids)
    };
    let expected = requests.iter().map(alone).collect::<Result<Vec<_>>>()?;
    for graph in ["concatenated", "merged", "kept", "in_place"] {
        for drafters in drafters(graph)? {
            // Two blocks for six requests: most wait, and find in their block what another left there.
            let mut engine = engine(graph, 2, drafters)?;
            let (finished, most) = run(&mut engine, &requests)?;
            let found: Vec<_> = finished.iter().map(|finished| finished.token_ids.clone()).collect();
            assert_eq!(found, expected, "{graph}");
            assert_eq!(most, 2, "every block is used, and none twice at once");
        }
    }
    Ok(())
}

#[test]
fn a_drafter_that_is_right_saves_passes() -> Result<()> {
    for graph in ["concatenated", "in_place"] {
        let drafter = DraftModel::new(DenseFolder::create(graph)?.open(1)?.model, DenseFolder::VOCABULARY);
        let request = Request { draft_min: 4, draft_max: 4, ..Request::new(text(5), 40) };
        let (finished, _) = run(&mut engine(graph, 1, vec![Box::new(drafter)])?, &[request])?;
        assert_eq!(finished[0].report.forwards, 8, "five tokens a pass");
    }
    Ok(())
}

#[test]
fn half_precision_drafts_as_it_decodes() -> Result<()> {
    let request = Request { draft_min: 4, draft_max: 4, ..Request::new(text(5), 40) };
    let (plain, _) = run(&mut engine("half", 1, Vec::new())?, std::slice::from_ref(&request))?;
    let (drafted, _) = run(&mut engine("half", 1, vec![Box::new(ScriptedDrafter::new(text(30)))])?, &[request])?;
    assert_eq!(drafted[0].token_ids, plain[0].token_ids);
    Ok(())
}

#[test]
fn what_passes_cost_is_measured_within_one_sequence() -> Result<()> {
    for graph in DenseFolder::GRAPHS {
        let mut engine = engine(graph, 1, Vec::new())?;
        // A context of 64 has room for two passes of 32 rows, the widest.
        assert!(engine.calibrate()?, "{graph}");
        assert_ne!(*engine.costs(), CostModel::default());
        engine.check().map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

#[test]
fn a_branch_without_a_mask_between_new_rows_runs_one_row_at_a_time() -> Result<()> {
    let notes = DenseFolder::create("merged")?.open(1)?.notes;
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("it runs one row at a time, so drafts save nothing"), "{}", notes[0]);
    for graph in ["concatenated", "half", "kept", "in_place"] {
        assert_eq!(DenseFolder::create(graph)?.open(1)?.notes, Vec::<String>::new(), "{graph}");
    }
    Ok(())
}

#[test]
fn rows_that_nobody_wants_scored_need_no_scores() -> Result<()> {
    for graph in DenseFolder::GRAPHS {
        let mut model = DenseFolder::create(graph)?.open(2)?.model;
        let all = logits(&mut *model, &[(0, 0, &text(9))]);
        for wanted in [vec![8], vec![4, 6], vec![7, 2], Vec::new()] {
            let some = Batch { logit_rows: wanted.clone(), ..batch(&[(1, 0, &text(9))]) };
            let rows =
                wanted.iter().map(|&row| &all[row as usize * DenseFolder::VOCABULARY..][..DenseFolder::VOCABULARY]);
            check_close(&model.forward(&some)?.values, &rows.collect::<Vec<_>>().concat(), tolerance(graph));
        }
    }
    Ok(())
}

#[test]
fn a_variant_is_chosen_by_its_name() -> Result<()> {
    let folder = DenseFolder::create("concatenated")?;
    std::fs::create_dir(folder.path().join("onnx"))?;
    folder.add("in_place", "onnx/model.onnx")?;
    folder.add("half", "onnx/model_fp16.onnx")?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    for (variant, label, bytes) in [(None, "foreign", 4), (Some("fp16"), "fp16", 2)] {
        let opened = ModelFolder::open_variant(folder.path(), variant)?;
        assert!(opened.onnx_path.starts_with(folder.path().join("onnx")), "it goes before the folder's own");
        let model = UnsizedAnyModel::open(&runtime, &opened, CausalModelConfig::default())?;
        assert_eq!(model.token_bytes() * DenseFolder::CONTEXT * 4, DenseFolder::SEQUENCE_BYTES * bytes);
        assert_eq!(model.with_memory(None)?.weights, label);
    }
    let error = ModelFolder::open_variant(folder.path(), Some("q4")).expect_err("there is none").to_string();
    assert!(error.ends_with("no variant `q4`, expected one of `fp16`"), "{error}");
    Ok(())
}

#[test]
fn a_row_in_a_pair_is_the_first_of_two_and_leaves_nothing_behind() -> Result<()> {
    for graph in DenseFolder::GRAPHS {
        let folder = DenseFolder::create(graph)?;
        let config = CausalModelConfig { rows_in_pairs: true, ..CausalModelConfig::default() };
        let (mut alone, mut paired) = (folder.open(1)?.model, folder.open_with(config)?.model);
        let tokens = text(DenseFolder::CONTEXT);
        let last = tokens.len() - 1;
        for (position, &token) in tokens.iter().enumerate() {
            let found = logits(&mut *paired, &[(0, position, &[token])]);
            let expected = logits(&mut *alone, &[(0, position, &[token])]);
            check_close(&found, &expected, tolerance(graph));
            if graph != "merged" && position < last {
                let both = logits(&mut *alone, &[(0, position, &[token; 2])]);
                assert_eq!(found, both[..DenseFolder::VOCABULARY], "{graph} at {position}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_budget_below_one_context_holds_a_shorter_one() -> Result<()> {
    let folder = DenseFolder::create("concatenated")?;
    let open = |bytes| folder.open_with(CausalModelConfig { kv_memory: Some(bytes), ..CausalModelConfig::default() });
    let mut opened = open(DenseFolder::SEQUENCE_BYTES as u64 / 4 + 1)?;
    let (cache, limits) = (opened.model.cache_spec(), opened.model.limits());
    assert_eq!((cache.blocks, cache.block_tokens, limits.context_length), (1, 16, 16));
    assert!(opened.notes[0].contains("room for 16 tokens, not for the model's 64; `--kv-memory 16384` holds them"));
    assert_eq!(opened.model.forward(&batch(&[(0, 0, &[1; 16])]))?.values.len(), 16 * DenseFolder::VOCABULARY);
    let error = open(300).err().expect("too little").to_string();
    assert_eq!(error, "300 bytes, expected at least 512, the size of 2 tokens");
    Ok(())
}
