//! Log-likelihoods of texts that come one after the other: each is answered as soon as it and those before it are done.
//!
//! A text is one window or several, as it may be longer than a context. [`teacher_force`] takes windows when it has room
//! for them, and texts are asked for no sooner, so only those under way are held. A text's sum runs in the order of its
//! tokens: for a row-exact model it has the same bits in any company.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::iter;

use veridraft_models::{LanguageModel, TokenId};

use super::{Pass, Softmax, Window, teacher_force};
use crate::Error;

/// What a model makes of the predicted tokens of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Likelihood {
    /// The predicted tokens in the order of their windows, each with the natural logarithm of its probability.
    pub tokens: Vec<(TokenId, f64)>,
    /// Whether each of them is the likeliest in its place, of equals the lowest.
    pub is_greedy: bool,
}

impl Likelihood {
    /// The natural logarithm of the probability of all tokens together; 0 where there are none.
    pub fn logprob(&self) -> f64 {
        self.tokens.iter().map(|(_, logprob)| logprob).sum()
    }
}

/// Runs texts through a model and answers each, in the order in which they came, under the name it came with.
///
/// Overwrites the model's cache from block 0 on: no engine may use it. A text without windows is answered in its turn.
///
/// # Errors
/// What `answer` and [`teacher_force`] return; texts that are under way then are not answered.
///
/// # Panics
/// When a window's scored positions begin at 0 or lie behind its end.
pub fn likelihoods<N, E: From<Error>>(
    model: &mut dyn LanguageModel,
    texts: impl IntoIterator<Item = (N, Vec<Window>)>,
    mut answer: impl FnMut(N, Likelihood) -> Result<(), E>,
) -> Result<(), E> {
    // Both closures that `teacher_force` calls, never one in the other, know of what is under way.
    let under_way = RefCell::new(UnderWay { texts: VecDeque::new(), window_count: 0 });
    let mut texts = texts.into_iter().fuse();
    let mut pending = VecDeque::new();
    let windows = iter::from_fn(|| {
        while pending.is_empty() {
            let (name, windows) = texts.next()?;
            under_way.borrow_mut().push(name, &windows);
            pending = windows.into();
        }
        pending.pop_front()
    });
    let mut answer_finished = || -> Result<(), E> {
        while let Some((name, likelihood)) = under_way.borrow_mut().pop_finished() {
            answer(name, likelihood)?;
        }
        Ok(())
    };
    teacher_force(&mut [model], windows, |pass| {
        under_way.borrow_mut().read(pass);
        answer_finished()
    })?;
    answer_finished()
}

/// Texts that are not answered yet, in order.
struct UnderWay<N> {
    texts: VecDeque<Text<N>>,
    /// Windows of all texts so far.
    window_count: usize,
}

struct Text<N> {
    name: N,
    /// The number of its first window among those of all texts.
    first_window: usize,
    /// Of each window, the first scored position and the index of that token among those of the text.
    starts: Vec<(usize, usize)>,
    /// Tokens that are not predicted yet.
    missing: usize,
    likelihood: Likelihood,
}

impl<N> UnderWay<N> {
    fn push(&mut self, name: N, windows: &[Window]) {
        let mut starts = Vec::with_capacity(windows.len());
        let mut count = 0;
        for window in windows {
            starts.push((window.scored.start, count));
            count += window.scored.len();
        }
        let likelihood = Likelihood { tokens: vec![(0, 0.0); count], is_greedy: true };
        self.texts.push_back(Text { name, first_window: self.window_count, starts, missing: count, likelihood });
        self.window_count += windows.len();
    }

    fn read(&mut self, pass: &Pass<'_>) {
        for (index, place) in pass.places().iter().enumerate() {
            let behind = self.texts.partition_point(|text| text.first_window + text.starts.len() <= place.window);
            let text = self.texts.get_mut(behind).expect("a text is answered when all of its windows were read");
            let (position, first) = text.starts[place.window - text.first_window];
            let softmax = Softmax::of(pass.logits(index, 0));
            text.likelihood.tokens[first + place.position - position] = (place.token, softmax.logprob(place.token));
            text.likelihood.is_greedy &= softmax.best() == place.token;
            text.missing -= 1;
        }
    }

    fn pop_finished(&mut self) -> Option<(N, Likelihood)> {
        self.texts.pop_front_if(|text| text.missing == 0).map(|text| (text.name, text.likelihood))
    }
}
