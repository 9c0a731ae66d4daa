//! What takes part in the comparison.

use anyhow::Result;

use crate::sizes::Pass;

/// A way to do a subject's work.
pub(crate) trait Contender {
    /// What the table calls it.
    fn name(&self) -> String;

    /// Bytes that a pass reads: weights with their scales, or keys and values.
    fn bytes(&self, pass: Pass) -> u64;

    /// Runs one pass.
    fn run(&mut self, pass: Pass) -> Result<()>;
}
