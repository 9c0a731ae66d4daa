//! `veridraft bench forward`: what a forward pass costs by its number of rows, which is what drafting lives on.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use veridraft_engine::measure::{Rounds, Spread, take_turns};
use veridraft_export::checkpoint::DecoderConfig;
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{
    CacheSpec, CausalModel, CausalModelConfig, FolderKind, LanguageModel, Limits, ModelFolder, Profile,
};

use super::forward_report::{Costs, ForwardReport, Subject};
use super::one_sequence::{OneSequence, slots};
use crate::arguments::{ModelArguments, parse_count};
use crate::model_store;
use crate::open_model::{name_the_flag, session};
use crate::output::line;
use crate::usage::UsageError;

/// Tokens of the prompt whose prefill is timed, in a model that has room for as many.
const PREFILL_TOKENS: usize = 512;
/// Passes of every row count.
const PASSES: Rounds = Rounds { least: 15, time: Duration::from_secs(6) };
/// Prefills, which take long and vary little.
const PREFILLS: Rounds = Rounds { least: 5, time: Duration::from_secs(2) };
/// Passes with a profile.
const PROFILED: Rounds = Rounds { least: 15, time: Duration::from_secs(3) };

#[derive(Debug, Args)]
pub(super) struct ForwardArguments {
    /// New tokens in a pass; 1 is always measured, to compare with
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = parse_count)]
    #[arg(default_value = "1,2,3,4,6,8,12,16,32")]
    rows: Vec<NonZeroUsize>,
    /// Tokens in the cache before them
    #[arg(long, value_name = "N", default_value = "256")]
    context: usize,
    /// Write exactly one JSON object to standard output
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArguments,
}

/// What the passes took.
pub(super) struct Measured {
    /// For each row count, in ascending order, the first being 1.
    pub(super) rows: Vec<(usize, Spread)>,
    /// Passes of each row count.
    pub(super) rounds: usize,
    /// Tokens of the prefill and its time.
    pub(super) prefill: (usize, Spread),
}

/// Runs the command.
pub(super) fn run(arguments: ForwardArguments) -> Result<()> {
    let (name, folder) = model_store::open(&arguments.model)?;
    if folder.kind != FolderKind::Veridraft {
        let path = folder.path.display();
        bail!("`{path}` was not written by `veridraft export`, whose operators `bench forward` tells apart");
    }
    let decoder = DecoderConfig::open(&folder.path)?;
    let runtime = Runtime::load(&LibraryChoice::from(arguments.model.ort_lib.clone()))?;
    let config = session(&arguments.model)?;
    let rows = row_counts(&arguments.rows);
    let open = |config| CausalModel::open(&runtime, &folder.onnx_path, config).map_err(name_the_flag);

    let mut sequence = OneSequence::new(Box::new(open(config)?))?;
    check(sequence.model.limits(), sequence.model.cache_spec(), &rows, arguments.context)?;
    let measured = measure(&mut sequence, &rows, arguments.context)?;
    let weights = sequence.model.metadata().weights.clone();
    let threads = sequence.model.threads();
    // Gone before the profiled session comes: two of them need twice the memory.
    drop(sequence);
    let mut profiled = OneSequence::new(Box::new(open(CausalModelConfig { profile: true, ..config })?))?;
    let profile = profile(&mut profiled, arguments.context)?;

    let subject = Subject {
        model: name,
        weights,
        path: config.simd.to_string(),
        runtime: runtime.version(),
        threads,
        context: arguments.context,
    };
    let weights_bytes = weights_bytes(&folder)?;
    let costs = Costs { weights_bytes, operations: 2 * decoder.matmul_weights() };
    let report = ForwardReport::new(subject, costs, &measured, &profile);
    if arguments.json { line(serde_json::to_string(&report)?) } else { line(report) }
}

/// Ascending, each once, 1 among them.
fn row_counts(asked: &[NonZeroUsize]) -> Vec<usize> {
    let mut rows: Vec<_> = asked.iter().map(|rows| rows.get()).chain([1]).collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// Refuses passes that the model or its cache has no room for.
fn check(limits: Limits, cache: CacheSpec, rows: &[usize], context: usize) -> Result<(), UsageError> {
    let most = rows.last().copied().unwrap_or(1);
    let tokens = context.saturating_add(most);
    let slots = slots(&cache);
    let reason = if most > limits.max_rows {
        format!("`--rows` is {most}, expected at most {} in one pass", limits.max_rows)
    } else if tokens > limits.context_length {
        let expected = limits.context_length;
        format!("`--context` {context} and `--rows` {most} are {tokens} tokens, but the model takes {expected}")
    } else if tokens > slots {
        format!("`--context` {context} and `--rows` {most} are {tokens} tokens, but `--kv-memory` holds {slots}")
    } else {
        return Ok(());
    };
    Err(UsageError::new(reason))
}

fn measure(sequence: &mut OneSequence<CausalModel>, rows: &[usize], context: usize) -> Result<Measured> {
    let prompt = PREFILL_TOKENS.min(sequence.room()).min(sequence.model.limits().max_rows);
    sequence.time(0..prompt, 1)?;
    let prefills = take_turns(1, PREFILLS, |_| sequence.time(0..prompt, 1))?;
    sequence.fill(context)?;
    for &rows in rows {
        sequence.time(context..context + rows, rows)?;
    }
    let passes = take_turns(rows.len(), PASSES, |case| {
        let rows = rows[case];
        sequence.time(context..context + rows, rows)
    })?;
    Ok(Measured {
        rows: rows.iter().zip(&passes).map(|(&rows, times)| (rows, Spread::of(times))).collect(),
        rounds: passes[0].len(),
        prefill: (prompt, Spread::of(&prefills[0])),
    })
}

/// Profiles passes of one row; the passes that fill the cache, and a first one, are left out.
fn profile(sequence: &mut OneSequence<CausalModel>, context: usize) -> Result<Profile> {
    sequence.fill(context)?;
    let mut pass = || sequence.time(context..context + 1, 1);
    pass()?;
    let passes = take_turns(1, PROFILED, |_| pass())?[0].len();
    let mut profile = sequence.model.end_profile()?.context("the model was opened with a profile")?;
    let others = profile.passes.len().saturating_sub(passes);
    profile.passes.drain(..others);
    Ok(profile)
}

/// Bytes of the file beside the graph: the weights that a pass reads, and the rotary table.
fn weights_bytes(folder: &ModelFolder) -> Result<u64> {
    let mut name = folder.onnx_path.clone().into_os_string();
    name.push(".data");
    let metadata = std::fs::metadata(&name).with_context(|| format!("cannot read `{}`", name.display()))?;
    Ok(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_counts_are_ascending_and_have_one() {
        let check = |asked: &[usize], expected: &[usize]| {
            let asked: Vec<_> = asked.iter().filter_map(|&rows| NonZeroUsize::new(rows)).collect();
            assert_eq!(row_counts(&asked), expected);
        };
        check(&[8, 2, 8], &[1, 2, 8]);
        check(&[1], &[1]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_its_flag() {
        let limits = Limits {
            max_rows: 64,
            context_length: 1000,
            ragged: true,
            tree: true,
            share_blocks: true,
            row_exact: true,
        };
        let refusal = |rows: usize, context: usize, blocks: usize| {
            let cache = CacheSpec { block_tokens: 16, blocks, block_bytes: 1 };
            check(limits, cache, &[1, rows], context).err().map(|error| error.to_string())
        };
        assert_eq!(refusal(64, 936, 63), None);
        assert_eq!(refusal(65, 0, 63).as_deref(), Some("`--rows` is 65, expected at most 64 in one pass"));
        let message = "`--context` 990 and `--rows` 11 are 1001 tokens, but the model takes 1000";
        assert_eq!(refusal(11, 990, 63).as_deref(), Some(message));
        let message = "`--context` 30 and `--rows` 3 are 33 tokens, but `--kv-memory` holds 32";
        assert_eq!(refusal(3, 30, 2).as_deref(), Some(message));
        assert!(refusal(1, usize::MAX, 63).is_some());
    }
}
