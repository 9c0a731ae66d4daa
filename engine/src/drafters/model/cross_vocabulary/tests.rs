//! Drafts across toy tokenizers: the text always goes on as it should, whatever its tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::super::scripted::Scripted;
use super::*;
use crate::Decode;

/// Longest match among some pieces, single bytes otherwise, and one token without text.
#[derive(Clone)]
struct Toy {
    pieces: &'static [&'static str],
    /// Spaces begin a word, and no token reaches over the beginning of a word.
    splits_words: bool,
    has_start: bool,
    /// Bytes encoded so far.
    encoded: Arc<AtomicUsize>,
}

const TARGET: &[&str] =
    &["the", " the", " cat", " sat", "at", " on", ". ", "hel", "hello", "lo", " wor", "ld", "naï", "🙂 "];
const DRAFT: &[&str] = &["the ", " c", "at s", "sat", "n the", " mat", "hello wor", "or", "ï", "é", ", t", "猫"];
const TEXT: &str = "the cat sat on the mat. é猫 naïve 🙂 hello world, ";

impl Toy {
    fn new(pieces: &'static [&'static str]) -> Self {
        Self { pieces, splits_words: false, has_start: false, encoded: Arc::default() }
    }

    fn special(&self) -> TokenId {
        self.pieces.len() as TokenId + 256
    }

    fn vocabulary(&self) -> usize {
        self.pieces.len() + 257
    }

    fn encode_word(&self, word: &str, tokens: &mut Vec<TokenId>) {
        let mut rest = word.as_bytes();
        while let Some(&byte) = rest.first() {
            let matching = (0..self.pieces.len()).filter(|&piece| rest.starts_with(self.pieces[piece].as_bytes()));
            let (token, length) = match matching.max_by_key(|&piece| self.pieces[piece].len()) {
                Some(piece) => (piece, self.pieces[piece].len()),
                None => (self.pieces.len() + usize::from(byte), 1),
            };
            tokens.push(token as TokenId);
            rest = &rest[length..];
        }
    }
}

impl Decode for Toy {
    fn decode(&self, ids: &[TokenId]) -> String {
        let mut bytes = Vec::new();
        for &id in ids {
            match self.pieces.get(id as usize) {
                Some(piece) => bytes.extend_from_slice(piece.as_bytes()),
                None => bytes.extend(u8::try_from(id as usize - self.pieces.len())),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Encode for Toy {
    fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        self.encoded.fetch_add(text.len(), Ordering::Relaxed);
        let mut tokens = Vec::new();
        let cuts = text.match_indices(' ').map(|(cut, _)| cut).filter(|_| self.splits_words);
        let mut start = 0;
        for cut in cuts.chain([text.len()]) {
            self.encode_word(&text[start..cut], &mut tokens);
            start = cut;
        }
        Ok(tokens)
    }

    fn start(&self) -> Result<Vec<TokenId>> {
        Ok(if self.has_start { vec![self.special()] } else { Vec::new() })
    }
}

/// A draft model that knows `text` by heart, with these odds for the next token, and ends behind it.
fn reciter(toy: &Toy, text: String) -> Scripted {
    let mut model = Scripted::new(4, 400);
    model.vocabulary = toy.vocabulary();
    model.limits.context_length = 1600;
    model.limits.max_rows = 64;
    let toy = toy.clone();
    model.script = Some(Arc::new(move |seen| {
        let said = toy.decode(seen);
        let rest = text.strip_prefix(said.as_str()).unwrap_or("");
        let mut tokens = Vec::new();
        toy.encode_word(&rest[..rest.floor_char_boundary(40)], &mut tokens);
        let mut logits = vec![0.0; toy.vocabulary()];
        // The probability differs from token to token.
        logits[*tokens.first().unwrap_or(&toy.special()) as usize] = 7.0 + (said.len() % 5) as f32;
        logits
    }));
    model
}

fn drafter(target: &Toy, draft: &Toy, model: &Scripted) -> CrossVocabulary {
    let tokenizers = Tokenizers { target: Box::new(target.clone()), draft: Box::new(draft.clone()) };
    CrossVocabulary::new(Box::new(model.clone()), tokenizers, target.vocabulary()).unwrap()
}

/// Recites `TEXT` some times, all drafts accepted up to a bound; returns tokens drafted and steps taken.
fn recite(target: &Toy, draft: &Toy, accept: usize) -> (usize, usize) {
    let text = TEXT.repeat(12);
    let tokens = target.encode(&text).unwrap();
    let model = reciter(draft, text.clone());
    let mut drafter = drafter(target, draft, &model);
    let sequence = SequenceId(1);
    let (mut committed, mut drafted, mut steps) = (5, 0, 0);
    drafter.extend(sequence, &tokens[..committed]);
    while committed < tokens.len() {
        model.log.lock().unwrap().rows.clear();
        let found = drafter.propose(&[DraftRequest::chain(sequence, 6)]).unwrap().remove(0);
        drafter.check().unwrap();
        let rows = std::mem::take(&mut model.log.lock().unwrap().rows);
        assert!(rows.len() <= 7 && (steps == 0 || rows.iter().sum::<usize>() < 60), "{rows:?}");
        assert!(found.is_chain() && found.nodes.len() <= 6);
        let ids: Vec<_> = found.nodes.iter().map(|node| node.token).collect();
        assert!(found.nodes.iter().all(|node| node.confidence > 0.5 && node.confidence <= 1.0), "{found:?}");
        let said = target.decode(&[&tokens[..committed], &ids].concat());
        assert!(text.starts_with(said.trim_end_matches('\u{fffd}')), "{said:?}");
        let right = ids.iter().zip(&tokens[committed..]).take_while(|(id, token)| id == token).count();
        drafted += right;
        steps += 1;
        let next = (committed + right.min(accept) + 1).min(tokens.len());
        drafter.extend(sequence, &tokens[committed..next]);
        committed = next;
    }
    drafter.release(sequence);
    drafter.check().unwrap();
    (drafted, steps)
}

#[test]
fn drafts_go_on_in_the_targets_tokens() {
    for (target, draft) in [(TARGET, DRAFT), (DRAFT, TARGET), (TARGET, &[]), (&[], TARGET), (DRAFT, DRAFT)] {
        for splits_words in [false, true] {
            let (target, draft) =
                (Toy { splits_words, ..Toy::new(target) }, Toy { has_start: true, ..Toy::new(draft) });
            for accept in [6, 1, 0] {
                let (drafted, steps) = recite(&target, &draft, accept);
                assert!(drafted > steps, "{drafted} tokens in {steps} steps");
            }
        }
    }
}

#[test]
fn a_token_takes_the_confidences_of_the_drafted_tokens_it_needs() {
    let (target, draft) = (Toy::new(&["ab", "cdef"]), Toy::new(&["abc", "d", "e", "f"]));
    let tokenizers = Tokenizers { target: Box::new(target), draft: Box::new(draft) };
    let mut drafted = Drafted::default();
    for (token, confidence) in [(0, 0.5), (1, 0.9), (2, 0.8), (3, 0.7), (4 + 256, 0.9)] {
        drafted.push(token, confidence, 0.0, &*tokenizers.draft);
    }
    assert!(drafted.is_at_end() && drafted.len() == 4);
    let found = drafted.in_target_tokens(&[], &[], &tokenizers).unwrap();
    // "cdef" begins within "abc", which "ab" has counted.
    assert_eq!(found.iter().map(|&(token, _)| token).collect::<Vec<_>>(), [0, 1]);
    assert!((found[0].1 - 0.5).abs() < 1e-6 && (found[1].1 - 0.9 * 0.8 * 0.7).abs() < 1e-6, "{found:?}");
}

#[test]
fn tokens_that_more_text_could_change_are_not_proposed() {
    let (target, draft) = (Toy::new(&["hel", "hello", "lo", "a"]), Toy::new(&["a", "hel", "lo"]));
    let tokenizers = Tokenizers { target: Box::new(target), draft: Box::new(draft) };
    let tokens = |pieces: &[TokenId], context: &[TokenId]| -> Vec<TokenId> {
        let mut drafted = Drafted::default();
        pieces.iter().for_each(|&piece| drafted.push(piece, 0.9, 0.0, &*tokenizers.draft));
        let found = drafted.in_target_tokens(&[], context, &tokenizers).unwrap();
        found.into_iter().map(|(token, _)| token).collect()
    };
    let end = 3 + 256;
    assert_eq!(tokens(&[0, 1], &[]), [3], "hel could become hello");
    assert_eq!(tokens(&[0, 1, 0], &[]), [3, 0]);
    assert_eq!(tokens(&[0, 1, 2], &[]), [3], "hello with, hel without the last");
    assert_eq!(tokens(&[0, 1, 2, end], &[]), [3, 1], "nothing comes behind the end");
    assert_eq!(tokens(&[2, 0, 0], &[0]), [2, 3], "hel is committed and stays");
}

#[test]
fn half_a_character_waits_for_its_rest() {
    let (target, draft) = (Toy::new(&[]), Toy::new(&["é", "猫"]));
    let model = reciter(&draft, "aé猫b".repeat(3));
    let mut drafter = drafter(&target, &draft, &model);
    let mut lengths = Vec::new();
    for &byte in "aé猫".as_bytes() {
        drafter.extend(SequenceId(0), &[TokenId::from(byte)]);
        lengths.push(drafter.propose(&[DraftRequest::chain(SequenceId(0), 4)]).unwrap()[0].nodes.len());
    }
    assert_eq!(lengths, [4, 0, 4, 0, 0, 4]);
}

#[test]
fn unknown_sequences_get_no_draft_and_a_wrong_tokenizer_is_named() {
    let (target, draft) = (Toy::new(TARGET), Toy::new(DRAFT));
    let mut model = reciter(&draft, TEXT.repeat(2));
    let mut known = drafter(&target, &draft, &model);
    known.extend(SequenceId(0), &target.encode("the cat").unwrap());
    let wanted = [3, 0].map(|id| DraftRequest::chain(SequenceId(id), 3));
    let drafts = known.propose(&wanted).unwrap();
    assert!(drafts[0].nodes.is_empty() && !drafts[1].nodes.is_empty());
    model.vocabulary = 40;
    let mut wrong = drafter(&target, &draft, &model);
    wrong.extend(SequenceId(0), &target.encode("xyz").unwrap());
    let expected = "tokenizer: the draft model's tokenizer gives token 132, but that model's vocabulary has 40 tokens";
    assert_eq!(wrong.propose(&wanted).unwrap_err().to_string(), expected);
    assert!(wrong.propose(&wanted).unwrap().iter().all(|draft| draft.nodes.is_empty()));
    wrong.check().unwrap();
}

/// Reads `pieces` one after the other; returns the draft tokens and the bytes encoded in the costliest reading.
fn read_all(pieces: &[String], draft: &Toy) -> (Vec<TokenId>, usize) {
    let target = Toy::new(&[]);
    let tokenizers = Tokenizers { target: Box::new(target.clone()), draft: Box::new(draft.clone()) };
    let (mut reading, mut tokens, mut costliest) = (Reading::new(0), Vec::new(), 0);
    for piece in pieces {
        reading.push(&target.encode(piece).unwrap());
        let before = draft.encoded.load(Ordering::Relaxed);
        let splice = reading.read(&tokenizers).unwrap().unwrap();
        costliest = costliest.max(draft.encoded.load(Ordering::Relaxed) - before);
        tokens.truncate(splice.keep);
        tokens.extend(splice.tokens);
    }
    (tokens, costliest)
}

#[test]
fn a_long_text_is_not_tokenised_from_its_start_again() {
    let pieces: Vec<String> = TEXT.repeat(200).split_inclusive(' ').map(str::to_owned).collect();
    for splits_words in [true, false] {
        let draft = Toy { splits_words, ..Toy::new(DRAFT) };
        let (tokens, costliest) = read_all(&pieces, &draft);
        assert_eq!(draft.decode(&tokens), pieces.concat());
        assert!(costliest < 10_000, "{costliest} of {} bytes", pieces.concat().len());
    }
}

proptest! {
    #[test]
    fn any_text_in_any_pieces_is_read_whole(
        pieces in prop::collection::vec(prop_oneof![
            4 => prop::sample::select(vec![TEXT, "the", " cat", " sat", "at", "é", "猫", ", ", "hello wor", " "]).prop_map(str::to_owned),
            1 => "[a-c \\p{Han}🙂]{1,300}",
        ], 1..60),
        splits_words: bool,
    ) {
        let draft = Toy { splits_words, ..Toy::new(DRAFT) };
        let (tokens, _) = read_all(&pieces, &draft);
        prop_assert_eq!(draft.decode(&tokens), pieces.concat());
        if splits_words {
            prop_assert_eq!(tokens, draft.encode(&pieces.concat()).unwrap());
        }
    }
}
