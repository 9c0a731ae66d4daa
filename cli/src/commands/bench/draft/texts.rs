//! Rows of data files as texts of which some tokens are scored: the answer, or all of it.

use anyhow::{Result, bail};
use veridraft_engine::evaluation::Window;
use veridraft_models::{ModelFolder, TokenId};

use crate::prompts::{AnsweredPrompt, Conversation};

/// The texts, and what was found in them.
pub(super) struct Texts {
    pub(super) windows: Vec<Window>,
    /// Texts that are answers.
    pub(super) answers: usize,
    /// Texts that are cut, because a model's context or cache has no room for all of them.
    pub(super) cut: usize,
}

/// How much of a text is scored and fits.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Scored tokens of a text, at most.
    pub(super) max_tokens: usize,
    /// Tokens of a text, at most.
    pub(super) room: usize,
}

impl Texts {
    /// Encodes the answers behind what they answer, and prompts without an answer alone.
    pub(super) fn encode(
        rows: &[AnsweredPrompt],
        folder: &ModelFolder,
        system: Option<&str>,
        bounds: Bounds,
    ) -> Result<Self> {
        let mut texts = Self { windows: Vec::new(), answers: 0, cut: 0 };
        for row in rows {
            let mut conversation = Conversation::new(&row.prompt, system);
            let mut answers = row.answers.iter();
            while let Some(prompt) = conversation.ask(folder)? {
                let Some(answer) = answers.next() else {
                    if row.answers.is_empty() {
                        texts.add(prompt, 1, bounds);
                    }
                    // What comes behind an answer that is not there cannot be known.
                    break;
                };
                if prompt.len() >= bounds.room {
                    let (name, found, room) = (conversation.name(), prompt.len(), bounds.room);
                    bail!("{name} has {found} tokens, but context and cache of the models hold {room}");
                }
                let start = prompt.len();
                let tokens = [prompt, folder.tokenizer.encode_continuation(answer)?].concat();
                texts.answers += 1;
                texts.add(tokens, start, bounds);
                conversation.answer(answer.clone());
            }
        }
        if texts.tokens() == 0 {
            bail!("the data has {} rows and no token to score, expected texts of at least two tokens", rows.len());
        }
        Ok(texts)
    }

    /// Scored tokens.
    pub(super) fn tokens(&self) -> usize {
        self.windows.iter().map(|window| window.scored.len()).sum()
    }

    /// The least and the greatest number of tokens that a pass finds in the cache.
    pub(super) fn contexts(&self) -> [usize; 2] {
        let least = self.windows.iter().map(|window| window.scored.start).min().unwrap_or(0);
        let greatest = self.windows.iter().map(|window| window.scored.end).max().unwrap_or(0);
        [least, greatest]
    }

    /// The mean position of a scored token.
    pub(super) fn middle(&self) -> usize {
        let of = |window: &Window| window.scored.len() * (window.scored.start + window.scored.end) / 2;
        self.windows.iter().map(of).sum::<usize>() / self.tokens().max(1)
    }

    /// Says on standard error what makes the prediction worse.
    pub(super) fn note(&self) {
        let (all, answers, cut) = (self.windows.len(), self.answers, self.cut);
        if answers < all {
            eprintln!("note: {} of {all} texts have no answer and are scored themselves; see --help", all - answers);
        }
        if cut > 0 {
            eprintln!("note: {cut} of {all} texts are cut, because a model's context or cache has no room for them");
        }
    }

    /// Adds a text that is scored from `start` on; one without a scored token is none.
    fn add(&mut self, tokens: Vec<TokenId>, start: usize, Bounds { max_tokens, room }: Bounds) {
        let wanted = tokens.len().min(start + max_tokens);
        let end = wanted.min(room);
        self.cut += usize::from(end < wanted);
        if start < end {
            self.windows.push(Window { tokens, scored: start..end });
        }
    }
}
