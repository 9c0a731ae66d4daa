//! What takes part in the comparison.

use anyhow::Result;

use crate::sizes::Pass;

/// A way to do a subject's work.
pub(crate) trait Contender {
    /// What the table calls it.
    fn name(&self) -> String;

    /// Bytes of the weights that a pass reads, scales included.
    fn weight_bytes(&self) -> u64;

    /// Runs one pass.
    fn run(&mut self, pass: Pass) -> Result<()>;
}
