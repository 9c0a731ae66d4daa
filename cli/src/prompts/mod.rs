//! Prompts from files of JSON lines, plain or packed: the one reader of `verify` and `bench`.
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

pub(crate) mod row;
mod answer;
mod conversation;

pub(crate) use conversation::Conversation;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use veridraft_models::Message;

use crate::data_files::Lines;

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

/// A prompt with the answers that its row has: one a turn, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnsweredPrompt {
    pub(crate) prompt: DataPrompt,
    pub(crate) answers: Vec<String>,
}

/// The prompts of all files, in order, `limit` of each at most; blank lines are no prompts.
pub(crate) fn read(files: &[PathBuf], limit: Option<NonZeroUsize>) -> Result<Vec<DataPrompt>> {
    read_rows(files, limit, row::prompt)
}

/// The same with their answers, as `answer.rs` finds them: in `answer_field` where one is named.
pub(crate) fn read_answered(
    files: &[PathBuf],
    limit: Option<NonZeroUsize>,
    answer_field: Option<&str>,
) -> Result<Vec<AnsweredPrompt>> {
    read_rows(files, limit, |line, category, number| answer::prompt(line, category, number, answer_field))
}

fn read_rows<T>(
    files: &[PathBuf],
    limit: Option<NonZeroUsize>,
    parse: impl Fn(&str, &str, usize) -> Result<T, String>,
) -> Result<Vec<T>> {
    let limit = limit.map_or(usize::MAX, usize::from);
    let mut prompts = Vec::new();
    for file in files {
        read_file(file, limit, &parse, &mut prompts)?;
    }
    if prompts.is_empty() {
        let names: Vec<_> = files.iter().map(|file| format!("`{}`", file.display())).collect();
        bail!("{} has no prompts, expected at least one", names.join(", "));
    }
    Ok(prompts)
}

fn read_file<T>(
    path: &Path,
    limit: usize,
    parse: impl Fn(&str, &str, usize) -> Result<T, String>,
    prompts: &mut Vec<T>,
) -> Result<()> {
    let category = stem(path);
    let mut left = limit;
    let mut lines = Lines::open(path)?;
    while left > 0 {
        let Some(line) = lines.next().transpose()? else { break };
        let place = |reason: &str| anyhow!("`{}` line {} {reason}", path.display(), line.number);
        let text = line.text().map_err(place)?;
        if text.trim().is_empty() {
            continue;
        }
        let prompt = parse(text, &category, line.number).map_err(|reason| place(&reason))?;
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
