//! The rotary embedding's table of cosines and sines (Su et al. 2021, RoFormer).
//!
//! The angles follow the Hugging Face implementation to the bit where it matters: the frequency and the product of
//! frequency and position are rounded to f32. At position 8000 the rounding of the product alone moves an angle by
//! 2e-4, so a table from exact angles would be better mathematics and another model.

use std::f64::consts::PI;

use super::{DecoderConfig, RopeScaling};

/// The table, `[context_length, rotary_dim]`: cosines of the angles in the first half of a row, sines in the second.
pub fn rotary_table(config: &DecoderConfig) -> Vec<f32> {
    let attention_factor = match config.rope_scaling {
        RopeScaling::Yarn { attention_factor, .. } | RopeScaling::Factors { attention_factor, .. } => attention_factor,
        _ => 1.0,
    };
    let rotation = Rotation { theta: config.rope_theta, dim: config.rotary_dim, scaling: &config.rope_scaling };
    table(&rotation.frequencies(), config.context_length, attention_factor as f32)
}

/// The table of layers with a window, whose base is `theta`; their frequencies are not scaled.
pub fn local_rotary_table(config: &DecoderConfig, theta: f64) -> Vec<f32> {
    let rotation = Rotation { theta, dim: config.rotary_dim, scaling: &RopeScaling::None };
    table(&rotation.frequencies(), config.context_length, 1.0)
}

fn table(frequencies: &[f32], positions: usize, attention_factor: f32) -> Vec<f32> {
    let mut table = Vec::with_capacity(positions * 2 * frequencies.len());
    for position in 0..positions {
        let angles = || frequencies.iter().map(|frequency| f64::from(frequency * position as f32));
        table.extend(angles().map(|angle| angle.cos() as f32 * attention_factor));
        table.extend(angles().map(|angle| angle.sin() as f32 * attention_factor));
    }
    table
}

/// What frequencies follow from.
struct Rotation<'a> {
    theta: f64,
    dim: usize,
    scaling: &'a RopeScaling,
}

impl Rotation<'_> {
    /// Radians per position, `[dim / 2]`.
    fn frequencies(&self) -> Vec<f32> {
        let plain: Vec<f32> = self.wavelengths().map(|wavelength| 1.0 / wavelength).collect();
        match self.scaling {
            RopeScaling::None => plain,
            RopeScaling::Linear { factor } => plain.iter().map(|frequency| frequency / *factor as f32).collect(),
            RopeScaling::Llama3 { .. } => plain.iter().map(|&frequency| llama3(frequency, self.scaling)).collect(),
            RopeScaling::Yarn { .. } => yarn(self),
            RopeScaling::Factors { factors, .. } => {
                plain.iter().zip(factors).map(|(plain, factor)| plain / factor).collect()
            }
        }
    }

    /// `theta^(2i / dim)`, rounded once from f64.
    fn wavelengths(&self) -> impl Iterator<Item = f32> {
        let (theta, dim) = (self.theta as f32, self.dim as f32);
        (0..self.dim / 2).map(move |index| {
            let exponent = (2 * index) as f32 / dim;
            f64::from(theta).powf(f64::from(exponent)) as f32
        })
    }
}

/// Llama 3.1: a frequency whose wavelength is long against the original context is divided, a short one kept.
fn llama3(frequency: f32, scaling: &RopeScaling) -> f32 {
    let RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } = *scaling else {
        unreachable!("called for this scaling alone")
    };
    let wavelength = (2.0 * PI) as f32 / frequency;
    if wavelength < (original_context / high_freq_factor) as f32 {
        return frequency;
    }
    if wavelength > (original_context / low_freq_factor) as f32 {
        return frequency / factor as f32;
    }
    let rotations = original_context as f32 / wavelength;
    let smooth = (rotations - low_freq_factor as f32) / (high_freq_factor - low_freq_factor) as f32;
    (1.0 - smooth) * frequency / factor as f32 + smooth * frequency
}

/// YaRN: from the dimension that turns `beta_fast` times within the original context to the one that turns
/// `beta_slow` times, a ramp leads from kept to divided frequencies.
fn yarn(rotation: &Rotation) -> Vec<f32> {
    let RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, truncate, .. } = *rotation.scaling else {
        unreachable!("called for this scaling alone")
    };
    let dim = rotation.dim as f64;
    let dimension =
        |rotations: f64| dim * (original_context / (rotations * 2.0 * PI)).ln() / (2.0 * rotation.theta.ln());
    let (low, high) = (dimension(beta_fast), dimension(beta_slow));
    let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
    let (low, high) = (low.max(0.0), high.min(dim - 1.0));
    // A ramp of no length would divide by zero.
    let length = if low == high { 0.001 } else { high - low };
    let ramp = |index: usize| ((index as f32 - low as f32) / length as f32).clamp(0.0, 1.0);
    rotation
        .wavelengths()
        .enumerate()
        .map(|(index, wavelength)| {
            let kept = 1.0 - ramp(index);
            1.0 / (factor as f32 * wavelength) * (1.0 - kept) + 1.0 / wavelength * kept
        })
        .collect()
}

#[cfg(test)]
mod tests;
