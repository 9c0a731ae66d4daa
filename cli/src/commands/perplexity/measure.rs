//! Runs texts through models and gathers what is read off every prediction.

use anyhow::Result;
use rayon::prelude::*;
use veridraft_engine::evaluation::{
    Agreement, Comparison, Masking, Pass, PseudoScore, Reading, Recipe, Score, Softmax, TextPlace, Worst, force_texts,
    ngram_readings, pseudo_log_likelihoods,
};
use veridraft_engine::ngram::NgramModel;
use veridraft_models::{LanguageModel, MaskedLanguageModel, TokenId, Tokenizer, WordEncoding};

use super::report::{ComparisonReport, WorstToken};
use super::sets::TextSet;
use crate::open_model::BareModel;
use crate::progress::TokenBar;

/// Tokens before a bad one that are shown.
const CONTEXT_TOKENS: usize = 10;

/// What all sets came to.
pub(super) struct Measured {
    /// A score for each set.
    pub(super) sets: Vec<Score>,
    worst: Worst<Spot>,
    /// Of the second model, where there is one.
    other: Option<(Score, Comparison)>,
}

/// A prediction and where it stands.
struct Spot {
    set: usize,
    place: TextPlace,
    reading: Reading,
}

/// Runs every set through one model, or through two side by side.
pub(super) fn measure(models: &mut [BareModel], recipe: &Recipe, sets: &[TextSet], top: usize) -> Result<Measured> {
    let lengths = sets.iter().flat_map(|set| set.texts.iter().map(Vec::len));
    let scored = lengths.flat_map(|length| recipe.stretches(length)).map(|stretch| stretch.scored.len()).sum();
    let other = (models.len() > 1).then(Default::default);
    let mut measured = Measured { sets: Vec::new(), worst: Worst::new(top), other };
    let mut bar = TokenBar::start(scored);
    let mut models: Vec<&mut dyn LanguageModel> = models.iter_mut().map(|open| &mut *open.model as _).collect();
    for (set, TextSet { texts, .. }) in sets.iter().enumerate() {
        measured.sets.push(Score::default());
        force_texts(&mut models, recipe, texts, |places, pass| {
            measured.add(set, places, pass);
            bar.advance(places.len());
            anyhow::Ok(())
        })?;
    }
    bar.finish();
    Ok(measured)
}

/// Runs every set through an n-gram model, text by text.
pub(super) fn measure_ngram<B: AsRef<[u8]>>(model: &NgramModel<B>, sets: &[TextSet], top: usize) -> Result<Measured> {
    let mut measured = Measured { sets: Vec::new(), worst: Worst::new(top), other: None };
    let mut bar = TokenBar::start(sets.iter().map(TextSet::tokens).sum());
    for (set, TextSet { texts, .. }) in sets.iter().enumerate() {
        measured.sets.push(Score::default());
        for (text, tokens) in texts.iter().enumerate() {
            for (position, reading) in ngram_readings(model, tokens).enumerate() {
                measured.push(set, TextPlace { text, position, token: tokens[position] }, reading);
            }
            bar.advance(tokens.len());
        }
    }
    bar.finish();
    Ok(measured)
}

/// Runs every set through a masked model, with the token that stands for a mask.
pub(super) fn measure_masked(
    model: &mut dyn MaskedLanguageModel,
    words: &[Vec<WordEncoding>],
    (masking, mask): (Masking, TokenId),
    top: usize,
) -> Result<Measured> {
    let mut measured = Measured { sets: Vec::new(), worst: Worst::new(top), other: None };
    let scored = words.iter().flatten().map(|text| text.words.iter().flatten().count()).sum();
    let mut bar = TokenBar::start(scored);
    for (set, texts) in words.iter().enumerate() {
        measured.sets.push(Score::default());
        let scores = pseudo_log_likelihoods(model, texts, masking, mask, |tokens| bar.advance(tokens))?;
        for PseudoScore { text, position, token, reading } in scores {
            measured.push(set, TextPlace { text, position, token }, reading);
        }
    }
    bar.finish();
    Ok(measured)
}

impl Measured {
    /// Adds the predictions of one pass, read side by side: the threads of the model have nothing to do meanwhile. With a
    /// vocabulary of 49152 one thread takes 30 ms to read 512 predictions, beside 170 ms of a pass by two threads.
    fn add(&mut self, set: usize, places: &[TextPlace], pass: &Pass<'_>) {
        let compares = self.other.is_some();
        let read = |index: usize| {
            let token = places[index].token;
            let one = Softmax::of(pass.logits(index, 0));
            let beside = compares.then(|| {
                let other = Softmax::of(pass.logits(index, 1));
                (other.logprob(token), one.agreement(&other))
            });
            (Reading::of(&one, token), beside)
        };
        let read: Vec<(Reading, Option<(f64, Agreement)>)> = (0..places.len()).into_par_iter().map(read).collect();
        for (place, (reading, beside)) in places.iter().zip(read) {
            self.push(set, *place, reading);
            if let Some(((score, comparison), (logprob, agreement))) = self.other.as_mut().zip(beside) {
                score.push(logprob);
                comparison.push(&agreement);
            }
        }
    }

    fn push(&mut self, set: usize, place: TextPlace, reading: Reading) {
        self.sets[set].push(reading.logprob);
        self.worst.push(reading.logprob, || Spot { set, place, reading });
    }

    /// The worst predictions in words.
    pub(super) fn worst_tokens(self, sets: &[TextSet], tokenizer: &Tokenizer) -> Vec<WorstToken> {
        let describe = |Spot { set, place, reading }: Spot| {
            let TextPlace { text, position, token } = place;
            let before = &sets[set].texts[text][position.saturating_sub(CONTEXT_TOKENS)..position];
            WorstToken {
                file: sets[set].file.clone(),
                document: text,
                position,
                context: tokenizer.decode_with_special(before),
                token,
                text: tokenizer.decode_with_special(&[token]),
                logprob: reading.logprob,
                best: reading.best,
                best_text: tokenizer.decode_with_special(&[reading.best]),
                best_logprob: reading.best_logprob,
            }
        };
        self.worst.into_vec().into_iter().map(describe).collect()
    }

    /// How alike both models are, if there are two.
    pub(super) fn comparison(&mut self, models: &[BareModel]) -> Option<ComparisonReport> {
        let ([_, model], Some((score, comparison))) = (models, self.other.take()) else { return None };
        Some(ComparisonReport::new(&model.name, &model.weights, &score, &comparison.summary()))
    }
}
