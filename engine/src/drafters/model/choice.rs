//! How one sequence's drafted tokens are chosen from the draft model's logits.
//!
//! - Coupled (and typical) verification: the token that the target would get from these logits, by the same sampler and
//!   the same noise, so that equal logits give equal tokens (Daliri, Musco, Suresh 2024). Alternatives are the
//!   runners-up of that race: what would win, were the ones before left out.
//! - Rejection verification: a token drawn with noise of its own, and the distribution with it. Alternatives are the
//!   likeliest other tokens; they are chosen, not drawn.
//!
//! Why is a drawn token's confidence not its own probability? Drafting stops at low confidences, and a drawn token that
//! is dropped because it is an unlikely one would no longer follow the distribution returned with its likelier fellows:
//! rejection verification would be biased towards those. So its confidence is the greatest probability, which does not
//! depend on the draw.
//!
//! Nor may noise be drawn from twice. Which alternatives of a level find room depends on the levels behind it, and with
//! them whether a step ends there and the position behind is drawn for again. If it drew from the same noise,
//! then noise for which steps end early would come more often than it should.

use std::sync::Arc;

use veridraft_models::TokenId;

use crate::sampling::{History, NoiseKey, Sampler, SamplingConfig, Stream};
use crate::{InvalidSetting, Request, Verification};

/// Chooses the tokens of one sequence.
#[derive(Clone, Debug)]
pub(super) struct Chooser {
    /// The request's own.
    sampler: Sampler,
    /// Takes the likeliest token.
    greedy: Sampler,
    /// Whose probabilities are the confidences: the request's distribution, at temperature 1 where that is certain.
    confidence: Sampler,
    method: Method,
}

/// Which draw a token is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The token's absolute position.
    pub(super) position: u32,
    /// Committed tokens when it was drafted.
    pub(super) committed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Coupled,
    Drawn,
}

/// What is proposed behind one token.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) token: TokenId,
    pub(super) confidence: f32,
    /// Only for tokens that were drawn.
    pub(super) drawn_from: Option<Arc<[f32]>>,
    /// Other tokens and their confidences.
    pub(super) alternatives: Vec<(TokenId, f32)>,
}

impl Chooser {
    pub(super) fn new(request: &Request) -> Result<Self, InvalidSetting> {
        let config = &request.sampling;
        let is_greedy = config.is_greedy();
        let greedy = SamplingConfig { temperature: 0.0, ..config.clone() };
        let soft = SamplingConfig { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..config.clone() };
        let is_drawn = request.verification == Verification::Rejection && !is_greedy;
        Ok(Self {
            sampler: Sampler::new(config.clone())?,
            greedy: Sampler::new(greedy)?,
            confidence: Sampler::new(if is_greedy { soft } else { config.clone() })?,
            method: if is_drawn { Method::Drawn } else { Method::Coupled },
        })
    }

    /// Chooses a token for `place` and up to `alternatives` others.
    ///
    /// `logits`: the draft model's, cut to the target's vocabulary. `vocabulary`: columns of the distribution returned,
    /// 0 where the draft model has no logit.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        history: &History,
        place: Place,
        alternatives: usize,
        vocabulary: usize,
    ) -> Choice {
        let position = place.position;
        let token = match self.method {
            Method::Coupled => self.sampler.sample(logits, history, position),
            Method::Drawn => self.draw(logits, history, place),
        };
        let decisive = match self.method {
            Method::Coupled => token,
            Method::Drawn => self.greedy.sample(logits, history, position),
        };
        let drawn_from = (self.method == Method::Drawn).then(|| self.distribution(logits, history, vocabulary));
        let mut tokens = vec![decisive];
        tokens.extend(self.alternatives(logits, history, position, (token, alternatives)));
        let mut confidences = self.confidence.probabilities(logits, history, &tokens).into_iter();
        let confidence = confidences.next().expect("a confidence for each token");
        let alternatives = tokens.into_iter().skip(1).zip(confidences).filter(|&(_, sure)| sure > 0.0).collect();
        Choice { token, confidence, drawn_from, alternatives }
    }

    fn draw(&mut self, logits: &[f32], history: &History, Place { position, committed }: Place) -> TokenId {
        let SamplingConfig { seed, sample_index, .. } = *self.sampler.config();
        let key = NoiseKey::new(seed, sample_index, position, Stream::Draft).behind(committed);
        self.sampler.sample_with(key, logits, history)
    }

    fn distribution(&mut self, logits: &[f32], history: &History, vocabulary: usize) -> Arc<[f32]> {
        let mut out = Vec::with_capacity(vocabulary);
        self.sampler.distribution(logits, history, &mut out);
        out.resize(vocabulary, 0.0);
        out.into()
    }

    /// The next tokens when those before them are impossible, beginning behind `first`.
    fn alternatives(
        &mut self,
        logits: &[f32],
        history: &History,
        position: u32,
        (first, count): (TokenId, usize),
    ) -> Vec<TokenId> {
        let mut tokens = vec![first];
        if count == 0 {
            return Vec::new();
        }
        let ranking = match self.method {
            Method::Coupled => &mut self.sampler,
            Method::Drawn => &mut self.greedy,
        };
        let mut left = logits.to_vec();
        for _ in 0..count.min(logits.len().saturating_sub(1)) {
            let last = *tokens.last().expect("the first is there");
            left[last as usize] = f32::NEG_INFINITY;
            let next = ranking.sample(&left, history, position);
            if tokens.contains(&next) {
                // No other token is possible.
                break;
            }
            tokens.push(next);
        }
        tokens.split_off(1)
    }
}
