//! What `veridraft batch` can be asked, with the words of `--help`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::record::Created;
use super::selection::Shard;
use crate::arguments::{GenerationArguments, parse_count};

#[derive(Debug, Args)]
#[command(after_long_help = FORMS)]
pub(crate) struct BatchArguments {
    /// The rows: JSON lines, plain, .gz or .zst, or .parquet where the program was built for it
    #[arg(value_name = "IN")]
    pub(super) input: PathBuf,
    /// The file to write, packed as its ending says; OUT.errors.jsonl and OUT.stats.json come beside it, and OUT.journal
    /// while it is not complete
    #[arg(short, long, value_name = "OUT")]
    pub(super) output: PathBuf,
    /// Rows have their prompt in this field, taken as `generate` takes its prompt: a message where the model has a chat
    /// template
    #[arg(long, value_name = "NAME")]
    pub(super) field: Option<String>,
    /// Continue --field as it is, without the chat template
    #[arg(long, requires = "field")]
    pub(super) raw: bool,
    /// Rows of the input, at most
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(super) limit: Option<NonZeroUsize>,
    /// Every Nth row alone, from the Ith on: I from 1 to N; the N outputs have each row once
    #[arg(long, value_name = "I/N", default_value_t)]
    pub(super) shard: Shard,
    /// Rows under way at once; changes the speed, never the output
    #[arg(long, value_name = "N", default_value = "16", value_parser = parse_count)]
    pub(super) concurrency: NonZeroUsize,
    /// Refuse requests whose `model` is not the name of the model that answers
    #[arg(long)]
    pub(super) check_model: bool,
    /// `created` of answers, in seconds since 1970, and the date for chat templates that write it; without a number the
    /// time of each answer, so that no two runs are equal [default: 0]
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "now",
        value_parser = parse_created
    )]
    pub(super) created: Option<Created>,
    #[command(flatten)]
    pub(super) generation: GenerationArguments,
}

/// What `--help` says of the files.
const FORMS: &str = "\
Rows with `custom_id`, `url` and `body` are requests in the form of OpenAI's batch files, for /v1/chat/completions and \
/v1/completions; answers have that form too. What a request does not say, the flags say: -n, --temperature ...

Other rows have `turns` (one), `question` or `messages` (chat template), `prompt` or `text` (continued as it is), or the \
field that --field names; their answers are {\"id\", \"text\", \"finish_reason\", \"usage\"}, `id` being theirs, else \
their line.

A row that cannot be answered gets a record in OUT.errors.jsonl and stops nothing. Of rows with one custom_id the first \
counts. OUT depends on input, model and flags alone: after Ctrl-C, a crash or a power cut the same command goes on, and \
OUT is byte for byte that of an undisturbed run.";

/// Seconds since 1970, or the time itself.
fn parse_created(text: &str) -> Result<Created, String> {
    // As far as dates are defined: the year 9999.
    const MOST: u64 = 253_402_300_799;
    if text == "now" {
        return Ok(Created::Now);
    }
    let seconds = text.parse().ok().filter(|&seconds| seconds <= MOST);
    seconds.map(Created::At).ok_or_else(|| format!("`{text}` is no time, expected seconds since 1970"))
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn parse(line: &str) -> Result<BatchArguments, clap::Error> {
        match Arguments::try_parse_from(line.split(' '))?.command {
            Command::Batch(arguments) => Ok(arguments),
            _ => unreachable!("only `batch` is parsed here"),
        }
    }

    #[test]
    fn created_is_nothing_a_number_or_now() {
        let created = |line: &str| parse(line).map(|arguments| arguments.created).map_err(|error| error.kind());
        assert_eq!(created("veridraft batch a -o b"), Ok(None));
        assert_eq!(created("veridraft batch a -o b --created"), Ok(Some(Created::Now)));
        assert_eq!(created("veridraft batch --created a -o b"), Ok(Some(Created::Now)));
        assert_eq!(created("veridraft batch a -o b --created=1700000000"), Ok(Some(Created::At(1_700_000_000))));
        let invalid = Err(clap::error::ErrorKind::ValueValidation);
        assert_eq!(created("veridraft batch a -o b --created=-1"), invalid);
        assert_eq!(created("veridraft batch a -o b --created=99999999999999"), invalid);
    }

    #[test]
    fn flags_that_cannot_be_are_refused() {
        let kind = |line: &str| parse(line).map(|_| ()).map_err(|error| error.kind());
        use clap::error::ErrorKind;
        assert_eq!(kind("veridraft batch a"), Err(ErrorKind::MissingRequiredArgument));
        assert_eq!(kind("veridraft batch a -o b --raw"), Err(ErrorKind::MissingRequiredArgument));
        assert_eq!(kind("veridraft batch a -o b --raw --field x"), Ok(()));
        assert_eq!(kind("veridraft batch a -o b --shard 0/2"), Err(ErrorKind::ValueValidation));
        assert_eq!(kind("veridraft batch a -o b --limit 0"), Err(ErrorKind::ValueValidation));
        assert_eq!(kind("veridraft batch a -o b --concurrency 0"), Err(ErrorKind::ValueValidation));
    }
}
