//! The integers in stored blocks: bits put together, no arithmetic yet.
//!
//! In the types with 32 values a block, byte `i` of the 4-bit part holds value `i` in its low half and value `i + 16` in
//! its high half. In Q4_K and Q5_K the 128 bytes of low bits are four groups of 32; a group's low halves are the 32 values
//! of one sub-block and its high halves those of the next.

use half::f16;

/// Values of Q4_0 and Q4_1: 16 bytes.
pub(super) fn nibbles(bytes: &[u8], codes: &mut [i8]) {
    let (low, high) = codes.split_at_mut(16);
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = (byte & 0x0f) as i8;
        *high = (byte >> 4) as i8;
    }
}

/// Values of Q5_0 and Q5_1: a word whose bit `j` is the fifth of value `j`, then 16 bytes.
pub(super) fn nibbles_and_fifth_bits(bytes: &[u8], codes: &mut [i8]) {
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    nibbles(&bytes[4..], codes);
    for (index, code) in codes.iter_mut().enumerate() {
        *code |= (word >> index & 1) as i8 * 16;
    }
}

/// Signed bytes, as they are.
pub(super) fn signed_bytes(bytes: &[u8], codes: &mut [i8]) {
    for (byte, code) in bytes.iter().zip(codes) {
        *code = *byte as i8;
    }
}

/// Values of Q4_K: 128 bytes.
pub(super) fn q4_k(low: &[u8], codes: &mut [i8]) {
    for (sub_block, codes) in codes.chunks_exact_mut(32).enumerate() {
        for (code, byte) in codes.iter_mut().zip(&low[sub_block / 2 * 32..]) {
            *code = half_byte(*byte, sub_block) as i8;
        }
    }
}

/// Values of Q5_K: 32 bytes of fifth bits, bit `s` of byte `i` for value `i` of sub-block `s`, then as Q4_K.
pub(super) fn q5_k(bytes: &[u8], codes: &mut [i8]) {
    let (fifth, low) = bytes.split_at(32);
    q4_k(low, codes);
    for (sub_block, codes) in codes.chunks_exact_mut(32).enumerate() {
        for (code, bits) in codes.iter_mut().zip(fifth) {
            *code |= (bits >> sub_block & 1) as i8 * 16;
        }
    }
}

/// Values of Q6_K less 32: 128 bytes of low halves, 64 bytes of high pairs of bits.
///
/// ```text
/// value v = half * 128 + quarter * 32 + i     half 0..2, quarter 0..4, i 0..32
///   low bits:  byte half * 64 + (quarter % 2) * 32 + i, its low half for quarters 0 and 1, high for 2 and 3
///   high bits: byte half * 32 + i, bits 2 * quarter and 2 * quarter + 1
/// ```
pub(super) fn q6_k(bytes: &[u8], codes: &mut [i8]) {
    let (low, high) = bytes.split_at(128);
    for (run, codes) in codes.chunks_exact_mut(32).enumerate() {
        let (half, quarter) = (run / 4, run % 4);
        let low = &low[half * 64 + quarter % 2 * 32..];
        let high = &high[half * 32..];
        for (index, code) in codes.iter_mut().enumerate() {
            let quant = half_byte(low[index], quarter / 2) | (high[index] >> (2 * quarter) & 3) << 4;
            *code = quant as i8 - 32;
        }
    }
}

/// The scale and minimum of each of eight sub-blocks of Q4_K and Q5_K, 6 bits each in 12 bytes.
///
/// ```text
/// bytes 0..4   low 6 bits: scales 0..4     high 2 bits: top of scales 4..8
/// bytes 4..8   low 6 bits: minima 0..4     high 2 bits: top of minima 4..8
/// bytes 8..12  low half: rest of scales 4..8           high half: rest of minima 4..8
/// ```
pub(super) fn sub_scales(packed: &[u8]) -> [[u8; 2]; 8] {
    std::array::from_fn(|sub_block| {
        if sub_block < 4 {
            return [packed[sub_block] & 0x3f, packed[sub_block + 4] & 0x3f];
        }
        let rest = packed[sub_block + 4];
        [rest & 0x0f | packed[sub_block - 4] >> 2 & 0x30, rest >> 4 | packed[sub_block] >> 2 & 0x30]
    })
}

/// The 16-bit float at `offset`.
pub(super) fn f16_at(block: &[u8], offset: usize) -> f16 {
    f16::from_le_bytes([block[offset], block[offset + 1]])
}

/// The low half for an even `which`, the high half for an odd one.
fn half_byte(byte: u8, which: usize) -> u8 {
    if which.is_multiple_of(2) { byte & 0x0f } else { byte >> 4 }
}
