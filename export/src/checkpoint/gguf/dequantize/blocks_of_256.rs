//! The K-quants: 256 values a block in sub-blocks with their own small scales.

use super::f32_at;
use crate::checkpoint::gguf::unpack;

/// `f16 d, f16 dmin, 12 bytes of scales and minima, 128 bytes`: value = d * scale * q - dmin * minimum.
pub(super) fn q4_k(block: &[u8], values: &mut [f32]) {
    let mut codes = [0; 256];
    unpack::q4_k(&block[16..], &mut codes);
    scaled_twice(block, &codes, values);
}

/// As Q4_K with 32 bytes of fifth bits before the low bits.
pub(super) fn q5_k(block: &[u8], values: &mut [f32]) {
    let mut codes = [0; 256];
    unpack::q5_k(&block[16..], &mut codes);
    scaled_twice(block, &codes, values);
}

/// `128 bytes of low halves, 64 bytes of high pairs of bits, 16 signed scales, f16 d`: value = d * scale * (q - 32).
pub(super) fn q6_k(block: &[u8], values: &mut [f32]) {
    let mut codes = [0; 256];
    unpack::q6_k(&block[..192], &mut codes);
    let (scales, d) = (&block[192..208], f32_at(block, 208));
    for ((values, codes), scale) in values.chunks_exact_mut(16).zip(codes.chunks_exact(16)).zip(scales) {
        let scale = d * f32::from(*scale as i8);
        for (value, code) in values.iter_mut().zip(codes) {
            *value = scale * f32::from(*code);
        }
    }
}

/// Applies the head that Q4_K and Q5_K share.
fn scaled_twice(block: &[u8], codes: &[i8], values: &mut [f32]) {
    let (d, dmin, scales) = (f32_at(block, 0), f32_at(block, 2), unpack::sub_scales(&block[4..16]));
    let sub_blocks = values.chunks_exact_mut(32).zip(codes.chunks_exact(32));
    for ((values, codes), [scale, minimum]) in sub_blocks.zip(scales) {
        let (scale, minimum) = (d * f32::from(scale), dmin * f32::from(minimum));
        for (value, code) in values.iter_mut().zip(codes) {
            *value = scale * f32::from(*code) - minimum;
        }
    }
}
