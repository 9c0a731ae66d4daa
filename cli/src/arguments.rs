//! The command line: what can be asked, with the words of `--help`.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use veridraft_engine::Verification;
use veridraft_export::{MatMulOperators, Weights};
use veridraft_models::KvType;

use crate::commands::batch::BatchArguments;
use crate::commands::bench::BenchCommand;
use crate::commands::fill::FillArguments;
use crate::commands::model::ModelCommand;
use crate::commands::perplexity::PerplexityArguments;
use crate::commands::runtime::RuntimeCommand;
use crate::commands::score::ScoreArguments;
use crate::commands::train::TrainCommand;
use crate::commands::verify::VerifyArguments;
use crate::constraint::ConstraintArguments;
use crate::draft_spec::{AVAILABLE, DraftSpec};
use crate::export_weights::ExportWeights;

/// Runs language models exported to ONNX, with exact speculative decoding: the same seed gives the same text, however
/// it is drafted.
#[derive(Debug, Parser)]
#[command(name = "veridraft", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Continue a prompt, or answer one message
    Generate(GenerateArguments),
    /// Talk with a model, turn by turn
    Chat(ChatArguments),
    /// Answer every row of a file; a run that was ended goes on with the same command
    Batch(BatchArguments),
    /// Fill the blanks of a text with a masked language model
    Fill(FillArguments),
    /// Turn a checkpoint (GGUF file or Hugging Face folder) into an ONNX model folder, or a GGUF file into a Hugging Face one
    Export(ExportArguments),
    /// Fetch, list and show models
    Model(ModelCommand),
    /// Install and show the ONNX Runtime library
    Runtime(RuntimeCommand),
    /// Measure a model on this machine
    Bench(BenchCommand),
    /// Train a model of text that drafts
    Train(TrainCommand),
    /// Tell how well a model foretells texts, by the recipe of Hugging Face, llama.cpp or lm-evaluation-harness
    ///
    /// A figure means something beside others of the same recipe alone. -m may also name a file that `train ngram` wrote:
    /// an n-gram model reads each text as one stream and foretells its first token too.
    Perplexity(PerplexityArguments),
    /// Tell how likely a model holds given continuations and texts, a JSON line each
    Score(ScoreArguments),
    /// Prove on your prompts that drafting leaves the text alone; status 0: it does, 1: it differs, 3: could not run
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// The prompt; without it and the two options below, standard input is read to its end
    #[arg(conflicts_with_all = ["prompt_file", "messages"])]
    pub(crate) prompt: Option<String>,
    /// Read the prompt from a file, byte for byte
    #[arg(long, value_name = "FILE", conflicts_with = "messages")]
    pub(crate) prompt_file: Option<PathBuf>,
    /// Read a conversation from a JSON file: [{"role": "user", "content": "..."}, ...]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["raw", "system"])]
    pub(crate) messages: Option<PathBuf>,
    /// Give the prompt to the model as it is, without the chat template
    #[arg(long, conflicts_with = "system")]
    pub(crate) raw: bool,
    /// Write exactly one JSON object to standard output, when all is done
    #[arg(long)]
    pub(crate) json: bool,
    /// Put log-probabilities into --json: for each token of prompt and answer its own and those of the K likeliest
    #[arg(long, value_name = "K")]
    pub(crate) logprobs: Option<usize>,
    /// Samples of the one prompt, which is computed once; the first is the text that there is without this option
    #[arg(short = 'N', long, value_name = "N", default_value = "1", value_parser = parse_samples)]
    pub(crate) num_samples: NonZeroU32,
    #[command(flatten)]
    pub(crate) generation: GenerationArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ChatArguments {
    #[command(flatten)]
    pub(crate) generation: GenerationArguments,
}

/// What `generate`, `chat` and `batch` have in common.
#[derive(Debug, Args)]
pub(crate) struct GenerationArguments {
    /// System message, where the chat template takes one
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// New tokens, at most
    #[arg(short = 'n', long, value_name = "N", default_value = "256", value_parser = parse_count)]
    pub(crate) max_tokens: NonZeroUsize,
    /// Write a JSON line a step to a file: rows, proposed, accepted, source, times
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArguments,
    #[command(flatten)]
    pub(crate) draft: DraftArguments,
    #[command(flatten)]
    pub(crate) constraint: ConstraintArguments,
    #[command(flatten)]
    pub(crate) sampling: SamplingArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArguments {
    /// A model's name, a model folder, a GGUF file or a Hugging Face folder [default: smollm2-135m]
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Format of the weights: auto (the checkpoint's own codes), f32, q8, q4
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub(crate) weights: Weights,
    /// Which graph of a folder that holds several, by the name behind `model_`: q4, fp16, int8 ...
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    /// Threads of a forward pass [default: one a hardware thread]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Memory for the KV cache, e.g. 512M or 2G [default: one whole context, at most 1G]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) kv_memory: Option<u64>,
    /// Type of keys and values in the KV cache: f32, f16 (half the memory), q8 (about a quarter); may change the text
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub(crate) kv: KvType,
    /// Run no row of another program's graph alone: a tenth slower or more, but then drafts mostly leave the text alone;
    /// `verify` tells
    #[arg(long)]
    pub(crate) rows_in_pairs: bool,
    /// The ONNX Runtime library to use [default: ORT_DYLIB_PATH, else the installed one]
    #[arg(long, value_name = "FILE")]
    pub(crate) ort_lib: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Speculation (never changes the text with --verify coupled)")]
pub(crate) struct DraftArguments {
    #[arg(
        long,
        value_name = "SPEC",
        default_value = "auto",
        help = format!("Who drafts: {AVAILABLE}; joined by + they draft together")
    )]
    pub(crate) draft: DraftSpec,
    /// Drafted tokens one behind the other, at least, where there is a guess; costs and success decide up to --draft-max
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) draft_min: usize,
    /// Drafted tokens one behind the other, at most; the same as --draft-min fixes the length
    #[arg(long, value_name = "N", default_value = "24", value_parser = parse_count)]
    pub(crate) draft_max: NonZeroUsize,
    /// When drafts are accepted: coupled (same text as plain decoding), rejection (same distribution, other text),
    /// typical (lossy: not the model's distribution)
    #[arg(long, value_name = "RULE", default_value = "coupled", hide_possible_values = true)]
    pub(crate) verify: VerifyRule,
}

/// The engine's [`Verification`] by the names of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyRule {
    Coupled,
    Rejection,
    Typical,
}

impl From<VerifyRule> for Verification {
    fn from(rule: VerifyRule) -> Self {
        match rule {
            VerifyRule::Coupled => Self::Coupled,
            VerifyRule::Rejection => Self::Rejection,
            VerifyRule::Typical => Self::Typical,
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling (defaults from the model's generation_config.json, else greedy)")]
pub(crate) struct SamplingArguments {
    /// 0 takes the most likely token, 1 samples from the model's own distribution
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub(crate) temperature: Option<f32>,
    /// Sample among the K most likely tokens; 0 = all
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Sample among the most likely tokens that together reach probability P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) top_p: Option<f32>,
    /// Sample among tokens at least P times as likely as the best
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) min_p: Option<f32>,
    /// Divide (or multiply) the scores of tokens seen in prompt or output; 1 = off
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) repetition_penalty: Option<f32>,
    /// Lower the scores of tokens seen in the output
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) presence_penalty: Option<f32>,
    /// Lower the scores of tokens by their count in the output
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) frequency_penalty: Option<f32>,
    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Go on after the model's end-of-sequence tokens
    #[arg(long)]
    pub(crate) ignore_eos: bool,
    /// The same seed gives the same text
    #[arg(long, value_name = "SEED", default_value = "0")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// A GGUF file, or (with --to onnx) a Hugging Face folder with config.json and safetensors
    pub(crate) source: PathBuf,
    /// The folder to write; must not exist, or be empty
    pub(crate) destination: PathBuf,
    /// What to write: onnx (a model folder for this program), or hf (a Hugging Face folder for other tools: safetensors,
    /// configuration and tokenizer)
    #[arg(long, value_name = "FORM", default_value = "onnx", hide_possible_values = true)]
    pub(crate) to: ExportForm,
    #[arg(
        long,
        value_name = "FORMAT",
        help = "Format of the weights; --to onnx: auto (the checkpoint's own codes), f32, q8, q4 [default: auto]; --to hf: \
                f32, f16, bf16 [default: f32]"
    )]
    pub(crate) weights: Option<ExportWeights>,
    #[arg(
        long,
        value_name = "OPERATORS",
        help = "Operators that multiply, with --to onnx: veridraft (exact speculation, for the CPU) [default], or standard \
                (Gemm and MatMulNBits)"
    )]
    pub(crate) matmul: Option<MatMulOperators>,
    /// Also give out the residual stream behind so many layers, for draft heads: 0 is the embedding; with --to onnx
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    pub(crate) hidden_states: Vec<usize>,
}

/// What `export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportForm {
    Onnx,
    Hf,
}

/// A count of at least one.
pub(crate) fn parse_count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("`{text}` is not a count, expected 1 or more"))
}

/// A count of threads that a thread pool can be made of.
pub(crate) fn parse_threads(text: &str) -> Result<NonZeroUsize, String> {
    const MOST: usize = 256;
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MOST);
    threads.ok_or_else(|| format!("`{text}` is not a count of threads, expected 1 to {MOST}"))
}

/// A count of samples that can be kept at once.
fn parse_samples(text: &str) -> Result<NonZeroU32, String> {
    const MOST: u32 = 1024;
    let samples = text.parse().ok().filter(|samples: &NonZeroU32| samples.get() <= MOST);
    samples.ok_or_else(|| format!("`{text}` is not a count of samples, expected 1 to {MOST}"))
}

/// Bytes with an optional binary unit: 1048576, 512M, 2G, 1.5GiB.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}` is not a size, expected e.g. 1048576, 512M or 2G");
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1_u64,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        _ => return Err(expected()),
    };
    let number: f64 = digits.parse().map_err(|_| expected())?;
    let bytes = number * unit as f64;
    if bytes.is_finite() && bytes >= 1.0 && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_rule_of_verification_is_coupled_unless_another_is_named() {
        let rule = |line: &str| {
            let arguments = Arguments::try_parse_from(line.split(' ')).map_err(|error| error.kind())?;
            match arguments.command {
                Command::Generate(arguments) => Ok(arguments.generation.draft.verify.into()),
                Command::Chat(arguments) => Ok(arguments.generation.draft.verify.into()),
                _ => unreachable!("only these two are parsed here"),
            }
        };
        assert_eq!(rule("veridraft generate a"), Ok(Verification::Coupled));
        assert_eq!(rule("veridraft generate a --verify rejection"), Ok(Verification::Rejection));
        assert_eq!(rule("veridraft chat --verify typical"), Ok(Verification::Typical));
        assert_eq!(rule("veridraft chat --verify exact"), Err(clap::error::ErrorKind::InvalidValue));
    }

    #[test]
    fn sizes_take_binary_units() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(parse_bytes(text).ok(), expected, "{text}");
        check("4096", Some(4096));
        check("512M", Some(512 << 20));
        check("1.5GiB", Some(3 << 29));
        check("0", None);
        check("-1", None);
        check("G", None);
        check("7 apples", None);
        check("1e400", None);
        check("€", None);
    }
}
