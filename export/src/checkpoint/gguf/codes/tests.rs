//! Rows of codes have the bits that dequantised blocks have.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::gguf::dequantize;
use crate::checkpoint::gguf::dequantize::fixture_blocks;

const TYPES: [TensorType; 11] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::Q4K,
    TensorType::Q5K,
    TensorType::Q6K,
];

/// Where a block of the type has 16-bit floats.
fn half_places(tensor_type: TensorType) -> &'static [usize] {
    match tensor_type {
        TensorType::F32 | TensorType::F16 | TensorType::BF16 => &[],
        TensorType::Q4_0 | TensorType::Q5_0 | TensorType::Q8_0 => &[0],
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4K | TensorType::Q5K => &[0, 2],
        TensorType::Q6K => &[208],
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn check(tensor_type: TensorType, bytes: &[u8]) {
    let row = weight_row(tensor_type, bytes);
    assert_eq!(row.format(), tensor_type.weight_format(), "{}", tensor_type.name());
    let mut expected = vec![0.0; bytes.len() / tensor_type.block_bytes() * tensor_type.block_values()];
    dequantize(tensor_type, bytes, &mut expected);
    assert_eq!(bits(&row.dequantize()), bits(&expected), "{}", tensor_type.name());
}

/// Makes a block's 16-bit floats finite, by clearing a bit of the exponent where all are set.
fn with_finite_scales(tensor_type: TensorType, mut block: Vec<u8>) -> Vec<u8> {
    for place in half_places(tensor_type) {
        if !f16_at(&block, *place).is_finite() {
            block[place + 1] &= 0xbf;
        }
    }
    block
}

fn blocks() -> impl Strategy<Value = (TensorType, Vec<u8>)> {
    // Zeros are drawn often: a scale, minimum or code of zero decides which zero a value is.
    let byte = || prop_oneof![3 => any::<u8>(), 1 => Just(0), 1 => Just(0x80)];
    (prop::sample::select(TYPES.to_vec()), 1..4_usize).prop_flat_map(move |(tensor_type, count)| {
        let block = prop::collection::vec(byte(), tensor_type.block_bytes());
        let finite = block.prop_map(move |block| with_finite_scales(tensor_type, block));
        prop::collection::vec(finite, count).prop_map(move |blocks| (tensor_type, blocks.concat()))
    })
}

#[test]
fn rows_of_every_type_have_the_bits_of_the_gguf_package() {
    let blocks = fixture_blocks();
    assert_eq!(blocks.iter().map(|blocks| blocks.tensor_type).collect::<Vec<_>>(), TYPES);
    for blocks in blocks {
        check(blocks.tensor_type, blocks.bytes);
        assert_eq!(bits(&weight_row(blocks.tensor_type, blocks.bytes).dequantize()), blocks.value_bits);
    }
}

#[test]
fn blocks_of_zeros_and_of_ones_have_the_bits_of_dequantised_ones() {
    for tensor_type in TYPES {
        for byte in [0x00, 0x80, 0xff] {
            check(tensor_type, &with_finite_scales(tensor_type, vec![byte; tensor_type.block_bytes()]));
        }
    }
}

proptest! {
    #[test]
    fn rows_of_random_blocks_have_the_bits_of_dequantised_ones((tensor_type, bytes) in blocks()) {
        check(tensor_type, &bytes);
    }
}
