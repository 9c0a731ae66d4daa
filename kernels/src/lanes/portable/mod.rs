//! Vectors as arrays, in plain Rust, for the compiler to vectorise.

mod panels;

use half::f16;

use super::{Job, LANES, Lanes, Pairs, QueriesJob, RowsJob, Vectors, with_up_to_four_rows, with_up_to_six_queries};

/// The path that every processor has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    type Wide = Pairs<Self>;
    type One = Self;
    type Two = Self;

    const IS_WIDE: bool = false;
    const TILE_ROWS: usize = 4;
    const TILE_QUERIES: usize = 6;

    fn with_rows<S: RowsJob>(self, rows: usize, job: S) {
        with_up_to_four_rows(rows, job);
    }

    fn with_queries<S: QueriesJob>(self, queries: usize, job: S) -> S::Output {
        with_up_to_six_queries(queries, job)
    }

    #[inline(always)]
    fn wide(self) -> Pairs<Self> {
        Pairs(self)
    }

    #[inline(always)]
    fn halves(self, halves: [Self::Vector; 2]) -> [Self::Vector; 2] {
        halves
    }

    fn one(self) -> Self {
        self
    }

    fn two(self) -> Self {
        self
    }

    #[inline(never)]
    fn run<J: Job>(self, job: J) -> J::Output {
        job.run(self)
    }

    #[inline(always)]
    fn divide(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn absolute(self, a: Self::Vector) -> Self::Vector {
        a.map(f32::abs)
    }

    #[inline(always)]
    fn round(self, a: Self::Vector) -> [i8; LANES] {
        a.map(|number| number.round_ties_even() as i8)
    }

    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}
}

impl Vectors<LANES> for Portable {
    type Vector = [f32; LANES];

    #[inline(always)]
    fn splat(self, number: f32) -> Self::Vector {
        [number; LANES]
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; LANES]) -> Self::Vector {
        *numbers
    }

    #[inline(always)]
    fn load_f16(self, numbers: &[[u8; 2]; LANES]) -> Self::Vector {
        std::array::from_fn(|lane| f16::from_le_bytes(numbers[lane]).to_f32())
    }

    #[inline(always)]
    fn load_i8(self, numbers: &[u8; LANES]) -> Self::Vector {
        numbers.map(|number| f32::from(number as i8))
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector, places: &mut [f32; LANES]) {
        *places = vector;
    }

    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn subtract(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector {
        self.add(self.multiply(a, b), sum)
    }

    #[inline(always)]
    fn smaller(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn larger(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        each(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn zero_below(self, bound: Self::Vector, x: Self::Vector, vector: Self::Vector) -> Self::Vector {
        let mut result = vector;
        for lane in 0..LANES {
            result[lane] = if x[lane] < bound[lane] { 0.0 } else { vector[lane] };
        }
        result
    }

    #[inline(always)]
    fn power_of_two(self, low_bits: Self::Vector) -> Self::Vector {
        each(low_bits, low_bits, |number, _| f32::from_bits((number.to_bits() << 23).wrapping_add(127 << 23)))
    }
}

#[inline(always)]
fn each(a: [f32; LANES], b: [f32; LANES], operation: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut result = [0.0; LANES];
    for lane in 0..LANES {
        result[lane] = operation(a[lane], b[lane]);
    }
    result
}
