//! The types with 32 values a block: a scale, sometimes a minimum, then the values.
//!
//! Byte `i` of the 4-bit part holds value `i` in its low half and value `i + 16` in its high half; bit `j` of the 5-bit
//! types' extra word is the fifth bit of value `j`.

use super::f16_at;

/// `f16 scale, 16 bytes`: value = scale * (q - 8).
pub(super) fn q4_0(block: &[u8], values: &mut [f32]) {
    let scale = f16_at(block, 0);
    for_each_nibble(&block[2..], |index, nibble| values[index] = scale * (i32::from(nibble) - 8) as f32);
}

/// `f16 scale, f16 minimum, 16 bytes`: value = scale * q + minimum.
pub(super) fn q4_1(block: &[u8], values: &mut [f32]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    for_each_nibble(&block[4..], |index, nibble| values[index] = scale * f32::from(nibble) + minimum);
}

/// `f16 scale, u32 fifth bits, 16 bytes`: value = scale * (q - 16).
pub(super) fn q5_0(block: &[u8], values: &mut [f32]) {
    let scale = f16_at(block, 0);
    let fifth = fifth_bits(&block[2..6]);
    for_each_nibble(&block[6..], |index, nibble| {
        values[index] = scale * (i32::from(nibble | fifth(index)) - 16) as f32;
    });
}

/// `f16 scale, f16 minimum, u32 fifth bits, 16 bytes`: value = scale * q + minimum.
pub(super) fn q5_1(block: &[u8], values: &mut [f32]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    let fifth = fifth_bits(&block[4..8]);
    for_each_nibble(&block[8..], |index, nibble| {
        values[index] = scale * f32::from(nibble | fifth(index)) + minimum;
    });
}

/// `f16 scale, 32 signed bytes`: value = scale * q.
pub(super) fn q8_0(block: &[u8], values: &mut [f32]) {
    let scale = f16_at(block, 0);
    for (value, &byte) in values.iter_mut().zip(&block[2..]) {
        *value = f32::from(byte as i8) * scale;
    }
}

fn for_each_nibble(bytes: &[u8], mut store: impl FnMut(usize, u8)) {
    for (index, byte) in bytes.iter().enumerate() {
        store(index, byte & 0x0f);
        store(index + 16, byte >> 4);
    }
}

/// Gives the fifth bit of a value at its place, 0 or 16.
fn fifth_bits(bytes: &[u8]) -> impl Fn(usize) -> u8 {
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    move |index| ((word >> index) as u8 & 1) << 4
}
