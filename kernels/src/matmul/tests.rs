//! Laws of the product: every row alone equals every row in company, bit for bit; and it is the product that it should be.

use super::{MatMul, RmsNorm, matmul};
use crate::weights::random::{Magnitude, Random, pack};
use crate::{PackedWeights, Parallel, Serial, Simd, Threads, WeightFormat, WeightRow};

/// A random matrix and its rows before they were packed.
struct Matrix {
    format: WeightFormat,
    rows: Vec<WeightRow>,
    bytes: Vec<u8>,
}

impl Matrix {
    fn new(random: &mut Random, format: WeightFormat, n: usize, k: usize) -> Self {
        let rows = random.list(n, |random| random.row(format, k));
        Self { format, bytes: pack(&rows), rows }
    }

    fn packed(&self) -> PackedWeights<'_> {
        PackedWeights::new(self.format, self.rows.len(), self.rows[0].k(), &self.bytes).expect("packed above")
    }
}

/// What a slow and obvious product gives, in f64, with the quantisation of the input that the module states.
fn expected(weights: &[&Matrix], matmul: &MatMul) -> Vec<f64> {
    let k = weights[0].rows[0].k();
    let columns = |input: &[f64], floats: bool| -> Vec<f64> {
        let quantised = |chunk: &[f64]| {
            let largest = chunk.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
            let scale = largest / 127.0;
            chunk.iter().map(|x| if scale > 0.0 { (x / scale).round_ties_even() * scale } else { 0.0 }).collect()
        };
        if floats {
            input.to_vec()
        } else {
            input.chunks(32).flat_map(|chunk| -> Vec<f64> { quantised(chunk) }).collect()
        }
    };
    let mut output = Vec::new();
    for (row, input) in matmul.input.chunks(k).enumerate() {
        let mut input: Vec<f64> = input.iter().map(|&x| f64::from(x)).collect();
        if let Some(norm) = matmul.norm {
            let mean = input.iter().map(|x| x * x).sum::<f64>() / k as f64;
            let scale = 1.0 / (mean + f64::from(norm.epsilon)).sqrt();
            input.iter_mut().zip(norm.weight).for_each(|(x, weight)| *x *= scale * f64::from(*weight));
        }
        let mut sums = Vec::new();
        for matrix in weights {
            let input = columns(&input, matrix.format == WeightFormat::F32);
            sums.extend(
                matrix.rows.iter().map(|row| {
                    row.dequantize().iter().zip(&input).map(|(weight, x)| f64::from(*weight) * x).sum::<f64>()
                }),
            );
        }
        sums.iter_mut().zip(matmul.bias).for_each(|(sum, bias)| *sum += f64::from(*bias));
        if matmul.is_gated {
            let (gate, up) = sums.split_at(sums.len() / 2);
            sums = gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
        }
        let residual = matmul.residual.get(row * sums.len()..).unwrap_or(&[]);
        sums.iter_mut().zip(residual).for_each(|(sum, residual)| *sum += f64::from(*residual));
        output.extend(sums);
    }
    output
}

fn run(simd: Simd, product: &MatMul, parallel: &dyn Parallel) -> Vec<f32> {
    let columns = product.columns();
    let mut output = vec![f32::NAN; product.rows() * columns];
    matmul(simd, product, &mut output, parallel);
    output
}

fn assert_same_bits(found: &[f32], expected: &[f32], what: &str) {
    let difference = found.iter().zip(expected).position(|(found, expected)| found.to_bits() != expected.to_bits());
    assert_eq!(difference, None, "{what}");
    assert_eq!(found.len(), expected.len(), "{what}");
}

/// Every row alone, and some of each batch size, have the same bits, on every path and any number of threads.
fn check_rows(product: &MatMul, sizes: &[usize]) {
    let (k, columns) = (product.k(), product.columns());
    for simd in Simd::available() {
        let part = |rows: std::ops::Range<usize>| MatMul {
            input: &product.input[rows.start * k..rows.end * k],
            residual: product.residual.get(rows.start * columns..rows.end * columns).unwrap_or(&[]),
            ..*product
        };
        let alone: Vec<f32> = (0..product.rows()).flat_map(|row| run(simd, &part(row..row + 1), &Serial)).collect();
        for &size in sizes.iter().filter(|&&size| size <= product.rows()) {
            for threads in [1, 2, 3] {
                let first = product.rows() - size;
                let found = run(simd, &part(first..product.rows()), &Threads(threads));
                assert_same_bits(&found, &alone[first * columns..], &format!("{simd}, {size} rows, {threads} threads"));
            }
        }
    }
}

#[test]
fn the_product_is_that_of_the_dequantised_weights() {
    let mut random = Random::new(1, Magnitude::Ordinary);
    for format in WeightFormat::ALL {
        for (n, k) in [(1, 256), (7, 512), (8, 256), (9, 256), (16, 768), (23, 512), (40, 256)] {
            let matrix = Matrix::new(&mut random, format, n, k);
            let input = random.numbers(5 * k);
            let weights = [matrix.packed()];
            let product =
                MatMul { input: &input, weights: &weights, norm: None, bias: &[], is_gated: false, residual: &[] };
            let expected = expected(&[&matrix], &product);
            let size = expected.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
            for simd in Simd::available() {
                for (found, expected) in run(simd, &product, &Serial).iter().zip(&expected) {
                    // A code that lies half way between two integers may round either way.
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error < 2e-3 * size, "{simd} {format} [{n}, {k}]: {found}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn norm_bias_gate_and_residual_are_applied_in_this_order() {
    let mut random = Random::new(2, Magnitude::Ordinary);
    let (k, n) = (256, 20);
    for format in WeightFormat::ALL {
        let (first, second) = (Matrix::new(&mut random, format, n, k), Matrix::new(&mut random, format, n, k));
        let weights = [first.packed(), second.packed()];
        let input = random.numbers(3 * k);
        let (norm_weight, bias, residual) = (random.numbers(k), random.numbers(2 * n), random.numbers(6 * n));
        let norm = Some(RmsNorm { weight: &norm_weight, epsilon: 1e-5 });
        let plain =
            MatMul { input: &input, weights: &weights, norm, bias: &bias, is_gated: false, residual: &residual };
        let gated = MatMul { bias: &[], is_gated: true, residual: &residual[..3 * n], ..plain };
        for product in [plain, gated] {
            let expected = expected(&[&first, &second], &product);
            let size = expected.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
            for simd in Simd::available() {
                for (found, expected) in run(simd, &product, &Serial).iter().zip(&expected) {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error < 5e-3 * size, "{simd} {format}: {found}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn a_row_alone_equals_the_row_in_company() {
    let mut random = Random::new(3, Magnitude::Ordinary);
    let sizes: Vec<usize> = (2..=33).chain([64, 129]).collect();
    for format in WeightFormat::ALL {
        for (n, k) in [(44, 256), (17, 768)] {
            let matrix = Matrix::new(&mut random, format, n, k);
            let input = random.numbers(129 * k);
            let weights = [matrix.packed()];
            let product =
                MatMul { input: &input, weights: &weights, norm: None, bias: &[], is_gated: false, residual: &[] };
            check_rows(&product, &sizes);
        }
    }
}

#[test]
fn mixed_formats_in_one_product_are_row_exact() {
    let mut random = Random::new(4, Magnitude::Ordinary);
    let (k, n) = (256, 24);
    let matrices = WeightFormat::ALL.map(|format| Matrix::new(&mut random, format, n, k));
    let input = random.numbers(40 * k);
    let residual = random.numbers(40 * n * 7);
    let norm_weight = random.numbers(k);
    let norm = Some(RmsNorm { weight: &norm_weight, epsilon: 1e-6 });
    let all = matrices.each_ref().map(Matrix::packed);
    let product = MatMul { input: &input, weights: &all, norm, bias: &[], is_gated: false, residual: &residual };
    check_rows(&product, &[2, 5, 40]);
    for pair in all.windows(2) {
        let product = MatMul { weights: pair, is_gated: true, residual: &residual[..40 * n], ..product };
        check_rows(&product, &[2, 5, 40]);
    }
}

#[test]
fn two_thousand_rows_equal_single_ones() {
    let mut random = Random::new(5, Magnitude::Ordinary);
    for format in WeightFormat::ALL {
        let matrix = Matrix::new(&mut random, format, 24, 256);
        let input = random.numbers(2048 * 256);
        let weights = [matrix.packed()];
        let product =
            MatMul { input: &input, weights: &weights, norm: None, bias: &[], is_gated: false, residual: &[] };
        check_rows(&product, &[511, 512, 2048]);
    }
}

#[test]
fn lengths_that_fill_no_record_are_padded_with_nothing() {
    let mut random = Random::new(6, Magnitude::Ordinary);
    for format in WeightFormat::ALL {
        for k in [1, 31, 32, 33, 63, 65, 96, 255, 257] {
            let matrix = Matrix::new(&mut random, format, 9, k);
            let input = random.numbers(3 * k);
            let norm_weight = random.numbers(k);
            let weights = [matrix.packed()];
            let norm = Some(RmsNorm { weight: &norm_weight, epsilon: 1e-5 });
            let product = MatMul { input: &input, weights: &weights, norm, bias: &[], is_gated: false, residual: &[] };
            let expected = expected(&[&matrix], &product);
            let size = expected.iter().fold(1e-3_f64, |size, x| size.max(x.abs()));
            for (found, expected) in run(Simd::Portable, &product, &Serial).iter().zip(&expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 5e-3 * size,
                    "{format} {k}: {found}, expected {expected}"
                );
            }
            check_rows(&product, &[2, 3]);
        }
    }
}

#[test]
fn paths_agree_to_a_hundred_thousandth() {
    let mut random = Random::new(7, Magnitude::Ordinary);
    for format in WeightFormat::ALL {
        let matrix = Matrix::new(&mut random, format, 40, 512);
        let input = random.numbers(6 * 512);
        let weights = [matrix.packed()];
        let product =
            MatMul { input: &input, weights: &weights, norm: None, bias: &[], is_gated: false, residual: &[] };
        let oracle = run(Simd::Portable, &product, &Serial);
        let size = oracle.iter().fold(0.0_f32, |size, x| size.max(x.abs()));
        for simd in Simd::available() {
            for (found, expected) in run(simd, &product, &Serial).iter().zip(&oracle) {
                assert!((found - expected).abs() <= 1e-5 * size, "{simd} {format}: {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_so_and_zeros_give_zeros() {
    let mut random = Random::new(8, Magnitude::Ordinary);
    for format in WeightFormat::ALL {
        let matrix = Matrix::new(&mut random, format, 8, 256);
        let weights = [matrix.packed()];
        for (fill, is_nan) in [(f32::NAN, true), (f32::INFINITY, true), (0.0, false), (1e-41, false)] {
            let mut input = vec![0.0; 256];
            input[40] = fill;
            input[41] = -fill;
            let product =
                MatMul { input: &input, weights: &weights, norm: None, bias: &[], is_gated: false, residual: &[] };
            for simd in Simd::available() {
                let found = run(simd, &product, &Serial);
                let lost = |x: &f32| if is_nan { x.is_finite() } else { x.abs() > 1e-38 };
                assert!(!found.iter().any(lost), "{simd} {format} of {fill}: {found:?}");
            }
        }
    }
}

/// All that a product may have around it, on matrices of every format.
fn check_with_everything(check: impl Fn(&MatMul, &str)) {
    let mut random = Random::new(9, Magnitude::Ordinary);
    let (k, n) = (512, 41);
    let (input, norm_weight, residual) = (random.numbers(11 * k), random.numbers(k), random.numbers(11 * 2 * n));
    let norm = Some(RmsNorm { weight: &norm_weight, epsilon: 1e-5 });
    for format in WeightFormat::ALL {
        let matrices = [0, 1].map(|_| Matrix::new(&mut random, format, n, k));
        let weights = matrices.each_ref().map(Matrix::packed);
        let plain = MatMul { input: &input, weights: &weights, norm, bias: &[], is_gated: false, residual: &residual };
        check(&plain, &format!("{format}"));
        check(&MatMul { is_gated: true, residual: &residual[..11 * n], ..plain }, &format!("{format}, gated"));
    }
}

#[test]
fn avx2_and_avx512_agree_to_the_bit() {
    if !Simd::Avx512Vnni.is_available() {
        println!("skipped: this processor has no AVX-512 with VNNI");
        return;
    }
    check_with_everything(|product, what| {
        let expected = run(Simd::Avx2, product, &Serial);
        assert_same_bits(&run(Simd::Avx512Vnni, product, &Serial), &expected, what);
    });
}

#[test]
fn a_row_that_is_no_number_leaves_the_others_alone() {
    check_with_everything(|product, what| {
        let (k, columns) = (product.k(), product.columns());
        for simd in Simd::available() {
            let expected = run(simd, product, &Serial);
            let mut input = product.input.to_vec();
            input[4 * k + 7] = f32::NAN;
            input[5 * k + 300] = f32::INFINITY;
            let found = run(simd, &MatMul { input: &input, ..*product }, &Serial);
            assert!(found[4 * columns..6 * columns].iter().any(|x| x.is_nan()), "{simd}, {what}");
            assert_same_bits(&found[..4 * columns], &expected[..4 * columns], what);
            assert_same_bits(&found[6 * columns..], &expected[6 * columns..], what);
        }
    });
}

/// The largest codes times the largest inputs: no sum of products overflows, on any path.
#[test]
fn the_largest_codes_and_inputs_do_not_overflow() {
    let k = 256;
    for (high, low) in [(15, 0), (15, 15), (127, -128), (-128, -128), (127, 127)] {
        let codes: Vec<i8> = (0..k).map(|k| if k % 2 == 0 { high } else { low }).collect();
        let scales = vec![half::f16::ONE; k / 32];
        let row = match high {
            15 => WeightRow::Q4 { codes, scales },
            _ => WeightRow::Q8 { codes, scales },
        };
        let matrix = Matrix { format: row.format(), bytes: pack(&vec![row.clone(); 9]), rows: vec![row; 9] };
        for signs in [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]] {
            let input: Vec<f32> = (0..k).map(|k| 127.0 * signs[k % 2]).collect();
            let weights = [matrix.packed()];
            let product =
                MatMul { input: &input, weights: &weights, norm: None, bias: &[], is_gated: false, residual: &[] };
            let expected = expected(&[&matrix], &product)[0];
            for simd in Simd::available() {
                for found in run(simd, &product, &Serial) {
                    assert_eq!(f64::from(found), expected, "{simd}: codes {high} and {low}, inputs {signs:?}");
                }
            }
        }
    }
}
