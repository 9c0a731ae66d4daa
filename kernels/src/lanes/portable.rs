//! Vectors as arrays, in plain Rust, for the compiler to vectorise.

use half::f16;

use super::{Bytes, Dots, Job, LANES, Lanes};

/// The path that every processor has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Lanes for Portable {
    type Vector = [f32; LANES];

    #[inline(never)]
    fn run<J: Job>(self, job: J) -> J::Output {
        job.run(self)
    }

    #[inline(always)]
    fn splat(self, number: f32) -> Self::Vector {
        [number; LANES]
    }

    #[inline(always)]
    fn load(self, numbers: &[f32; LANES]) -> Self::Vector {
        *numbers
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[u8; 4 * LANES]) -> Self::Vector {
        let (numbers, _) = numbers.as_chunks::<4>();
        std::array::from_fn(|lane| f32::from_le_bytes(numbers[lane]))
    }

    #[inline(always)]
    fn load_f16(self, numbers: &[u8; 2 * LANES]) -> Self::Vector {
        std::array::from_fn(|lane| f16::from_le_bytes([numbers[2 * lane], numbers[2 * lane + 1]]).to_f32())
    }

    #[inline(always)]
    fn load_u8(self, numbers: &[u8; LANES]) -> Self::Vector {
        numbers.map(f32::from)
    }

    #[inline(always)]
    fn load_i8(self, numbers: &[u8; LANES]) -> Self::Vector {
        numbers.map(|number| f32::from(number as i8))
    }

    #[inline(always)]
    fn from_sums(self, sums: [i32; LANES]) -> Self::Vector {
        sums.map(|sum| sum as f32)
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
    fn prefetch<T>(self, _: *const T) {}

    #[inline(always)]
    fn power_of_two(self, low_bits: Self::Vector) -> Self::Vector {
        each(low_bits, low_bits, |number, _| f32::from_bits((number.to_bits() << 23).wrapping_add(127 << 23)))
    }
}

impl Bytes for Portable {
    type Sums = [i32; LANES];

    #[inline(always)]
    fn dots4<const ROWS: usize, const PANELS: usize>(
        self,
        codes: [&[u8; 128]; PANELS],
        rows: [&[i8; 32]; ROWS],
    ) -> Dots<[i32; LANES], ROWS, PANELS> {
        codes.map(|codes| {
            rows.map(|row| {
                // Eight products of at most 15 * 127 fit into 16 bits.
                let mut sums = [0_i16; 32];
                for (codes, values) in codes.as_chunks::<32>().0.iter().zip(row.as_chunks::<8>().0) {
                    for index in 0..32 {
                        let (low, high) = (i16::from(codes[index] & 15), i16::from(codes[index] >> 4));
                        sums[index] += low * i16::from(values[index % 4]) + high * i16::from(values[4 + index % 4]);
                    }
                }
                std::array::from_fn(|column| (0..4).map(|part| i32::from(sums[4 * column + part])).sum())
            })
        })
    }

    #[inline(always)]
    fn dots8<const ROWS: usize, const PANELS: usize>(
        self,
        codes: [&[u8; 128]; PANELS],
        rows: [&[i8; 16]; ROWS],
    ) -> Dots<[i32; LANES], ROWS, PANELS> {
        codes.map(|codes| rows.map(|row| products8(codes, row)))
    }

    #[inline(always)]
    fn dots8_of_32<const ROWS: usize, const PANELS: usize>(
        self,
        codes: [&[u8; 256]; PANELS],
        rows: [&[i8; 32]; ROWS],
    ) -> Dots<[i32; LANES], ROWS, PANELS> {
        codes.map(|codes| rows.map(|row| products8(codes, row)))
    }

    #[inline(always)]
    fn offset_sums(self, sums: [i32; LANES], offset: i32) -> [i32; LANES] {
        sums.map(|sum| sum + offset)
    }
}

/// Products of codes of 8 bits, four values with each vector of 32 codes.
#[inline(always)]
fn products8(codes: &[u8], values: &[i8]) -> [i32; LANES] {
    let mut sums = [0_i32; 32];
    for (codes, values) in codes.as_chunks::<32>().0.iter().zip(values.as_chunks::<4>().0) {
        for index in 0..32 {
            sums[index] += i32::from(codes[index] as i8) * i32::from(values[index % 4]);
        }
    }
    std::array::from_fn(|column| (0..4).map(|part| sums[4 * column + part]).sum())
}

#[inline(always)]
fn each(a: [f32; LANES], b: [f32; LANES], operation: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut result = [0.0; LANES];
    for lane in 0..LANES {
        result[lane] = operation(a[lane], b[lane]);
    }
    result
}
