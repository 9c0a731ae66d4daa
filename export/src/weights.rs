//! `--weights`: in which format weights are exported.

use std::fmt;
use std::str::FromStr;

/// Formats that weights can be exported in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Weights {
    /// The checkpoint's own: its codes and scales where it is quantised, 32-bit floats where it has floats.
    #[default]
    Auto,
    /// 32-bit floats: what the checkpoint has, widened.
    F32,
    /// 8-bit codes. Tensors that have other codes, or floats, are rounded.
    Q8,
    /// 4-bit codes. Tensors that have other codes, or floats, are rounded.
    Q4,
}

impl Weights {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::Auto, Self::F32, Self::Q8, Self::Q4];

    /// The name on the command line and in the cache.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Q8 => "q8",
            Self::Q4 => "q4",
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Weights {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|weights| weights.name() == name);
        found.ok_or_else(|| format!("weights `{name}`, expected one of {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused() {
        for weights in Weights::ALL {
            assert_eq!(weights.to_string().parse(), Ok(weights));
        }
        let expected = "weights `f16`, expected one of auto, f32, q8, q4";
        assert_eq!("f16".parse::<Weights>(), Err(expected.to_owned()));
    }

    #[test]
    fn auto_is_the_default() {
        assert_eq!(Weights::default(), Weights::Auto);
    }
}
