//! Draws one sequence's tokens.

use std::mem;

use veridraft_models::TokenId;

use super::logits::{greatest, lowest_at};
use super::noise::{NoiseKey, Stream};
use super::processors::CutOffs;
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
        if history.is_empty() {
            return self.choose(logits, position);
        }
        let mut penalised = mem::take(&mut self.penalised);
        penalised.clear();
        penalised.extend_from_slice(logits);
        history.penalise(&mut penalised);
        let token = self.choose(&penalised, position);
        self.penalised = penalised;
        token
    }

    fn choose(&mut self, logits: &[f32], position: u32) -> TokenId {
        let greatest = greatest(logits);
        if greatest == f32::NEG_INFINITY {
            return 0;
        }
        let top = lowest_at(logits, greatest);
        if self.config.temperature == 0.0 || self.config.top_k == 1 {
            return top;
        }
        if greatest == f32::INFINITY {
            // The limit of ever greater logits: those at infinity share all probability.
            let certain = |&logit: &f32| if logit == f32::INFINITY { 0.0 } else { f32::NEG_INFINITY };
            let limit: Vec<f32> = logits.iter().map(certain).collect();
            return self.draw(&limit, 0.0, top, position);
        }
        self.draw(logits, greatest, top, position)
    }

    fn draw(&mut self, logits: &[f32], greatest: f32, top: TokenId, position: u32) -> TokenId {
        let SamplingConfig { seed, sample_index, temperature, .. } = self.config;
        let scale = Scale { greatest, temperature };
        let mut race = Race::new(NoiseKey::new(seed, sample_index, position, Stream::Target), scale, top);
        if self.config.has_cut_offs() {
            for candidate in self.cut_offs.keep(logits, scale, &self.config) {
                race.run(candidate.token(), candidate.logit());
            }
        } else {
            race.run_all(logits);
        }
        race.winner()
    }
}

#[cfg(test)]
mod tests;
