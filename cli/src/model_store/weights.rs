//! `--weights`: the format in which a checkpoint's weights are exported.

use std::str::FromStr;

use veridraft_export::Weights;

use crate::usage::UsageError;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WeightsChoice {
    /// The best that this version has for this machine.
    #[default]
    Auto,
    /// These and no others.
    Only(Weights),
}

impl WeightsChoice {
    /// The weights to export or to open.
    pub(crate) fn resolve(self) -> Weights {
        match self {
            Self::Auto => Weights::F32,
            Self::Only(weights) => weights,
        }
    }
}

impl FromStr for WeightsChoice {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        match text {
            "auto" => Ok(Self::Auto),
            "q8" | "q4" => {
                Err(UsageError::new(format!("weights `{text}` are not built yet; there are `auto` and `f32`")))
            }
            other => other
                .parse()
                .map(Self::Only)
                .map_err(|_| UsageError::new(format!("no weights `{other}`; there are `auto` and `f32`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_auto_or_the_name_of_weights() {
        let auto: WeightsChoice = "auto".parse().expect("a choice");
        assert_eq!(auto.resolve().name().parse::<WeightsChoice>().ok(), Some(WeightsChoice::Only(Weights::F32)));
        for missing in ["q8", "q4", "f16", ""] {
            let message = missing.parse::<WeightsChoice>().expect_err("not there").to_string();
            assert!(message.contains("there are `auto` and `f32`"), "{message}");
        }
    }
}
