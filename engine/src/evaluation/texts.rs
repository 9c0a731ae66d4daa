//! Texts through models by a recipe: what [`teacher_force`] shows of windows, told by text and position.

use veridraft_models::{LanguageModel, TokenId};

use super::{Pass, Recipe, teacher_force};
use crate::{Error, Result};

/// A token of a text that is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// The text, counted from 0 in the order given.
    pub text: usize,
    /// The position in it.
    pub position: usize,
    /// The token that stands there.
    pub token: TokenId,
}

/// Runs texts through models and shows every token that the recipe scores once, with the place of the same index in the
/// pass. Windows, of one text or several, share passes.
///
/// Overwrites the models' caches from block 0 on: no engine may use them.
///
/// # Errors
/// What the recipe's parameters, `visit` or [`teacher_force`] refuse.
///
/// # Panics
/// When there is no model.
pub fn force_texts<E: From<Error>>(
    models: &mut [&mut dyn LanguageModel],
    recipe: &Recipe,
    texts: &[Vec<TokenId>],
    mut visit: impl FnMut(&[TextPlace], &Pass<'_>) -> Result<(), E>,
) -> Result<(), E> {
    recipe.check().map_err(Error::from)?;
    let stretches: Vec<_> = texts
        .iter()
        .enumerate()
        .flat_map(|(text, tokens)| recipe.stretches(tokens.len()).into_iter().map(move |stretch| (text, stretch)))
        .collect();
    let windows = stretches.iter().map(|(text, stretch)| stretch.window(&texts[*text]));
    let mut places = Vec::new();
    teacher_force(models, windows, |pass| {
        places.clear();
        places.extend(pass.places().iter().map(|place| {
            let (text, stretch) = &stretches[place.window];
            TextPlace { text: *text, position: stretch.text_position(place.position), token: place.token }
        }));
        visit(&places, pass)
    })
}
