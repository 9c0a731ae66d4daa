//! The K-quants: 256 values a block in sub-blocks with their own small scales.
//!
//! In Q4_K and Q5_K the 128 bytes of low bits are four groups of 32; a group's low halves are the 32 values of one
//! sub-block and its high halves those of the next.

use super::f16_at;

/// `f16 d, f16 dmin, 12 bytes of scales and minima, 128 bytes`: value = d * scale * q - dmin * minimum.
pub(super) fn q4_k(block: &[u8], values: &mut [f32]) {
    let (low, scales) = (&block[16..], SubScales::new(block));
    for (sub_block, values) in values.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scales.of(sub_block);
        for (value, &byte) in values.iter_mut().zip(&low[sub_block / 2 * 32..]) {
            *value = scale * f32::from(half_byte(byte, sub_block)) - minimum;
        }
    }
}

/// As Q4_K with 32 bytes of fifth bits before the low bits: bit `s` of byte `i` belongs to value `i` of sub-block `s`.
pub(super) fn q5_k(block: &[u8], values: &mut [f32]) {
    let (fifth, low, scales) = (&block[16..48], &block[48..], SubScales::new(block));
    for (sub_block, values) in values.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scales.of(sub_block);
        for ((value, &byte), &bits) in values.iter_mut().zip(&low[sub_block / 2 * 32..]).zip(fifth) {
            let quant = half_byte(byte, sub_block) | (bits >> sub_block & 1) << 4;
            *value = scale * f32::from(quant) - minimum;
        }
    }
}

/// `128 bytes of low halves, 64 bytes of high pairs of bits, 16 signed scales, f16 d`: value = d * scale * (q - 32).
///
/// ```text
/// value v = half * 128 + quarter * 32 + i     half 0..2, quarter 0..4, i 0..32
///   low bits:  byte half * 64 + (quarter % 2) * 32 + i, its low half for quarters 0 and 1, high for 2 and 3
///   high bits: byte half * 32 + i, bits 2 * quarter and 2 * quarter + 1
///   scale:     v / 16
/// ```
pub(super) fn q6_k(block: &[u8], values: &mut [f32]) {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], f16_at(block, 208));
    for (run, values) in values.chunks_exact_mut(32).enumerate() {
        let (half, quarter) = (run / 4, run % 4);
        let low = &low[half * 64 + quarter % 2 * 32..];
        let high = &high[half * 32..];
        for (index, value) in values.iter_mut().enumerate() {
            let quant = half_byte(low[index], quarter / 2) | (high[index] >> (2 * quarter) & 3) << 4;
            let scale = d * f32::from(scales[run * 2 + index / 16] as i8);
            *value = scale * (i32::from(quant) - 32) as f32;
        }
    }
}

/// The low half for an even `which`, the high half for an odd one.
fn half_byte(byte: u8, which: usize) -> u8 {
    if which.is_multiple_of(2) { byte & 0x0f } else { byte >> 4 }
}

/// The scale and minimum of each of eight sub-blocks, 6 bits each in 12 bytes.
///
/// ```text
/// bytes 0..4   low 6 bits: scales 0..4     high 2 bits: top of scales 4..8
/// bytes 4..8   low 6 bits: minima 0..4     high 2 bits: top of minima 4..8
/// bytes 8..12  low half: rest of scales 4..8           high half: rest of minima 4..8
/// ```
struct SubScales<'a> {
    d: f32,
    dmin: f32,
    packed: &'a [u8],
}

impl<'a> SubScales<'a> {
    fn new(block: &'a [u8]) -> Self {
        Self { d: f16_at(block, 0), dmin: f16_at(block, 2), packed: &block[4..16] }
    }

    fn of(&self, sub_block: usize) -> (f32, f32) {
        let packed = self.packed;
        let (scale, minimum) = if sub_block < 4 {
            (packed[sub_block] & 0x3f, packed[sub_block + 4] & 0x3f)
        } else {
            let rest = packed[sub_block + 4];
            (rest & 0x0f | packed[sub_block - 4] >> 2 & 0x30, rest >> 4 | packed[sub_block] >> 2 & 0x30)
        };
        (self.d * f32::from(scale), self.dmin * f32::from(minimum))
    }
}
