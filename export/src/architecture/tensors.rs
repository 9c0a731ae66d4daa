//! A checkpoint's tensors while a graph is written from them: shapes are checked, and none is left out in silence.

use std::cell::RefCell;
use std::collections::HashSet;

use crate::checkpoint::{DecoderConfig, TensorSource};
use crate::{Error, Result};

/// Tensors for one graph.
pub(super) struct Tensors<'a> {
    pub(super) source: &'a dyn TensorSource,
    taken: RefCell<HashSet<String>>,
    written: &'a dyn Fn(),
}

impl<'a> Tensors<'a> {
    pub(super) fn new(source: &'a dyn TensorSource, written: &'a dyn Fn()) -> Self {
        Self { source, taken: RefCell::default(), written }
    }

    /// The values of a tensor of this shape.
    pub(super) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.take(name, shape)?;
        self.source.read_f32(name)
    }

    /// Checks a tensor that the caller reads from `source` itself.
    pub(super) fn take(&self, name: &str, expected: &[usize]) -> Result<()> {
        self.taken.borrow_mut().insert(name.to_owned());
        match self.source.shape(name) {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(self.wrong(format!("tensor `{name}` is {found:?}, expected {expected:?}"))),
            None => Err(self.wrong(format!("tensor `{name}` is missing, expected {expected:?}"))),
        }
    }

    /// Reports that a tensor is in the graph.
    pub(super) fn written(&self) {
        (self.written)();
    }

    /// Refuses to give out what stands behind layers that the model does not have, or the same twice.
    pub(super) fn check_hidden_states(&self, config: &DecoderConfig, layers: &[usize]) -> Result<()> {
        if let Some(found) = layers.iter().find(|&&found| found > config.layers) {
            let most = config.layers;
            return Err(self.wrong(format!("hidden state {found} is asked for, expected 0 to {most}, its layers")));
        }
        let is_repeated = |&(index, found): &(usize, &usize)| layers[..index].contains(found);
        match layers.iter().enumerate().find(is_repeated) {
            Some((_, found)) => Err(self.wrong(format!("hidden state {found} is asked for twice"))),
            None => Ok(()),
        }
    }

    /// Refuses tensors that the graph has no place for: leaving one out would change the model without a word.
    pub(super) fn check_all_taken(&self, config: &DecoderConfig) -> Result<()> {
        // Old checkpoints carry what follows from the configuration, and tied ones the same matrix twice.
        let is_spare = |name: &str| name.ends_with("rotary_emb.inv_freq") || name == "lm_head.weight";
        self.check_all_taken_but(&is_spare, &format!("a `{}` of {} layers", config.architecture, config.layers))
    }

    /// Refuses tensors that the graph of `model` has no place for, but for those that are known to be spare.
    pub(super) fn check_all_taken_but(&self, is_spare: &dyn Fn(&str) -> bool, model: &str) -> Result<()> {
        let taken = self.taken.borrow();
        match self.source.names().into_iter().find(|name| !taken.contains(*name) && !is_spare(name)) {
            Some(name) => {
                Err(self.wrong(format!("tensor `{name}` has no place in {model} as the configuration describes it")))
            }
            None => Ok(()),
        }
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Checkpoint { path: self.source.path().to_owned(), reason }
    }
}
