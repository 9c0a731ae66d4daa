//! Packing loses nothing, lays codes where the module says, and refuses sizes that do not belong together.

use half::f16;

use super::random::{Magnitude, Random, pack};
use super::*;

/// Lengths on both sides of every block, vector and record.
const LENGTHS: [usize; 16] = [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 255, 256, 257, 512, 576];

fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|weight| weight.to_bits()).collect()
}

fn message(format: WeightFormat, n: usize, k: usize, bytes: usize) -> String {
    let error = PackedWeights::new(format, n, k, &vec![0; bytes]).expect_err("the size should be refused");
    error.to_string()
}

#[test]
fn packed_rows_have_the_bits_of_the_rows() {
    let mut random = Random::new(1, Magnitude::Any);
    for format in WeightFormat::ALL {
        for (k, n) in LENGTHS.into_iter().flat_map(|k| [1, 7, 8, 9, 17].map(|n| (k, n))) {
            let rows = random.list(n, |random| random.row(format, k));
            let packed = pack(&rows);
            let weights = PackedWeights::new(format, n, k, &packed).expect("the size is right");
            let mut found = vec![0.0; k];
            for (index, row) in rows.iter().enumerate() {
                weights.dequantize_row(index, &mut found);
                assert_eq!(bits(&found), bits(&row.dequantize()), "{format}, row {index} of [{n}, {k}]");
            }
        }
    }
}

#[test]
fn what_a_panel_has_no_weights_for_is_zero() {
    let mut random = Random::new(2, Magnitude::Any);
    for format in WeightFormat::ALL {
        for k in LENGTHS {
            let rows = random.list(3, |random| random.row(format, k));
            let nothing = match format {
                WeightFormat::F32 => WeightRow::F32(vec![0.0; k]),
                WeightFormat::Q4 => WeightRow::Q4 { codes: vec![0; k], scales: vec![f16::ZERO; k] },
                WeightFormat::Q4Minimum => WeightRow::Q4Minimum { codes: vec![0; k], scales: vec![[f16::ZERO; 2]; k] },
                WeightFormat::Q8 => WeightRow::Q8 { codes: vec![0; k], scales: vec![f16::ZERO; k] },
                WeightFormat::Q8Minimum => WeightRow::Q8Minimum { codes: vec![0; k], scales: vec![[0.0; 2]; k] },
                WeightFormat::Q4K | WeightFormat::Q8K => continue,
            };
            let with_zeros = [rows.clone(), vec![nothing; 5]].concat();
            assert_eq!(pack(&rows), pack(&with_zeros), "{format}, k = {k}");
        }
    }
}

#[test]
fn codes_stand_where_the_module_says() {
    let row = |codes: Vec<i8>| WeightRow::Q8 { codes, scales: vec![f16::ONE; 2] };
    let packed = pack(&[row(vec![0; 64]), row((0..64).collect())]);
    for k in 0..64 {
        assert_eq!(packed[32 + k / 4 * 32 + 4 + k % 4], k as u8, "8 bits, k = {k}");
    }
    let row = |codes: Vec<i8>| WeightRow::Q4 { codes, scales: vec![f16::ONE; 2] };
    let packed = pack(&[row(vec![0; 64]), row((0..64).map(|k| k % 15 + 1).collect())]);
    for k in 0..64 {
        let byte = packed[32 + k / 8 * 32 + 4 + k % 4];
        let code = if k % 8 < 4 { byte & 15 } else { byte >> 4 };
        assert_eq!(usize::from(code), k % 15 + 1, "4 bits, k = {k}");
    }
}

#[test]
fn a_format_has_the_bytes_that_the_module_says() {
    let found = WeightFormat::ALL.map(|format| (format.name(), format.record().values, format.record().bytes()));
    let expected = [
        ("f32", 1, 32),
        ("q4", 64, 288),
        ("q4m", 64, 320),
        ("q4k", 256, 1184),
        ("q8", 64, 544),
        ("q8m", 64, 640),
        ("q8k", 256, 2192),
    ];
    assert_eq!(found, expected);
}

#[test]
fn names_are_read_back_and_others_refused() {
    for format in WeightFormat::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    let expected = "weight format `q5`, expected one of f32, q4, q4m, q4k, q8, q8m, q8k";
    assert_eq!("q5".parse::<WeightFormat>(), Err(expected.to_owned()));
}

#[test]
fn sizes_that_do_not_belong_together_are_refused() {
    assert_eq!(message(WeightFormat::Q4, 9, 64, 288), "`q4` weights [9, 64] have 288 bytes, expected 576");
    assert_eq!(message(WeightFormat::Q4, 9, 64, 577), "`q4` weights [9, 64] have 577 bytes, expected 576");
    assert_eq!(message(WeightFormat::Q8, 8, 65, 544), "`q8` weights [8, 65] have 544 bytes, expected 1088");
    assert_eq!(message(WeightFormat::F32, 0, 4, 0), "`f32` weights [0, 4] have 0 bytes, expected at least one weight");
    assert_eq!(message(WeightFormat::F32, 4, 0, 0), "`f32` weights [4, 0] have 0 bytes, expected at least one weight");
}

#[test]
fn sizes_that_overflow_are_refused() {
    for format in WeightFormat::ALL {
        for (n, k) in [(1, usize::MAX), (usize::MAX, 1 << 12), (usize::MAX, usize::MAX)] {
            let expected = format!("`{format}` weights [{n}, {k}] have 32 bytes, expected fewer weights");
            assert_eq!(message(format, n, k, 32), expected);
        }
    }
}
