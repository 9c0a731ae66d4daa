//! Stored blocks as codes and scales, with nothing rounded.
//!
//! Invariant: [`WeightRow::dequantize`] of a row has the bits that [`dequantize`](super::dequantize) gives for its
//! blocks. Numbers that the row's format keeps otherwise than the file does are exact: a 5-bit code less 16, a 16-bit
//! float widened, and its product with a scale of 6 bits.

#[cfg(test)]
mod tests;

use half::f16;
use veridraft_kernels::{WeightFormat, WeightRow};

use super::TensorType;
use super::dequantize::dequantize_blocks;
use super::unpack::{self, f16_at};

impl TensorType {
    /// The format that keeps a tensor's codes and scales as the file has them.
    pub fn weight_format(self) -> WeightFormat {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => WeightFormat::F32,
            Self::Q4_0 => WeightFormat::Q4,
            Self::Q4_1 => WeightFormat::Q4Minimum,
            Self::Q5_0 | Self::Q8_0 => WeightFormat::Q8,
            Self::Q5_1 | Self::Q5K => WeightFormat::Q8Minimum,
            Self::Q4K => WeightFormat::Q4K,
            Self::Q6K => WeightFormat::Q8K,
        }
    }
}

/// The row whose blocks of `tensor_type` are `bytes`, in the type's [`TensorType::weight_format`].
pub(super) fn weight_row(tensor_type: TensorType, bytes: &[u8]) -> WeightRow {
    let blocks = Blocks { tensor_type, bytes };
    match tensor_type {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => blocks.floats(),
        TensorType::Q4_0 => WeightRow::Q4 {
            codes: blocks.codes(|block, codes| unpack::nibbles(&block[2..], codes)),
            scales: blocks.numbers(|block| f16_at(block, 0)),
        },
        TensorType::Q4_1 => WeightRow::Q4Minimum {
            codes: blocks.codes(|block, codes| unpack::nibbles(&block[4..], codes)),
            scales: blocks.numbers(scale_and_minimum),
        },
        TensorType::Q5_0 => WeightRow::Q8 {
            codes: blocks.codes(|block, codes| {
                unpack::nibbles_and_fifth_bits(&block[2..], codes);
                codes.iter_mut().for_each(|code| *code -= 16);
            }),
            scales: blocks.numbers(|block| f16_at(block, 0)),
        },
        TensorType::Q5_1 => WeightRow::Q8Minimum {
            codes: blocks.codes(|block, codes| unpack::nibbles_and_fifth_bits(&block[4..], codes)),
            scales: blocks.numbers(|block| scale_and_minimum(block).map(f16::to_f32)),
        },
        TensorType::Q8_0 => WeightRow::Q8 {
            codes: blocks.codes(|block, codes| unpack::signed_bytes(&block[2..], codes)),
            scales: blocks.numbers(|block| f16_at(block, 0)),
        },
        TensorType::Q4K => WeightRow::Q4K {
            codes: blocks.codes(|block, codes| unpack::q4_k(&block[16..], codes)),
            super_scales: blocks.numbers(scale_and_minimum),
            scales: blocks.lists(|block| unpack::sub_scales(&block[4..16])),
        },
        TensorType::Q5K => WeightRow::Q8Minimum {
            codes: blocks.codes(|block, codes| unpack::q5_k(&block[16..], codes)),
            scales: blocks.lists(multiplied_scales),
        },
        TensorType::Q6K => WeightRow::Q8K {
            codes: blocks.codes(|block, codes| unpack::q6_k(&block[..192], codes)),
            super_scales: blocks.numbers(|block| f16_at(block, 208)),
            scales: blocks.lists::<_, 16>(|block| std::array::from_fn(|index| block[192 + index] as i8)),
        },
    }
}

/// What Q4_1, Q5_1, Q4_K and Q5_K begin with.
fn scale_and_minimum(block: &[u8]) -> [f16; 2] {
    [f16_at(block, 0), f16_at(block, 2)]
}

/// The scale and minimum of each sub-block of Q5_K. The file's minimum is subtracted, the row's is added.
fn multiplied_scales(block: &[u8]) -> [[f32; 2]; 8] {
    let [d, dmin] = scale_and_minimum(block).map(f16::to_f32);
    unpack::sub_scales(&block[4..16]).map(|[scale, minimum]| [d * f32::from(scale), -(dmin * f32::from(minimum))])
}

/// A row's blocks, one behind the other.
struct Blocks<'a> {
    tensor_type: TensorType,
    bytes: &'a [u8],
}

impl Blocks<'_> {
    fn each(&self) -> std::slice::ChunksExact<'_, u8> {
        self.bytes.chunks_exact(self.tensor_type.block_bytes())
    }

    fn values(&self) -> usize {
        self.each().len() * self.tensor_type.block_values()
    }

    fn floats(&self) -> WeightRow {
        let mut weights = vec![0.0; self.values()];
        dequantize_blocks(self.tensor_type, self.bytes, &mut weights);
        WeightRow::F32(weights)
    }

    fn codes(&self, unpack: impl Fn(&[u8], &mut [i8])) -> Vec<i8> {
        let mut codes = vec![0; self.values()];
        for (codes, block) in codes.chunks_exact_mut(self.tensor_type.block_values()).zip(self.each()) {
            unpack(block, codes);
        }
        codes
    }

    /// One number, or pair of numbers, of each block.
    fn numbers<T>(&self, of_block: impl Fn(&[u8]) -> T) -> Vec<T> {
        self.each().map(of_block).collect()
    }

    /// A number, or pair of numbers, of each of a block's `SUB_BLOCKS`.
    fn lists<T, const SUB_BLOCKS: usize>(&self, of_block: impl Fn(&[u8]) -> [T; SUB_BLOCKS]) -> Vec<T> {
        self.each().flat_map(of_block).collect()
    }
}
