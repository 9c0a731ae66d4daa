//! The least time that a pass can take: all bytes that it must read, read once and added up by as many threads.

use std::hint::black_box;

use anyhow::Result;
use veridraft_kernels::{Parallel, Pool};

use crate::contender::Contender;
use crate::session::THREADS;
use crate::sizes::Pass;

/// Integers of a line: sums run in columns, so that the compiler adds many at once.
const COLUMNS: usize = 128;

/// Lines that a thread reads before it asks for more.
const TASK_LINES: usize = 512;

/// Bytes and the threads that read them.
pub(crate) struct PlainRead {
    lines: Vec<[u32; COLUMNS]>,
    pool: Pool,
}

impl PlainRead {
    pub(crate) fn create(bytes: u64) -> Result<Self> {
        let lines = bytes as usize / size_of::<[u32; COLUMNS]>();
        Ok(Self { lines: (0..lines).map(|line| [line as u32; COLUMNS]).collect(), pool: Pool::new(THREADS)? })
    }
}

impl Contender for PlainRead {
    fn name(&self) -> String {
        "plain read".to_owned()
    }

    fn bytes(&self, _: Pass) -> u64 {
        size_of_val(&self.lines[..]) as u64
    }

    fn run(&mut self, _: Pass) -> Result<()> {
        let _awake = self.pool.pass();
        let tasks: Vec<_> = self.lines.chunks(TASK_LINES).collect();
        self.pool.for_each(tasks.len(), &|task| {
            let mut sums = [0_u32; COLUMNS];
            for line in tasks[task] {
                sums.iter_mut().zip(line).for_each(|(sum, number)| *sum = sum.wrapping_add(*number));
            }
            black_box(sums);
        });
        Ok(())
    }
}
