//! Models can be opened by several threads at once.
//!
//! A test binary of its own: only the first sessions of a process can race for the operators' domain.

use std::sync::Barrier;
use std::thread;

use anyhow::Result;
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_tests::TinyLlama;

#[test]
fn threads_open_models_at_once() -> Result<()> {
    const THREADS: usize = 8;
    Runtime::load(&LibraryChoice::default())?;
    let tiny = TinyLlama::create()?;
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let open = || {
            start.wait();
            tiny.open(1, 64).map(drop)
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(open)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("opening does not panic"))
    })
}
