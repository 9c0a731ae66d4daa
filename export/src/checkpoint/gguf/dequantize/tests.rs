//! Dequantisation gives the bits that the `gguf` Python package gives; `tests/fixtures/make_gguf.py` asked it.

use half::f16;

use super::*;

const FIXTURE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf_blocks.bin"));

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

/// Blocks of the fixture and the values that the `gguf` package gives them.
pub(in crate::checkpoint::gguf) struct FixtureBlocks {
    pub(in crate::checkpoint::gguf) tensor_type: TensorType,
    pub(in crate::checkpoint::gguf) bytes: &'static [u8],
    pub(in crate::checkpoint::gguf) value_bits: Vec<u32>,
}

pub(in crate::checkpoint::gguf) fn fixture_blocks() -> Vec<FixtureBlocks> {
    let mut rest = FIXTURE;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut number = || u32::from_le_bytes(take(&mut rest, 4).try_into().unwrap());
        let (code, byte_count, value_count) = (number(), number() as usize, number() as usize);
        let tensor_type = TensorType::from_code(code).unwrap();
        let bytes = take(&mut rest, byte_count);
        let value_bits = take(&mut rest, 4 * value_count)
            .chunks(4)
            .map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        found.push(FixtureBlocks { tensor_type, bytes, value_bits });
    }
    found
}

#[test]
fn values_of_every_type_have_the_bits_of_the_gguf_package() {
    let mut types = Vec::new();
    for FixtureBlocks { tensor_type, bytes, value_bits } in fixture_blocks() {
        let mut values = vec![0.0; value_bits.len()];
        dequantize(tensor_type, bytes, &mut values);
        let bits: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(bits, value_bits, "{}", tensor_type.name());
        types.push(tensor_type.name());
    }
    assert_eq!(types, ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]);
}

#[test]
fn a_tensor_of_several_tasks_is_its_blocks_one_behind_the_other() {
    let block: Vec<u8> = [&f16::from_f32(0.5).to_le_bytes()[..], &(0..32).collect::<Vec<u8>>()].concat();
    let mut one = vec![0.0; 32];
    dequantize(TensorType::Q8_0, &block, &mut one);
    let count = 2 * TASK_VALUES / 32 + 3;
    let mut many = vec![0.0; 32 * count];
    dequantize(TensorType::Q8_0, &block.repeat(count), &mut many);
    assert_eq!(many, one.repeat(count));
}
