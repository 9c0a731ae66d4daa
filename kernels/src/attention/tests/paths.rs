//! Dispatch paths agree.

use super::case::{Case, Sequence};
use super::strategies::config;
use crate::attention::KvType;
use crate::{Serial, Simd};

#[test]
fn paths_agree_to_one_part_in_a_hundred_thousand() {
    if !Simd::Avx2.is_available() {
        return println!("skipped: no AVX2");
    }
    for kv_type in KvType::ALL {
        let sequences = vec![Sequence::chain(300, 9), Sequence::chain(0, 17)];
        let case = Case { config: config(), kv_type, sequences, seed: 9 };
        let (portable, avx2) = (case.run(Simd::Portable, &Serial), case.run(Simd::Avx2, &Serial));
        for (portable, avx2) in portable.chunks_exact(16).zip(avx2.chunks_exact(16)) {
            let largest = portable.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
            for (portable, avx2) in portable.iter().zip(avx2) {
                assert!((portable - avx2).abs() <= 1e-5 * largest, "{portable} and {avx2} in a head up to {largest}");
            }
        }
    }
}
