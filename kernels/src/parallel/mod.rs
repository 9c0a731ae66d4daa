//! Who runs a kernel's loops: the caller brings the threads.

mod pool;

pub use pool::{Pass, Pool};

/// Runs independent tasks, on threads or not.
pub trait Parallel {
    /// Calls `task` once with each number below `tasks`, in any order, and returns when all are done.
    fn for_each(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));

    /// Threads that share the tasks, at least one.
    fn threads(&self) -> usize;
}

/// Runs tasks one after the other on the calling thread.
#[derive(Clone, Copy, Debug)]
pub struct Serial;

impl Parallel for Serial {
    fn for_each(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }

    fn threads(&self) -> usize {
        1
    }
}

/// Runs tasks on this many threads made for the call, at least one; for tests and benches.
#[derive(Clone, Copy, Debug)]
pub struct Threads(pub usize);

impl Parallel for Threads {
    fn for_each(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            let threads = self.threads();
            for thread in 0..threads {
                scope.spawn(move || (thread..tasks).step_by(threads).for_each(task));
            }
        });
    }

    fn threads(&self) -> usize {
        self.0.max(1)
    }
}
