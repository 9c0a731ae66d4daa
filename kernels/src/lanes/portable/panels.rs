//! Panels in plain Rust: the oracle for all other paths.

use std::array::from_fn;

use half::f16;

use super::super::{Group, LANES, Panels};
use super::Portable;

/// A number for each column of each panel.
type Columns<T, const PANELS: usize> = [[T; LANES]; PANELS];

impl<const PANELS: usize> Panels<PANELS> for Portable {
    type Vector = Columns<f32, PANELS>;
    type Sums = Columns<i32, PANELS>;

    #[inline(always)]
    fn splat(self, number: f32) -> Self::Vector {
        [[number; LANES]; PANELS]
    }

    #[inline(always)]
    fn load_f32(self, numbers: [&[u8; 4 * LANES]; PANELS]) -> Self::Vector {
        numbers.map(|numbers| from_fn(|column| f32::from_le_bytes(numbers.as_chunks().0[column])))
    }

    #[inline(always)]
    fn load_f16(self, numbers: [&[u8; 2 * LANES]; PANELS]) -> Self::Vector {
        numbers.map(|numbers| from_fn(|column| f16::from_le_bytes(numbers.as_chunks().0[column]).to_f32()))
    }

    #[inline(always)]
    fn load_u8(self, numbers: [&[u8; LANES]; PANELS]) -> Self::Vector {
        numbers.map(|numbers| numbers.map(f32::from))
    }

    #[inline(always)]
    fn load_i8(self, numbers: [&[u8; LANES]; PANELS]) -> Self::Vector {
        numbers.map(|numbers| numbers.map(|number| f32::from(number as i8)))
    }

    #[inline(always)]
    fn store(self, vector: Self::Vector) -> [[f32; LANES]; PANELS] {
        vector
    }

    #[inline(always)]
    fn multiply(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        from_fn(|panel| from_fn(|column| a[panel][column] * b[panel][column]))
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector {
        from_fn(|panel| from_fn(|column| a[panel][column] * b[panel][column] + sum[panel][column]))
    }

    #[inline(always)]
    fn dots4<const ROWS: usize>(self, codes: [&[u8; 128]; PANELS], rows: [&Group; ROWS]) -> [Self::Sums; ROWS] {
        rows.map(|row| codes.map(|codes| products4(codes, &row.codes)))
    }

    #[inline(always)]
    fn dots8<const ROWS: usize>(self, codes: [&[u8; 256]; PANELS], rows: [&Group; ROWS]) -> [Self::Sums; ROWS] {
        rows.map(|row| codes.map(|codes| products8(codes, &row.codes)))
    }

    #[inline(always)]
    fn dots8_of_half<const ROWS: usize>(
        self,
        codes: [&[u8; 128]; PANELS],
        rows: [&Group; ROWS],
        half: usize,
    ) -> [Self::Sums; ROWS] {
        rows.map(|row| codes.map(|codes| products8(codes, &row.codes[16 * half..])))
    }

    #[inline(always)]
    fn offset(self, sums: Self::Sums, offset: i32) -> Self::Sums {
        sums.map(|sums| sums.map(|sum| sum + offset))
    }

    #[inline(always)]
    fn to_floats(self, sums: Self::Sums) -> Self::Vector {
        sums.map(|sums| sums.map(|sum| sum as f32))
    }
}

/// Products of codes of 4 bits, eight values with each vector of 64 codes.
#[inline(always)]
fn products4(codes: &[u8; 128], values: &[i8; 32]) -> [i32; LANES] {
    // Eight products of at most 15 * 127 fit into 16 bits.
    let mut sums = [0_i16; 32];
    for (codes, values) in codes.as_chunks::<32>().0.iter().zip(values.as_chunks::<8>().0) {
        for index in 0..32 {
            let (low, high) = (i16::from(codes[index] & 15), i16::from(codes[index] >> 4));
            sums[index] += low * i16::from(values[index % 4]) + high * i16::from(values[4 + index % 4]);
        }
    }
    from_fn(|column| (0..4).map(|part| i32::from(sums[4 * column + part])).sum())
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
    from_fn(|column| (0..4).map(|part| sums[4 * column + part]).sum())
}
