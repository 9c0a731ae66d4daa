//! Attention gives what its definition says, over keys and values as they are stored and nearly as they were.

use proptest::prelude::*;

use super::strategies::cases;
use crate::attention::KvType;
use crate::{Serial, Simd};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_agrees_with_the_definition_in_f64(case in cases()) {
        let arrays = case.arrays();
        for simd in Simd::available() {
            let mut pages = case.pages();
            let found = case.run_over(&mut pages, simd, &Serial);
            let expected = case.naive(&|token| case.stored(&arrays, &pages, token));
            for (found, expected) in found.iter().zip(&expected) {
                let error = (f64::from(*found) - expected).abs();
                prop_assert!(error < 2e-5, "{simd}: {found}, expected {expected}");
            }
        }
    }

    /// Numbers are up to 3, or 4.3 once rotated, and scores up to some ten: an error of a score changes the output by
    /// about as much.
    #[test]
    fn stored_keys_and_values_change_attention_little(case in cases()) {
        let tolerance = match case.kv_type {
            KvType::F32 => 2e-5,
            KvType::F16 => 1e-2,
            KvType::Q8 => 0.25,
        };
        let found = case.run(Simd::detect(), &Serial);
        for (found, expected) in found.iter().zip(&case.naive(&|token| case.exact(token))) {
            let error = (f64::from(*found) - expected).abs();
            prop_assert!(error < tolerance, "{}: {found}, expected {expected}", case.kv_type);
        }
    }
}
