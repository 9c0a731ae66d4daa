//! The threads of a forward pass: one pool a model, awake while a pass runs and asleep between passes.
//!
//! A node of a graph may be a tenth of a millisecond of work, so handing it over must cost next to nothing: the caller
//! publishes a job, threads claim its tasks one by one, and the caller works too and waits for the last.
//!
//! ```text
//! ticket   generation of the job (32 bits) | tasks not yet claimed (32 bits)
//! ```
//!
//! A claim is a compare-and-swap that takes one from the tasks of the generation that the thread has seen. Where it
//! succeeds, a task of the ticket's job is unfinished, so its caller waits, `job` points to it, and it stays alive; a thread
//! that slept through a whole job finds another generation, or no task left, and touches nothing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, JoinHandle, Thread};

use super::Parallel;

/// Looks at the ticket before a waiting thread lets others run: some ten microseconds.
const SPINS: usize = 500;

/// Times that it then lets others run before it sleeps.
const YIELDS: usize = 200;

/// Some threads beside the caller's. One caller's loop runs on them at a time; another caller then works alone.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// Held by the caller whose job runs; another one then works alone.
    caller: Mutex<()>,
}

struct Worker {
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

struct Shared {
    ticket: AtomicU64,
    job: AtomicPtr<Job<'static>>,
    /// Passes that run: threads sleep at once where there is none.
    passes: AtomicUsize,
    sleepers: AtomicUsize,
    is_closed: AtomicBool,
}

/// A loop that is being run; it lives on the caller's stack.
struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    unfinished: AtomicUsize,
    /// What the first task that panicked left.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Pool {
    /// A pool of `threads`, the caller's among them; 0 is one a hardware thread that the process may use.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let threads = if threads == 0 { cores() } else { threads };
        let shared = Arc::new(Shared {
            ticket: AtomicU64::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            passes: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
        });
        let mut pool = Self { shared, workers: Vec::new(), caller: Mutex::new(()) };
        for _ in 1..threads {
            let shared = pool.shared.clone();
            let handle = thread::Builder::new().name("veridraft".to_owned()).spawn(move || shared.work())?;
            pool.workers.push(Worker { thread: handle.thread().clone(), handle: Some(handle) });
        }
        Ok(pool)
    }

    /// Wakes the threads, and lets them wait for work without going to sleep at once until the guard is dropped.
    pub fn pass(&self) -> Pass<'_> {
        self.shared.passes.fetch_add(1, SeqCst);
        self.wake();
        Pass { pool: self }
    }

    fn wake(&self) {
        if self.shared.sleepers.load(SeqCst) > 0 {
            self.workers.iter().for_each(|worker| worker.thread.unpark());
        }
    }
}

/// A forward pass during which a pool's threads look for work before they sleep.
pub struct Pass<'a> {
    pool: &'a Pool,
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.pool.shared.passes.fetch_sub(1, SeqCst);
    }
}

impl Parallel for Pool {
    fn for_each(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let caller = match self.caller.try_lock() {
            Ok(caller) => Some(caller),
            // A task of an earlier loop panicked, after which nothing was left undone.
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if tasks <= 1 || self.workers.is_empty() || caller.is_none() || tasks > u32::MAX as usize {
            return (0..tasks).for_each(task);
        }
        let job = Job { task, unfinished: AtomicUsize::new(tasks), panic: Mutex::new(None) };
        let generation = self.shared.publish(&job, tasks);
        self.wake();
        while self.shared.run_one(generation) {}
        let mut waiting = Waiting::default();
        while job.unfinished.load(Acquire) > 0 {
            waiting.wait();
        }
        if let Some(panic) = job.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    fn threads(&self) -> usize {
        1 + self.workers.len()
    }
}

impl Shared {
    /// Offers a job's tasks, and gives its generation.
    fn publish(&self, job: &Job, tasks: usize) -> u32 {
        // The lifetime is dropped here; `for_each` does not return before the last task has been finished.
        self.job.store(std::ptr::from_ref(job).cast_mut().cast::<Job<'static>>(), Relaxed);
        let generation = ((self.ticket.load(Relaxed) >> 32) as u32).wrapping_add(1);
        self.ticket.store(u64::from(generation) << 32 | tasks as u64, SeqCst);
        generation
    }

    /// Runs one task of a generation; `false` where none is left to claim.
    fn run_one(&self, generation: u32) -> bool {
        let ticket = self.ticket.load(Acquire);
        let left = ticket as u32;
        if (ticket >> 32) as u32 != generation || left == 0 {
            return false;
        }
        if self.ticket.compare_exchange_weak(ticket, ticket - 1, Acquire, Relaxed).is_err() {
            return true;
        }
        let job = self.job.load(Relaxed);
        // SAFETY: a task of the ticket's job was claimed and is not finished, so `for_each` still waits for it: the job is
        // alive, and `job`, which was written before its ticket was published, points to it.
        let job = unsafe { &*job };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (job.task)(left as usize - 1))) {
            // Of several the first is kept. The others are leaked: dropping one could panic again.
            let mut kept = job.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match &*kept {
                None => *kept = Some(panic),
                Some(_) => std::mem::forget(panic),
            }
        }
        job.unfinished.fetch_sub(1, Release);
        true
    }

    /// A thread's life.
    fn work(&self) {
        let mut waiting = Waiting::default();
        while !self.is_closed.load(Relaxed) {
            let ticket = self.ticket.load(Acquire);
            if ticket as u32 != 0 {
                self.run_one((ticket >> 32) as u32);
                waiting = Waiting::default();
            } else if self.passes.load(Relaxed) == 0 || waiting.is_long() {
                self.sleep();
                waiting = Waiting::default();
            } else {
                waiting.wait();
            }
        }
    }

    /// Sleeps until a job begins, or a pass, which wakes early. Who publishes a job looks for sleepers afterwards, and a
    /// sleeper looks for a job after it has said that it sleeps, so one of the two sees the other.
    fn sleep(&self) {
        self.sleepers.fetch_add(1, SeqCst);
        if self.ticket.load(SeqCst) as u32 == 0 && !self.is_closed.load(SeqCst) {
            thread::park();
        }
        self.sleepers.fetch_sub(1, SeqCst);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, SeqCst);
        for worker in &mut self.workers {
            worker.thread.unpark();
            // Panics of tasks are caught, so a thread ends well.
            worker.handle.take().map(JoinHandle::join);
        }
    }
}

/// A wait that begins by looking again at once and ends by letting others run.
#[derive(Default)]
struct Waiting {
    looks: usize,
}

impl Waiting {
    fn wait(&mut self) {
        self.looks += 1;
        if self.looks < SPINS { std::hint::spin_loop() } else { thread::yield_now() }
    }

    fn is_long(&self) -> bool {
        self.looks > SPINS + YIELDS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::{Duration, Instant};

    use super::*;

    /// Every number below `tasks`, once each.
    fn check(pool: &Pool, tasks: usize) {
        let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        pool.for_each(tasks, &|task| {
            counts[task].fetch_add(1, Relaxed);
        });
        assert!(counts.iter().all(|count| count.load(Relaxed) == 1), "{tasks} tasks");
    }

    #[test]
    fn every_task_runs_once() {
        for threads in 1..=4 {
            let pool = Pool::new(threads).expect("threads");
            for round in 0..2000 {
                let _pass = (round % 3 > 0).then(|| pool.pass());
                check(&pool, round % 37);
            }
        }
    }

    /// Waits in every task until two threads have come; a machine that gives the other none for seconds fails.
    fn assert_helped(pool: &Pool) {
        let seen = Mutex::new(HashSet::new());
        let deadline = Instant::now() + Duration::from_secs(20);
        pool.for_each(2, &|_| {
            seen.lock().expect("not poisoned").insert(thread::current().id());
            while seen.lock().expect("not poisoned").len() < 2 && Instant::now() < deadline {
                thread::yield_now();
            }
        });
        assert_eq!(seen.lock().expect("not poisoned").len(), 2, "another thread has helped");
    }

    #[test]
    fn sleeping_threads_are_woken() {
        let pool = Pool::new(3).expect("threads");
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(2));
            assert_helped(&pool);
        }
    }

    #[test]
    fn callers_at_once_do_not_disturb_each_other() {
        let pool = Pool::new(2).expect("threads");
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..500).for_each(|round| check(&pool, round % 11)));
            }
        });
    }

    #[test]
    fn a_panic_of_a_task_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2).expect("threads");
        let outcome = catch_unwind(AssertUnwindSafe(|| pool.for_each(8, &|task| assert_ne!(task, 5))));
        assert!(outcome.is_err());
        check(&pool, 8);
        assert_helped(&pool);
    }
}
