//! Stored blocks to f32, to the bit as the `gguf` Python package gives them.
//!
//! Every function of a block does its few float operations in the order of the format's reference, so that the results
//! are equal and not merely close.

mod blocks_of_256;
mod blocks_of_32;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use tests::fixture_blocks;

use half::bf16;
use rayon::prelude::*;

use super::TensorType;
use super::unpack::f16_at;

/// Values that one task converts: large enough to hide its start, small enough to share a tensor among threads.
const TASK_VALUES: usize = 64 * 1024;

/// Converts whole blocks of `tensor_type` in `bytes` to `values`; the lengths must belong together.
pub fn dequantize(tensor_type: TensorType, bytes: &[u8], values: &mut [f32]) {
    let (block_values, block_bytes) = (tensor_type.block_values(), tensor_type.block_bytes());
    assert_eq!(values.len() % block_values, 0, "values are whole blocks");
    assert_eq!(bytes.len(), values.len() / block_values * block_bytes, "bytes and values are as many blocks");
    let task_bytes = TASK_VALUES / block_values * block_bytes;
    let tasks = values.par_chunks_mut(TASK_VALUES).zip(bytes.par_chunks(task_bytes));
    tasks.for_each(|(values, bytes)| dequantize_blocks(tensor_type, bytes, values));
}

/// [`dequantize`] on the caller's thread, the lengths known to belong together.
pub(super) fn dequantize_blocks(tensor_type: TensorType, bytes: &[u8], values: &mut [f32]) {
    let convert = block_function(tensor_type);
    let blocks = bytes.chunks_exact(tensor_type.block_bytes());
    for (values, block) in values.chunks_exact_mut(tensor_type.block_values()).zip(blocks) {
        convert(block, values);
    }
}

/// Converts one block; the lengths are those of the type.
type BlockFunction = fn(&[u8], &mut [f32]);

fn block_function(tensor_type: TensorType) -> BlockFunction {
    match tensor_type {
        TensorType::F32 => |block, values| values[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
        TensorType::F16 => |block, values| values[0] = f32_at(block, 0),
        TensorType::BF16 => |block, values| values[0] = bf16::from_le_bytes([block[0], block[1]]).to_f32(),
        TensorType::Q4_0 => blocks_of_32::q4_0,
        TensorType::Q4_1 => blocks_of_32::q4_1,
        TensorType::Q5_0 => blocks_of_32::q5_0,
        TensorType::Q5_1 => blocks_of_32::q5_1,
        TensorType::Q8_0 => blocks_of_32::q8_0,
        TensorType::Q4K => blocks_of_256::q4_k,
        TensorType::Q5K => blocks_of_256::q5_k,
        TensorType::Q6K => blocks_of_256::q6_k,
    }
}

/// The 16-bit float at `offset`, widened.
fn f32_at(block: &[u8], offset: usize) -> f32 {
    f16_at(block, offset).to_f32()
}
