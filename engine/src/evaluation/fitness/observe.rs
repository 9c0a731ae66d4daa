//! Target and draft models side by side over the texts: what each guess is worth, and whether it stands.

use veridraft_models::{LanguageModel, TokenId};

use super::steps::{Guessed, GuessedText};
use crate::evaluation::{Softmax, Window, teacher_force};
use crate::sampling::{History, Sampler};
use crate::{Result, SamplingConfig};

/// What is proposed before each scored token of a text, possibly nothing.
pub type TextGuesses = Vec<Vec<TokenId>>;

/// One way to draft.
#[derive(Clone, Debug, Default)]
pub struct Contender {
    /// What its drafters that guess from text propose, for each text; none where it has no such drafter.
    pub guesses: Vec<TextGuesses>,
    /// Which of the draft models it asks where they propose nothing.
    pub model: Option<usize>,
}

/// How one way to draft does on the texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fitness {
    /// The texts with its guesses.
    pub texts: Vec<GuessedText>,
    /// Scored tokens.
    pub tokens: usize,
    /// Those before which it has a guess. The means below are over the first guesses of these.
    pub guessed: usize,
    /// Mean of Σ min(p, q): how often optimal verification, such as rejection sampling, accepts a token of q. Both are
    /// what the settings sample from, or at temperature 0 the models' own distributions (temperature 1, nothing cut off).
    /// A guess from text has q = 1, so this is p(guess).
    pub overlap: f64,
    /// How often the drafter's likeliest token is the target's.
    pub same_best: f64,
    /// How often a first guess is accepted by coupled verification. Above temperature 0, for a guess from text, the
    /// mean of p(guess), which is the probability of that.
    pub accepted: f64,
}

/// Runs `texts` through `models`, the target first and draft models behind it, and says how each contender does with drafts
/// of up to `draft_length` tokens, for which its guesses were made.
///
/// Draft models have the target's tokens, but may have more logits, which are padding and never proposed, or fewer: those
/// that they lack they never propose.
///
/// Overwrites the models' caches, see [`teacher_force`].
///
/// # Errors
/// Settings out of range, and those of [`teacher_force`].
///
/// # Panics
/// When there is no target, when a contender's guesses are not one for each scored token, or its model is not there.
pub fn observe(
    models: &mut [&mut dyn LanguageModel],
    texts: &[Window],
    contenders: &[Contender],
    sampling: &SamplingConfig,
    draft_length: usize,
) -> Result<Vec<Fitness>> {
    let mut observer = Observer::new(texts, contenders, models.len() - 1, sampling)?;
    teacher_force(models, texts.iter().cloned(), |pass| {
        for (index, place) in pass.places().iter().enumerate() {
            let drafts: Vec<_> = (1..=observer.model_count).map(|model| pass.logits(index, model)).collect();
            observer.see(place.window, place.position, pass.logits(index, 0), &drafts);
        }
        Ok::<(), crate::Error>(())
    })?;
    Ok((0..contenders.len()).map(|contender| observer.fitness(contender, draft_length)).collect())
}

/// What is known of one scored token.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The token that the target gives.
    choice: TokenId,
    /// The likeliest token.
    best: TokenId,
    /// One a draft model.
    models: Vec<Guess>,
    /// p(first guess from text), one a contender.
    probabilities: Vec<f64>,
}

/// A draft model's next token.
#[derive(Clone, Copy, Debug)]
struct Guess {
    stands: bool,
    same_best: bool,
    overlap: f64,
}

struct Observer<'a> {
    texts: &'a [Window],
    contenders: &'a [Contender],
    model_count: usize,
    sampler: Sampler,
    histories: Vec<History>,
    /// For each text its scored tokens, in order.
    seen: Vec<Vec<Seen>>,
    /// Scratch space.
    padded: Vec<f32>,
    distributions: [Vec<f32>; 2],
}

impl<'a> Observer<'a> {
    fn new(
        texts: &'a [Window],
        contenders: &'a [Contender],
        model_count: usize,
        sampling: &SamplingConfig,
    ) -> Result<Self> {
        for contender in contenders {
            assert!(contender.model.is_none_or(|model| model < model_count), "a contender's model is there");
            for (text, guesses) in texts.iter().zip(&contender.guesses) {
                assert_eq!(guesses.len(), text.scored.len(), "guesses for every scored token");
            }
        }
        let history = |text: &Window| {
            let mut history = History::new(sampling);
            history.extend_prompt(&text.tokens[..text.scored.start]);
            history
        };
        Ok(Self {
            texts,
            contenders,
            model_count,
            sampler: Sampler::new(sampling.clone())?,
            histories: texts.iter().map(history).collect(),
            seen: vec![Vec::new(); texts.len()],
            padded: Vec::new(),
            distributions: [Vec::new(), Vec::new()],
        })
    }

    /// Whether the logits alone decide.
    fn is_greedy(&self) -> bool {
        self.sampler.config().is_greedy()
    }

    /// Takes the next token of a text with what the target, `[vocabulary]`, and each draft model say about it.
    fn see(&mut self, text: usize, position: usize, target: &[f32], drafts: &[&[f32]]) {
        let softmax = Softmax::of(target);
        let choice = self.sample(text, position, target);
        let models = drafts.iter().map(|draft| self.compare((text, position), (&softmax, target, choice), draft));
        let models = models.collect();
        let place = position - self.texts[text].scored.start;
        let contenders = self.contenders;
        let probability = |contender: &Contender| match contender.first(text, place) {
            None => 0.0,
            Some(guess) if self.is_greedy() => softmax.logprob(guess).exp(),
            Some(guess) => f64::from(self.sampler.probabilities(target, &self.histories[text], &[guess])[0]),
        };
        let probabilities = contenders.iter().map(probability).collect();
        self.histories[text].push_output(self.texts[text].tokens[position]);
        self.seen[text].push(Seen { choice, best: softmax.best(), models, probabilities });
    }

    fn compare(
        &mut self,
        (text, position): (usize, usize),
        (softmax, target, choice): (&Softmax, &[f32], TokenId),
        draft: &[f32],
    ) -> Guess {
        let mut padded = std::mem::take(&mut self.padded);
        padded.clear();
        padded.extend_from_slice(&draft[..draft.len().min(target.len())]);
        padded.resize(target.len(), f32::NEG_INFINITY);
        let stands = self.sample(text, position, &padded) == choice;
        let agreement = softmax.agreement(&Softmax::of(&padded));
        let overlap = if self.is_greedy() { agreement.acceptance } else { self.overlap(text, target, &padded) };
        self.padded = padded;
        Guess { stands, same_best: agreement.same_best, overlap }
    }

    /// Σ min(p, q) of what is sampled from.
    fn overlap(&mut self, text: usize, target: &[f32], draft: &[f32]) -> f64 {
        let [p, q] = &mut self.distributions;
        self.sampler.distribution(target, &self.histories[text], p);
        self.sampler.distribution(draft, &self.histories[text], q);
        p.iter().zip(q).map(|(p, q)| f64::from(p.min(*q))).sum()
    }

    fn sample(&mut self, text: usize, position: usize, logits: &[f32]) -> TokenId {
        let position = u32::try_from(position).expect("a context has fewer than 2^32 tokens");
        self.sampler.sample(logits, &self.histories[text], position)
    }

    fn fitness(&self, contender: usize, draft_length: usize) -> Fitness {
        let named = &self.contenders[contender];
        let mut fitness = Fitness { tokens: self.seen.iter().map(Vec::len).sum(), ..Fitness::default() };
        for (text, seen) in self.seen.iter().enumerate() {
            let mut guesses = Vec::with_capacity(seen.len());
            for (place, at) in seen.iter().enumerate() {
                guesses.push(self.guessed(named, text, place, draft_length));
                if let Some(first) = named.first(text, place) {
                    let probability = at.probabilities[contender];
                    let stands = f64::from(u8::from(first == at.choice));
                    fitness.add(if self.is_greedy() { stands } else { probability }, first == at.best, probability);
                } else if let Some(model) = named.model {
                    let Guess { stands, same_best, overlap } = at.models[model];
                    fitness.add(f64::from(u8::from(stands)), same_best, overlap);
                }
            }
            fitness.texts.push(GuessedText { context: self.texts[text].scored.start, guesses });
        }
        fitness.into_means()
    }

    /// What a step that begins at a scored token would do.
    fn guessed(&self, contender: &Contender, text: usize, place: usize, draft_length: usize) -> Guessed {
        let seen = &self.seen[text][place..];
        let from_text = contender.at(text, place);
        if !from_text.is_empty() {
            let tokens = &self.texts[text].tokens[self.texts[text].scored.start + place..];
            return Guessed {
                proposed: from_text.len(),
                accepted: self.standing(from_text, tokens, seen),
                is_of_model: false,
            };
        }
        let Some(model) = contender.model else { return Guessed::default() };
        let accepted = seen.iter().take(draft_length).take_while(|seen| seen.models[model].stands).count();
        Guessed { proposed: draft_length, accepted, is_of_model: true }
    }

    /// How many guesses from text stand; `mod.rs` says why.
    fn standing(&self, guesses: &[TokenId], tokens: &[TokenId], seen: &[Seen]) -> usize {
        let on_text = guesses.iter().zip(tokens).take_while(|(guess, token)| guess == token).count();
        if !self.is_greedy() {
            return on_text;
        }
        let agreed = guesses.iter().zip(seen).take_while(|(guess, seen)| **guess == seen.choice).count();
        agreed.min(on_text + 1)
    }
}

impl Contender {
    fn at(&self, text: usize, place: usize) -> &[TokenId] {
        self.guesses.get(text).map_or(&[], |guesses| &guesses[place])
    }

    fn first(&self, text: usize, place: usize) -> Option<TokenId> {
        self.at(text, place).first().copied()
    }
}

impl Fitness {
    /// Adds a first guess to what are sums until [`into_means`](Self::into_means).
    fn add(&mut self, accepted: f64, same_best: bool, overlap: f64) {
        self.guessed += 1;
        self.accepted += accepted;
        self.same_best += f64::from(u8::from(same_best));
        self.overlap += overlap;
    }

    fn into_means(mut self) -> Self {
        let count = self.guessed.max(1) as f64;
        for sum in [&mut self.accepted, &mut self.same_best, &mut self.overlap] {
            *sum /= count;
        }
        self
    }
}
