//! The rotary settings in a GGUF file's metadata.

use super::super::{RopeScaling, yarn_attention_factor};
use super::Reader;
use crate::Result;
use crate::checkpoint::gguf::{LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS};

impl Reader<'_> {
    /// Phi-3 and GPT-NeoX turn a part of each head, GPT-2 nothing.
    pub(super) fn rotary_dim(&self, head_dim: usize) -> Result<usize> {
        if self.architecture == "gpt2" {
            return Ok(0);
        }
        let name = "rope.dimension_count";
        let found = self.count(name)?.unwrap_or(head_dim);
        if found == 0 {
            return Err(self.wrong(name, found, "at least 2"));
        }
        if found != head_dim && !["phi3", "gptneox"].contains(&self.architecture) {
            return Err(self.wrong(name, found, &format!("the head size {head_dim}")));
        }
        Ok(found)
    }

    /// Tokens of a context; where frequencies differ by its length, those of a short one.
    pub(super) fn context_length(&self) -> Result<usize> {
        let whole = self.required("context_length")?;
        let long = self.file.tensor_f32(LONG_FACTORS);
        if long.is_none() || long == self.file.tensor_f32(SHORT_FACTORS) {
            return Ok(whole);
        }
        Ok(self.required("rope.scaling.original_context_length")?.min(whole))
    }

    /// Gemma 3's layers with a window have this base unless the file has another.
    pub(super) fn local_rope_theta(&self) -> Result<Option<f64>> {
        if self.architecture != "gemma3" {
            return Ok(None);
        }
        Ok(Some(self.number("rope.freq_base_swa")?.unwrap_or(10_000.0)))
    }

    pub(super) fn rope_scaling(&self) -> Result<RopeScaling> {
        let scaling = match self.file.text(&self.key("rope.scaling.type"))? {
            None | Some("none") => self.scaling_without_type()?,
            Some("longrope") if self.has_tensor(SHORT_FACTORS) => RopeScaling::None,
            Some("linear") => RopeScaling::Linear { factor: self.required_number("rope.scaling.factor")? },
            Some("yarn") => self.yarn()?,
            Some(other) => return Err(self.wrong("rope.scaling.type", other, "one of none, linear, yarn")),
        };
        match (self.factors()?, scaling) {
            (None, scaling) => Ok(scaling),
            (Some((_, factors)), RopeScaling::None) => Ok(factors),
            (Some((name, _)), _) => {
                let key = self.key("rope.scaling.type");
                Err(self.file.error(format!("has both `{name}` and `{key}`, expected at most one")))
            }
        }
    }

    /// The scaling by a tensor of factors, and the tensor's name.
    fn factors(&self) -> Result<Option<(&'static str, RopeScaling)>> {
        let [plain, short, long] = [ROPE_FACTORS, SHORT_FACTORS, LONG_FACTORS].map(|name| self.has_tensor(name));
        let (name, attention_factor) = match (plain, short, long) {
            (true, true, _) => {
                let reason = format!("has both `{SHORT_FACTORS}` and `{ROPE_FACTORS}`, expected at most one");
                return Err(self.file.error(reason));
            }
            (_, false, true) => {
                let reason = format!("has tensor `{LONG_FACTORS}`, expected `{SHORT_FACTORS}` as well");
                return Err(self.file.error(reason));
            }
            (false, true, _) => (SHORT_FACTORS, self.number("rope.scaling.attn_factor")?.unwrap_or(1.0)),
            (_, false, false) => (ROPE_FACTORS, 1.0),
        };
        let factors = self.file.tensor_f32(name);
        Ok(factors.map(|factors| (name, RopeScaling::Factors { factors, attention_factor })))
    }

    /// Files from before `rope.scaling.type` have a factor alone.
    fn scaling_without_type(&self) -> Result<RopeScaling> {
        let factor = self.number("rope.scale_linear")?.filter(|&factor| factor != 1.0);
        Ok(factor.map_or(RopeScaling::None, |factor| RopeScaling::Linear { factor }))
    }

    fn yarn(&self) -> Result<RopeScaling> {
        for name in ["rope.scaling.yarn_log_multiplier", "rope.scaling.yarn_ext_factor"] {
            if self.file.has(&self.key(name)) {
                return Err(self.file.error(format!("`{}` is not supported", self.key(name))));
            }
        }
        let factor = self.required_number("rope.scaling.factor")?;
        let given_factor = match self.number("rope.scaling.yarn_attn_factor")? {
            Some(given) => given,
            None => self.number("rope.scaling.attn_factor")?.unwrap_or(1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            attention_factor: given_factor * yarn_attention_factor(factor),
            beta_fast: self.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: self.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            original_context: self.required_number("rope.scaling.original_context_length")?,
            truncate: true,
        })
    }
}
