//! What the draft model wrote, in the target's tokens.
//!
//! Two ends of the drafted text are doubtful, and each has its rule.
//!
//! - The first tokens must continue the committed ones. The text is tokenised behind the text of the last committed
//!   tokens, or else alone, and only tokens are taken whose text behind the committed tokens is the drafted text.
//! - The last tokens could be others, were the text longer. Only those are taken that are the same with and without the
//!   last drafted token, whose text serves as an example of what follows. Where the model ended its text by
//!   itself, nothing follows and all are taken.

use veridraft_models::TokenId;

use super::Tokenizers;
use super::reading::{common_prefix, encode_behind};
use crate::{Decode, Encode, Result};

/// Tokens that the draft model wrote behind one sequence.
#[derive(Clone, Debug)]
pub(super) struct Drafted {
    tokens: Vec<TokenId>,
    confidences: Vec<f32>,
    probability: f32,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The text may go on.
    Open,
    /// What followed was not likely enough.
    Unlikely,
    /// A token without text followed, such as the end of the text.
    OfText,
}

impl Default for Drafted {
    fn default() -> Self {
        Self { tokens: Vec::new(), confidences: Vec::new(), probability: 1.0, end: End::Open }
    }
}

impl Drafted {
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.end != End::Open
    }

    /// Takes the next token, unless it ends the draft.
    pub(super) fn push(&mut self, token: TokenId, confidence: f32, least_probability: f32, tokenizer: &dyn Encode) {
        self.probability *= confidence;
        // Twice, because some decoders strip a space where the text begins: a lone space would seem to have no text.
        if tokenizer.decode(&[token, token]).is_empty() {
            self.end = End::OfText;
        } else if self.probability < least_probability {
            self.end = End::Unlikely;
        } else {
            self.tokens.push(token);
            self.confidences.push(confidence);
        }
    }

    /// The tokens of the target that say the same, with their confidences.
    ///
    /// `behind` are the last committed draft tokens, `context` those of the target.
    pub(super) fn in_target_tokens(
        &self,
        behind: &[TokenId],
        context: &[TokenId],
        tokenizers: &Tokenizers,
    ) -> Result<Vec<(TokenId, f32)>> {
        let (text, ends) = text_behind(&*tokenizers.draft, behind, &self.tokens);
        let mut tokens = continuation(&*tokenizers.target, context, &text)?;
        if self.end != End::OfText {
            let without_last = ends.len().checked_sub(2).map_or(0, |index| ends[index]);
            let shorter = continuation(&*tokenizers.target, context, &text[..without_last])?;
            let same = tokens.iter().zip(&shorter).take_while(|(token, other)| token == other).count();
            tokens.truncate(same);
        }
        let (_, token_ends) = text_behind(&*tokenizers.target, context, &tokens);
        Ok(tokens.into_iter().zip(self.spread_confidences(&ends, &token_ends)).collect())
    }

    /// Each drafted token's confidence goes to the first token whose text ends behind the start of its own.
    fn spread_confidences(&self, ends: &[usize], token_ends: &[usize]) -> Vec<f32> {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let mut drafted = starts.zip(&self.confidences).peekable();
        let mut confidence = |&end: &usize| {
            let mut product = 1.0;
            while let Some((_, confidence)) = drafted.next_if(|&(start, _)| start < end) {
                product *= confidence;
            }
            product
        };
        token_ends.iter().map(&mut confidence).collect()
    }
}

/// The text of `tokens` behind `context`, without half a character at its end, and where in it each of them ends.
fn text_behind(decoder: &(impl Decode + ?Sized), context: &[TokenId], tokens: &[TokenId]) -> (String, Vec<usize>) {
    let decode = |count: usize| decoder.decode(&[context, &tokens[..count]].concat());
    let whole = decode(tokens.len());
    let whole = whole.trim_end_matches(char::REPLACEMENT_CHARACTER);
    let start = common_prefix(&decode(0), whole);
    let end = |count| common_prefix(&decode(count), whole).saturating_sub(start);
    (whole[start..].to_owned(), (1..=tokens.len()).map(end).collect())
}

/// Tokens that say `text` behind `context`; none where the tokenizer has no such tokens.
fn continuation(tokenizer: &dyn Encode, context: &[TokenId], text: &str) -> Result<Vec<TokenId>> {
    let before = tokenizer.decode(context);
    let expected = [before.as_str(), text].concat();
    for before in [before.as_str(), ""] {
        let tokens = encode_behind(tokenizer, before, text)?;
        if tokenizer.decode(&[context, &tokens].concat()) == expected {
            return Ok(tokens);
        }
    }
    Ok(Vec::new())
}
