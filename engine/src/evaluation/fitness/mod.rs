//! How well drafters fit a target on given texts, before any of them is deployed: nothing is generated.
//!
//! Drafters that guess from text are asked at every position of it, as an engine would at the start of a step
//! ([`guess_along`]); draft models run beside the target, so that both predict every token from the same text
//! ([`observe`]). What that gives for each position is how many guesses a step beginning there would have and how many
//! of them stand. Steps are then walked over the texts at each draft length ([`GuessedText::steps`]): the mean number of
//! tokens a step and, with what passes cost, the speed-up.
//!
//! **Which guesses stand** is said for coupled verification, the engine's own:
//!
//! - A draft model's guess stands when both models' logits give the same token, by the same settings and the same noise of
//!   the position; at temperature 0 both take their best token. Guesses on the way to the next stand on the text.
//! - A guess from text stands, at temperature 0, when it is the target's best token; where that is not the text's token,
//!   what would follow it is not known, and the draft ends there. Above 0 the text is taken for what the target drew: a
//!   guess stands when it is the text's token.
//!
//! **On what text?** Where the target wrote it itself with the same settings, all of this is exact: steps are those of
//! an engine with this draft length. Other text gives an estimate, as good as that text is like the target's: models
//! predict less alike on text that neither would have written, and text that repeats itself more or less than the
//! target does misleads about drafters that copy.
//!
//! **Why steps are walked** instead of averaging over positions: a step that goes well passes over positions from which
//! the next would go well too. Where long runs that are right alternate with long runs that are not, the mean over
//! positions is a multiple of what an engine reaches.

mod guesses;
mod observe;
mod steps;

pub use guesses::guess_along;
pub use observe::{Contender, Fitness, TextGuesses, observe};
pub use steps::{AtPosition, Guessed, GuessedStep, GuessedText, at_positions, mean_acceptance_length, speed_up};
