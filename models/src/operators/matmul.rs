//! `veridraft.MatMul`, version 1: a product with packed weights, and what stands before and behind it in a layer.
//!
//! ```text
//! input            element  axes
//! 0 input          f32      [rows, k]
//! 1 weights        u8       [panels, bytes of a panel]    of the first segment of columns
//! 2, 3 weights     u8       of the second and third segment; optional
//! 4 norm           f32      [k]                           optional: RMS normalisation of the input first
//! 5 bias           f32      [columns]                     optional
//! 6 residual       f32      [rows, columns]               optional: added last
//! output           f32      [rows, columns]
//! ```
//!
//! Attributes: `version`, `layout` (of the panels), `k`, `columns` (of each segment), `formats` (of each segment, as
//! [`WeightFormat`] names them, with commas between), `gated` (1: two segments of the same size give `silu(first) * second`), `epsilon` (of the
//! normalisation). Segments have formats of their own because checkpoints mix them within one layer.
//!
//! Weights are read where they lie: ONNX Runtime maps the file of external data, and nothing is copied.

use std::sync::Arc;

use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Float32, Uint8};
use veridraft_kernels::{LAYOUT_VERSION, MatMul as Product, PackedWeights, Pool, RmsNorm, Simd, WeightFormat, matmul};

use super::node::{Attributes, Inputs, guarded, write_output};

const VERSION: i64 = 1;

/// Segments of columns, at most: q, k and v.
const MOST_SEGMENTS: usize = 3;

/// The operator.
pub(crate) struct MatMul {
    pub(crate) pool: Arc<Pool>,
    pub(crate) simd: Simd,
}

/// One node of a graph.
pub(crate) struct MatMulKernel {
    name: String,
    k: usize,
    segments: Vec<Segment>,
    is_gated: bool,
    epsilon: f32,
    pool: Arc<Pool>,
    simd: Simd,
}

/// Columns of one format.
struct Segment {
    format: WeightFormat,
    columns: usize,
}

impl Operator for MatMul {
    type Kernel<'attr> = MatMulKernel;

    fn name(&self) -> &str {
        "MatMul"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let required = [Float32, Uint8].map(OperatorInput::required);
        let optional = [Uint8, Uint8, Float32, Float32, Float32].map(OperatorInput::optional);
        required.into_iter().chain(optional)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let attributes = Attributes::new(context);
        kernel(&attributes, self).map_err(|reason| attributes.error(&reason))
    }
}

fn kernel(attributes: &Attributes, operator: &MatMul) -> Result<MatMulKernel, String> {
    attributes.expect("version", VERSION)?;
    attributes.expect("layout", LAYOUT_VERSION)?;
    let (columns, formats) = (attributes.counts("columns")?, attributes.text("formats")?);
    let formats: Vec<&str> = formats.split(',').collect();
    if columns.len() != formats.len() || !(1..=MOST_SEGMENTS).contains(&columns.len()) {
        let (columns, formats) = (columns.len(), formats.len());
        return Err(format!("{columns} `columns` and {formats} `formats`, expected 1 to {MOST_SEGMENTS} of both"));
    }
    let segment = |(columns, format): (usize, &str)| Ok(Segment { format: format.parse()?, columns });
    let segments: Vec<_> = columns.into_iter().zip(formats).map(segment).collect::<Result<_, String>>()?;
    let is_gated = match attributes.count("gated")? {
        0 => false,
        1 => true,
        found => return Err(format!("attribute `gated` is {found}, expected 0 or 1")),
    };
    if is_gated && (segments.len() != 2 || segments[0].columns != segments[1].columns) {
        return Err("attribute `gated` is 1, expected 0 unless there are two segments of one size".to_owned());
    }
    let (name, k, epsilon) = (attributes.node_name(), attributes.count("k")?, attributes.number("epsilon")?);
    if k == 0 || segments.iter().any(|segment| segment.columns == 0) {
        return Err("attribute `k` or `columns` is 0, expected at least 1".to_owned());
    }
    if !(epsilon.is_finite() && epsilon >= 0.0) {
        return Err(format!("attribute `epsilon` is {epsilon}, expected 0 or more"));
    }
    let (pool, simd) = (operator.pool.clone(), operator.simd);
    Ok(MatMulKernel { name, k, segments, is_gated, epsilon, pool, simd })
}

impl Kernel for MatMulKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let inputs = Inputs::new(context)?;
        guarded(|| format!("MatMul, node `{}`", self.name), || self.run(context, &inputs))
    }
}

impl MatMulKernel {
    fn run(&self, context: &ComputeContext, inputs: &Inputs) -> Result<(), String> {
        let (axes, input) = inputs.required::<f32>(0)?;
        if axes.len() != 2 || axes[1] != self.k {
            return Err(format!("the input is {axes:?}, expected [rows, {}]", self.k));
        }
        let rows = axes[0];
        let weights = self.weights(inputs)?;
        let norm = floats(inputs, 4, self.k)?;
        let norm = (!norm.is_empty()).then_some(RmsNorm { weight: norm, epsilon: self.epsilon });
        let plain = Product { input, weights: &weights, norm, bias: &[], is_gated: self.is_gated, residual: &[] };
        let columns = plain.columns();
        let bias = floats(inputs, 5, columns)?;
        if self.is_gated && !bias.is_empty() {
            return Err("input 5, the bias, is there, expected none in a gated product".to_owned());
        }
        let residual = floats(inputs, 6, rows * columns)?;
        let product = Product { bias, residual, ..plain };
        write_output(context, [rows, columns], |output| matmul(self.simd, &product, output, &*self.pool))
    }

    fn weights<'a>(&self, inputs: &'a Inputs) -> Result<Vec<PackedWeights<'a>>, String> {
        let count = self.segments.len();
        if let Some(index) = (1 + count..=MOST_SEGMENTS).find(|&index| inputs.has(index)) {
            return Err(format!("input {index} is there, expected weights of {count} segments"));
        }
        let weights = |(index, segment): (usize, &Segment)| {
            let (_, bytes) = inputs.required::<u8>(1 + index)?;
            let packed = PackedWeights::new(segment.format, segment.columns, self.k, bytes);
            packed.map_err(|error| format!("input {}: {error}", 1 + index))
        };
        self.segments.iter().enumerate().map(weights).collect()
    }
}

/// The numbers of an optional input, of which there must be `expected`; none where it is left out.
fn floats<'a>(inputs: &'a Inputs, index: usize, expected: usize) -> Result<&'a [f32], String> {
    match inputs.optional::<f32>(index)? {
        None => Ok(&[]),
        Some((_, numbers)) if numbers.len() == expected => Ok(numbers),
        Some((axes, _)) => Err(format!("input {index} is {axes:?}, expected {expected} numbers")),
    }
}
