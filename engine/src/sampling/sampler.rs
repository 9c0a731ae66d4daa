//! Draws one sequence's tokens.

use std::borrow::Cow;
use std::mem;

use veridraft_models::TokenId;

use super::logits::{greatest, lowest_at};
use super::noise::{NoiseKey, Stream};
use super::processors::{Candidate, CutOffs};
use super::race::{Race, Scale};
use super::{History, SamplingConfig};
use crate::InvalidSetting;

/// The sampler of one sequence. It holds settings and scratch space but no state: a token depends on the arguments
/// of [`sample`](Self::sample) and the settings alone.
#[derive(Clone, Debug)]
pub struct Sampler {
    config: SamplingConfig,
    cut_offs: CutOffs,
    penalised: Vec<f32>,
}

impl Sampler {
    /// A sampler with checked settings.
    pub fn new(config: SamplingConfig) -> Result<Self, InvalidSetting> {
        config.check()?;
        Ok(Self { config, cut_offs: CutOffs::default(), penalised: Vec::new() })
    }

    /// The settings.
    pub fn config(&self) -> &SamplingConfig {
        &self.config
    }

    /// The token at absolute `position`, given the target's `logits`, `[vocabulary]`, for it.
    ///
    /// `history` holds the tokens before `position`. A logit of NaN counts as minus infinity, plus infinity as certain;
    /// where no logit is above minus infinity, the lowest token is taken.
    pub fn sample(&mut self, logits: &[f32], history: &History, position: u32) -> TokenId {
        self.sample_in(Stream::Target, logits, history, position)
    }

    /// [`sample`](Self::sample) with the noise of another stream: an independent draw from the same distribution.
    pub fn sample_in(&mut self, stream: Stream, logits: &[f32], history: &History, position: u32) -> TokenId {
        let SamplingConfig { seed, sample_index, .. } = self.config;
        self.sample_with(NoiseKey::new(seed, sample_index, position, stream), logits, history)
    }

    /// [`sample`](Self::sample) with this noise.
    pub fn sample_with(&mut self, key: NoiseKey, logits: &[f32], history: &History) -> TokenId {
        self.penalised(logits, history, |sampler, logits| sampler.choose(logits, key))
    }

    /// Gives `use_logits` the logits after penalties.
    pub(super) fn penalised<T>(
        &mut self,
        logits: &[f32],
        history: &History,
        use_logits: impl FnOnce(&mut Self, &[f32]) -> T,
    ) -> T {
        if history.is_empty() {
            return use_logits(self, logits);
        }
        let mut penalised = mem::take(&mut self.penalised);
        penalised.clear();
        penalised.extend_from_slice(logits);
        history.penalise(&mut penalised);
        let used = use_logits(self, &penalised);
        self.penalised = penalised;
        used
    }

    /// What penalised `logits` leave open.
    pub(super) fn outcome<'logits>(&self, logits: &'logits [f32]) -> Outcome<'logits> {
        let greatest = greatest(logits);
        if greatest == f32::NEG_INFINITY {
            return Outcome::Certain(0);
        }
        let top = lowest_at(logits, greatest);
        if self.config.is_greedy() {
            return Outcome::Certain(top);
        }
        let temperature = self.config.temperature;
        if greatest == f32::INFINITY {
            // The limit of ever greater logits: those at infinity share all probability.
            let certain = |&logit: &f32| if logit == f32::INFINITY { 0.0 } else { f32::NEG_INFINITY };
            let limit: Vec<f32> = logits.iter().map(certain).collect();
            return Outcome::Open { logits: limit.into(), scale: Scale { greatest: 0.0, temperature }, top };
        }
        Outcome::Open { logits: logits.into(), scale: Scale { greatest, temperature }, top }
    }

    /// The tokens that the cut-offs leave of an open outcome; `None` when there are no cut-offs.
    pub(super) fn kept(&mut self, logits: &[f32], scale: Scale) -> Option<&[Candidate]> {
        self.config.has_cut_offs().then(|| self.cut_offs.keep(logits, scale, &self.config))
    }

    fn choose(&mut self, logits: &[f32], key: NoiseKey) -> TokenId {
        let (logits, scale, top) = match self.outcome(logits) {
            Outcome::Certain(token) => return token,
            Outcome::Open { logits, scale, top } => (logits, scale, top),
        };
        let mut race = Race::new(key, scale, top);
        match self.kept(&logits, scale) {
            Some(kept) => kept.iter().for_each(|candidate| race.run(candidate.token(), candidate.logit())),
            None => race.run_all(&logits),
        }
        race.winner()
    }
}

/// What the logits of a position leave open.
pub(super) enum Outcome<'logits> {
    /// Nothing.
    Certain(TokenId),
    /// A race between the tokens that the cut-offs keep.
    Open {
        /// `[vocabulary]`, none of them plus infinity.
        logits: Cow<'logits, [f32]>,
        scale: Scale,
        /// The lowest token with the greatest logit.
        top: TokenId,
    },
}

#[cfg(test)]
mod tests;
