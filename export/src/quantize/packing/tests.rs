//! Panels hold the checkpoint's weights, whatever the number of rows and the format.

use std::ops::Range;
use std::path::Path;

use half::f16;
use veridraft_kernels::PackedWeights;

use super::*;

const NAME: &str = "some.weight";

/// One tensor whose rows are what a function of the row's number says.
struct OneTensor {
    shape: Vec<usize>,
    format: WeightFormat,
    row: fn(usize, usize) -> WeightRow,
}

impl TensorSource for OneTensor {
    fn path(&self) -> &Path {
        Path::new("model")
    }

    fn names(&self) -> Vec<&str> {
        vec![NAME]
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        (name == NAME).then(|| self.shape.clone())
    }

    fn format(&self, name: &str) -> Option<WeightFormat> {
        (name == NAME).then_some(self.format)
    }

    fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let rows = self.read_rows(name, 0..self.shape[0])?;
        Ok(rows.iter().flat_map(WeightRow::dequantize).collect())
    }

    fn read_rows(&self, _name: &str, rows: Range<usize>) -> Result<Vec<WeightRow>> {
        assert!(rows.len() <= GROUP_ROWS, "more rows than a group at once");
        Ok(rows.map(|row| (self.row)(row, self.shape[1])).collect())
    }
}

fn float_row(row: usize, k: usize) -> WeightRow {
    WeightRow::F32((0..k).map(|column| ((row * 31 + column * 17) % 101) as f32 / 50.0 - 1.0).collect())
}

fn code_row(row: usize, k: usize) -> WeightRow {
    let codes = (0..k).map(|column| ((row + column * 3) % 16) as i8).collect();
    WeightRow::Q4 { codes, scales: vec![f16::from_f32(0.25); k.div_ceil(32)] }
}

fn floats(n: usize, k: usize) -> OneTensor {
    OneTensor { shape: vec![n, k], format: WeightFormat::F32, row: float_row }
}

fn codes(n: usize, k: usize) -> OneTensor {
    OneTensor { shape: vec![n, k], format: WeightFormat::Q4, row: code_row }
}

/// Packs a tensor in the shape that is chosen for it.
fn packed(
    tensor: &OneTensor,
    name: &str,
    weights: Weights,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<PackedShape> {
    let shape = packed_shape(tensor, name, weights)?;
    pack(tensor, name, shape, write)?;
    Ok(shape)
}

/// The panels, read back through [`PackedWeights`], which checks their size.
fn read_back(tensor: &OneTensor, weights: Weights) -> (WeightFormat, Vec<Vec<f32>>) {
    let mut bytes = Vec::new();
    let mut write = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let shape = packed(tensor, NAME, weights, &mut write).unwrap();
    assert_eq!(shape.format, target_format(tensor.format, weights));
    assert_eq!([shape.n, shape.k], *tensor.shape);
    assert_eq!(shape.panel_bytes * shape.format.panels(shape.n), bytes.len());
    let found = PackedWeights::new(shape.format, shape.n, shape.k, &bytes).unwrap();
    let row = |row| {
        let mut values = vec![0.0; shape.k];
        found.dequantize_row(row, &mut values);
        values
    };
    (shape.format, (0..shape.n).map(row).collect())
}

/// Packs and compares with what `expected` makes of each row.
fn check(tensor: &OneTensor, weights: Weights, format: WeightFormat, expected: impl Fn(&WeightRow) -> WeightRow) {
    let (found_format, found) = read_back(tensor, weights);
    assert_eq!(found_format, format, "{weights}");
    for (index, found) in found.iter().enumerate() {
        let row = (tensor.row)(index, tensor.shape[1]);
        assert_eq!(*found, expected(&row).dequantize(), "{weights}, row {index} of {:?}", tensor.shape);
    }
}

#[test]
fn each_choice_of_weights_packs_every_row() {
    for n in [1, 7, 8, 9, GROUP_ROWS - 1, GROUP_ROWS, GROUP_ROWS + 1, 2 * GROUP_ROWS + 13] {
        let tensor = floats(n, 40);
        check(&tensor, Weights::Auto, WeightFormat::F32, WeightRow::clone);
        check(&tensor, Weights::F32, WeightFormat::F32, WeightRow::clone);
        check(&tensor, Weights::Q8, WeightFormat::Q8, |row| quantize_q8(&row.dequantize()).unwrap());
        check(&tensor, Weights::Q4, WeightFormat::Q4Minimum, |row| quantize_q4(&row.dequantize()).unwrap());
    }
}

#[test]
fn codes_stay_widen_or_are_rounded_again() {
    let tensor = codes(9, 96);
    check(&tensor, Weights::Auto, WeightFormat::Q4, WeightRow::clone);
    check(&tensor, Weights::Q4, WeightFormat::Q4, WeightRow::clone);
    check(&tensor, Weights::F32, WeightFormat::F32, WeightRow::clone);
    check(&tensor, Weights::Q8, WeightFormat::Q8, |row| quantize_q8(&row.dequantize()).unwrap());
}

#[test]
fn a_format_follows_from_the_choice_and_the_tensors_own() {
    let of = |weights| WeightFormat::ALL.map(|own| target_format(own, weights).name()).join(" ");
    assert_eq!(of(Weights::Auto), "f32 q4 q4m q4k q8 q8m q8k");
    assert_eq!(of(Weights::F32), "f32 f32 f32 f32 f32 f32 f32");
    assert_eq!(of(Weights::Q8), "q8 q8 q8 q8 q8 q8m q8k");
    assert_eq!(of(Weights::Q4), "q4m q4 q4m q4k q4m q4m q4m");
}

#[test]
fn tensors_that_cannot_be_packed_are_refused() {
    let refused = |tensor: &OneTensor, name: &str, expected: &str| {
        let error = packed(tensor, name, Weights::Q4, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.to_string(), format!("`model`: tensor {expected}"));
    };
    refused(&floats(2, 2), "absent", "`absent` is missing");
    let vector = OneTensor { shape: vec![4], ..floats(1, 1) };
    refused(&vector, NAME, "`some.weight` has shape [4], expected rows and columns");
    let hostile = floats(0, usize::MAX);
    refused(&hostile, NAME, &format!("`some.weight` has shape [0, {}], expected rows and columns", usize::MAX));
    let large = OneTensor { row: |_, k| WeightRow::F32(vec![1e5; k]), ..floats(2, 2) };
    refused(&large, NAME, "`some.weight`: weight 100000 is too large for 4 bits with a 16-bit minimum");
}

#[test]
fn an_error_of_the_writer_ends_the_packing() {
    let mut pieces = 0;
    let mut write = |_: &[u8]| {
        pieces += 1;
        Err(Error::Checkpoint { path: "disk".into(), reason: "full".to_owned() })
    };
    let error = packed(&floats(2 * GROUP_ROWS, 4), NAME, Weights::Auto, &mut write).unwrap_err();
    assert_eq!((pieces, error.to_string().as_str()), (1, "`disk`: full"));
}
