//! A kernel's loops on ONNX Runtime's own thread pool, so that one pool serves the whole forward pass.

use ort::operator::ComputeContext;
use veridraft_kernels::Parallel;

/// The thread pool of the session that runs the operator.
pub(super) struct OrtThreads<'a>(pub(super) &'a ComputeContext);

impl Parallel for OrtThreads<'_> {
    fn for_each(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if tasks == 1 {
            return task(0);
        }
        // Zero batches lets the pool claim task by task. It can fail only before any task has run.
        let outcome = self.0.par_for(tasks, 0, task);
        if outcome.is_err() {
            (0..tasks).for_each(task);
        }
    }
}
