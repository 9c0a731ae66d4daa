//! How well a masked model foretells a text: each token is predicted from the rest of the text, by a copy of the text
//! in which it is masked (Salazar, Liang, Nguyen and Kirchhoff 2020, "Masked Language Model Scoring").
//!
//! ```text
//! text         [CLS] the trait ##or fled [SEP]     Masking::Token          Masking::WordLeftToRight
//! copy of `the`                              [CLS] # trait ##or fled       [CLS] # trait ##or fled
//! copy of `trait`                            [CLS] the # ##or fled         [CLS] the # # fled
//! copy of `##or`                             [CLS] the trait # fled        [CLS] the trait # fled
//! copy of `fled`                             [CLS] the trait ##or #        [CLS] the trait ##or #
//! ```
//!
//! The pieces of a rare word give each other away, so that names score better than common words; masking those behind
//! the token in its word as well takes that away (Kauf and Ivanova 2023, "A Better Way to Do Masked Language Model
//! Scoring"). Tokens that the tokenizer puts around the text are read and never scored.
//!
//! Law: a token's score depends on its own text alone, up to rounding, whatever copies share a pass.

mod pieces;
#[cfg(test)]
mod tests;

use veridraft_models::{MaskedBatch, MaskedLanguageModel, MaskedPlace, TokenId, WordEncoding};

use self::pieces::Piece;
use super::{Reading, Softmax};
use crate::Result;

/// What is masked beside the token that is predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Masking {
    /// Nothing: Salazar et al. 2020.
    #[default]
    Token,
    /// The tokens behind it in the same word: `PLL-word-l2r` of Kauf and Ivanova 2023.
    WordLeftToRight,
}

/// A token that was predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PseudoScore {
    /// The text, counted from 0 in the order given.
    pub text: usize,
    /// The position in its tokens, those around it counted.
    pub position: usize,
    /// The token that stands there.
    pub token: TokenId,
    /// How likely it was, and what the model would have taken.
    pub reading: Reading,
}

/// A piece of a text with one token to be predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Copy {
    piece: usize,
    /// The token that is predicted.
    position: usize,
    /// Where the masked tokens end; they begin with `position`.
    masked_to: usize,
}

/// Predicts every token of texts, each from its own text, and gives the scores in the order of texts and positions.
///
/// A text that is longer than the model's context is cut into pieces, and its tokens are predicted from their own piece.
/// Copies of about one length share passes; `progress` is told after each how many tokens it predicted.
///
/// # Errors
/// A context without room for a token, and what the model refuses.
pub fn pseudo_log_likelihoods(
    model: &mut dyn MaskedLanguageModel,
    texts: &[WordEncoding],
    masking: Masking,
    mask: TokenId,
    mut progress: impl FnMut(usize),
) -> Result<Vec<PseudoScore>> {
    let limits = model.limits();
    let cut = |(text, encoding)| Piece::of_text(text, encoding, limits.context_length);
    let pieces = texts.iter().enumerate().map(cut).collect::<Result<Vec<_>>>()?.concat();
    let copies = copies(&pieces, masking);
    let lengths: Vec<_> = copies.iter().map(|copy| pieces[copy.piece].token_ids.len()).collect();
    let mut scores = vec![None; copies.len()];
    for pass in passes(&lengths, limits.padded_tokens) {
        let logits = model.forward(&batch(&pass, &copies, &pieces, mask))?;
        for (row, &index) in pass.iter().enumerate() {
            let Copy { piece, position, .. } = copies[index];
            let piece = &pieces[piece];
            let token = piece.token_ids[position];
            let reading = Reading::of(&Softmax::of(logits.row(row)), token);
            let position = piece.text_position(position);
            scores[index] = Some(PseudoScore { text: piece.text, position, token, reading });
        }
        progress(pass.len());
    }
    Ok(scores.into_iter().map(|score| score.expect("every copy is in a pass")).collect())
}

/// One for each token that is scored, piece by piece.
fn copies(pieces: &[Piece], masking: Masking) -> Vec<Copy> {
    let of_piece = |(piece, Piece { words, .. }): (usize, &Piece)| {
        let copy = |position: usize| {
            let of_word = words[position..].iter().take_while(|word| **word == words[position]).count();
            let masked = match masking {
                Masking::Token => 1,
                Masking::WordLeftToRight => of_word,
            };
            Copy { piece, position, masked_to: position + masked }
        };
        let scored = (0..words.len()).filter(|&position| words[position].is_some());
        scored.map(copy).collect::<Vec<_>>()
    };
    pieces.iter().enumerate().flat_map(of_piece).collect()
}

/// Divides sequences of `lengths` into passes of at most `most` tokens, padding included, longest first so that those of
/// one length come together; a longer one has a pass of its own.
fn passes(lengths: &[usize], most: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<_> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let mut passes = Vec::new();
    let mut rest = &order[..];
    while let [longest, ..] = rest {
        let count = (most / lengths[*longest]).clamp(1, rest.len());
        passes.push(rest[..count].to_vec());
        rest = &rest[count..];
    }
    passes
}

fn batch(pass: &[usize], copies: &[Copy], pieces: &[Piece], mask: TokenId) -> MaskedBatch {
    let masked = |&index: &usize| {
        let Copy { piece, position, masked_to } = copies[index];
        let mut tokens = pieces[piece].token_ids.clone();
        tokens[position..masked_to].fill(mask);
        tokens
    };
    let place = |(sequence, &index): (usize, &usize)| MaskedPlace { sequence, position: copies[index].position };
    MaskedBatch { sequences: pass.iter().map(masked).collect(), wanted: pass.iter().enumerate().map(place).collect() }
}
