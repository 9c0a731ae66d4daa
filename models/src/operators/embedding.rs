//! `veridraft.Embedding`, version 1: rows of packed weights as f32, by token.
//!
//! ```text
//! input            element  axes
//! 0 input_ids      i64      [rows]
//! 1 weights        u8       [panels, bytes of a panel]    packed as for `veridraft.MatMul`, which may read the same
//! output           f32      [rows, k]
//! ```
//!
//! Attributes: `version`, `layout` (of the panels), `k`, `columns` (the vocabulary), `format`.

use ort::operator::{ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput};
use ort::value::TensorElementType::{Int64, Uint8};
use veridraft_kernels::{LAYOUT_VERSION, PackedWeights, WeightFormat};

use super::node::{Attributes, Inputs, guarded, write_output};

const VERSION: i64 = 1;

/// The operator.
pub(crate) struct Embedding;

/// One node of a graph.
pub(crate) struct EmbeddingKernel {
    format: WeightFormat,
    vocabulary: usize,
    k: usize,
}

impl Operator for Embedding {
    type Kernel<'attr> = EmbeddingKernel;

    fn name(&self) -> &str {
        "Embedding"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Int64, Uint8].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(ort::value::TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        let attributes = Attributes::new(context);
        kernel(&attributes).map_err(|reason| attributes.error(&reason))
    }
}

fn kernel(attributes: &Attributes) -> Result<EmbeddingKernel, String> {
    attributes.expect("version", VERSION)?;
    attributes.expect("layout", LAYOUT_VERSION)?;
    let format = attributes.text("format")?.parse()?;
    Ok(EmbeddingKernel { format, vocabulary: attributes.count("columns")?, k: attributes.count("k")? })
}

impl Kernel for EmbeddingKernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let inputs = Inputs::new(context)?;
        guarded(|| "Embedding".to_owned(), || self.run(context, &inputs))
    }
}

impl EmbeddingKernel {
    fn run(&self, context: &ComputeContext, inputs: &Inputs) -> Result<(), String> {
        let (_, ids) = inputs.required::<i64>(0)?;
        let (_, bytes) = inputs.required::<u8>(1)?;
        let weights = PackedWeights::new(self.format, self.vocabulary, self.k, bytes);
        let weights = weights.map_err(|error| format!("input 1: {error}"))?;
        let row = |id: i64| usize::try_from(id).ok().filter(|&row| row < self.vocabulary);
        if let Some(id) = ids.iter().find(|&&id| row(id).is_none()) {
            return Err(format!("token {id}, expected 0 to {}", self.vocabulary - 1));
        }
        write_output(context, [ids.len(), self.k], |output| {
            for (id, places) in ids.iter().zip(output.chunks_exact_mut(self.k)) {
                weights.dequantize_row(*id as usize, places);
            }
        })
    }
}
