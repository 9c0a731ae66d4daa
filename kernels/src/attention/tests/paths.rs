//! Dispatch paths agree: nearly, or to the bit where they round alike.

use super::bits;
use super::case::{Case, Sequence};
use super::strategies::config;
use crate::attention::{AttentionConfig, KvType};
use crate::{Serial, Simd};

#[test]
fn paths_agree_to_one_part_in_a_hundred_thousand() {
    if !Simd::Avx2.is_available() {
        return println!("skipped: no AVX2");
    }
    for kv_type in KvType::ALL {
        let sequences = vec![Sequence::chain(300, 9), Sequence::chain(0, 17)];
        let case = Case { config: config(), kv_type, sequences, distances: 0, seed: 9 };
        let (portable, avx2) = (case.run(Simd::Portable, &Serial), case.run(Simd::Avx2, &Serial));
        for (portable, avx2) in portable.chunks_exact(16).zip(avx2.chunks_exact(16)) {
            let largest = portable.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
            for (portable, avx2) in portable.iter().zip(avx2) {
                assert!((portable - avx2).abs() <= 1e-5 * largest, "{portable} and {avx2} in a head up to {largest}");
            }
        }
    }
}

/// Wider registers hold more sums, each with the same operations in the same order.
#[test]
fn avx2_and_avx512_agree_to_the_bit() {
    if !Simd::Avx512Vnni.is_available() {
        return println!("skipped: no AVX-512 with VNNI");
    }
    let tree = Sequence { context: 270, parents: vec![None, Some(0), None, Some(1), Some(0), Some(3), Some(2)] };
    for kv_type in KvType::ALL {
        for (head_dim, block_tokens, window) in [(16, 16, None), (64, 8, None), (72, 24, Some(100)), (136, 64, None)] {
            for rows in 1..10 {
                let config = AttentionConfig { head_dim, block_tokens, window, ..config() };
                let sequences = vec![Sequence::chain(300, rows), Sequence::chain(0, 17), tree.clone()];
                let case = Case { config, kv_type, sequences, distances: 0, seed: rows as u64 };
                let (avx2, avx512) = (case.run(Simd::Avx2, &Serial), case.run(Simd::Avx512Vnni, &Serial));
                assert_eq!(bits(&avx2), bits(&avx512), "{kv_type}: {rows} rows of heads of {head_dim}");
            }
        }
    }
}
