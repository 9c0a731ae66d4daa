//! The types with 32 values a block: a scale, sometimes a minimum, then the values.

use super::f32_at;
use crate::checkpoint::gguf::unpack;

/// `f16 scale, 16 bytes`: value = scale * (q - 8).
pub(super) fn q4_0(block: &[u8], values: &mut [f32]) {
    let scale = f32_at(block, 0);
    each(unpack::nibbles, &block[2..], values, |code| scale * (code - 8.0));
}

/// `f16 scale, f16 minimum, 16 bytes`: value = scale * q + minimum.
pub(super) fn q4_1(block: &[u8], values: &mut [f32]) {
    let (scale, minimum) = (f32_at(block, 0), f32_at(block, 2));
    each(unpack::nibbles, &block[4..], values, |code| scale * code + minimum);
}

/// `f16 scale, u32 fifth bits, 16 bytes`: value = scale * (q - 16).
pub(super) fn q5_0(block: &[u8], values: &mut [f32]) {
    let scale = f32_at(block, 0);
    each(unpack::nibbles_and_fifth_bits, &block[2..], values, |code| scale * (code - 16.0));
}

/// `f16 scale, f16 minimum, u32 fifth bits, 16 bytes`: value = scale * q + minimum.
pub(super) fn q5_1(block: &[u8], values: &mut [f32]) {
    let (scale, minimum) = (f32_at(block, 0), f32_at(block, 2));
    each(unpack::nibbles_and_fifth_bits, &block[4..], values, |code| scale * code + minimum);
}

/// `f16 scale, 32 signed bytes`: value = scale * q.
pub(super) fn q8_0(block: &[u8], values: &mut [f32]) {
    let scale = f32_at(block, 0);
    each(unpack::signed_bytes, &block[2..], values, |code| code * scale);
}

fn each(unpack: impl Fn(&[u8], &mut [i8]), bytes: &[u8], values: &mut [f32], value: impl Fn(f32) -> f32) {
    let mut codes = [0; 32];
    unpack(bytes, &mut codes);
    for (place, code) in values.iter_mut().zip(codes) {
        *place = value(f32::from(code));
    }
}
