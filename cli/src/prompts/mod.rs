//! Prompts from files of JSON lines, plain or gzipped: the one reader of `verify` and `bench speculate`.
//!
//! Each line is one object, and the first of these fields that it has is the prompt:
//!
//! ```text
//! turns      ["...", "..."]     asked one after the other, each behind the answer to the last; chat template
//! question   "..."              asked; chat template
//! messages   [{role, content}]  answered; chat template
//! prompt     "..."              continued as it is
//! text       "..."              continued as it is
//! ```
//!
//! `category` groups prompts in reports, the file's name without endings where it is absent; `id`, `question_id` or
//! `task_id` names a prompt, else its line. Spec-Bench, MT-bench, GSM8K and HumanEval come in this form.

mod row;
mod conversation;

pub(crate) use conversation::Conversation;

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use veridraft_models::Message;

/// One prompt of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataPrompt {
    /// Groups prompts in reports.
    pub(crate) category: String,
    /// Names the prompt within its file.
    pub(crate) id: String,
    pub(crate) content: Content,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A user's messages, at least one; each is asked behind the answer to the one before.
    Turns(Vec<String>),
    /// A conversation to be answered.
    Messages(Vec<Message>),
    /// A text to be continued as it is.
    Text(String),
}

/// The prompts of all files, in order, `limit` of each at most; blank lines are no prompts.
pub(crate) fn read(files: &[PathBuf], limit: Option<NonZeroUsize>) -> Result<Vec<DataPrompt>> {
    let limit = limit.map_or(usize::MAX, usize::from);
    let mut prompts = Vec::new();
    for file in files {
        read_file(file, limit, &mut prompts)?;
    }
    if prompts.is_empty() {
        let names: Vec<_> = files.iter().map(|file| format!("`{}`", file.display())).collect();
        bail!("{} has no prompts, expected at least one", names.join(", "));
    }
    Ok(prompts)
}

fn read_file(path: &Path, limit: usize, prompts: &mut Vec<DataPrompt>) -> Result<()> {
    let cannot_read = || format!("cannot read `{}`", path.display());
    let file = File::open(path).with_context(cannot_read)?;
    let is_gzipped = path.extension().is_some_and(|ending| ending == "gz");
    let bytes: Box<dyn Read> = if is_gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let category = stem(path);
    let mut left = limit;
    for (number, line) in (1..).zip(BufReader::new(bytes).lines()) {
        if left == 0 {
            break;
        }
        let place = || format!("`{}` line {number}", path.display());
        let line = line.map_err(|error| match error.kind() {
            ErrorKind::InvalidData => anyhow::anyhow!("{} is not UTF-8, expected text", place()),
            _ => anyhow::Error::from(error).context(cannot_read()),
        })?;
        if line.trim().is_empty() {
            continue;
        }
        let prompt = row::prompt(&line, &category, number).map_err(|reason| anyhow::anyhow!("{} {reason}", place()))?;
        prompts.push(prompt);
        left -= 1;
    }
    Ok(())
}

/// The file's name up to its first dot.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split('.').find(|part| !part.is_empty()).unwrap_or("prompts").to_owned()
}

#[cfg(test)]
mod tests;
