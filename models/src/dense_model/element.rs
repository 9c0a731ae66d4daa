//! Types of numbers that foreign graphs take and give, and tensors of them.

use half::f16;
use ort::memory::Allocator;
use ort::value::{DynTensor, DynValue, PrimitiveTensorElementType, Tensor, TensorElementType};

/// A type of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Float(Float),
    Integer(Integer),
    /// Any other, by ONNX Runtime's name.
    Other(TensorElementType),
}

/// Keys, values and scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Float {
    F32,
    F16,
}

/// Tokens, positions and masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integer {
    I64,
    I32,
}

impl Element {
    pub(super) fn of(found: TensorElementType) -> Self {
        match found {
            TensorElementType::Float32 => Self::Float(Float::F32),
            TensorElementType::Float16 => Self::Float(Float::F16),
            TensorElementType::Int64 => Self::Integer(Integer::I64),
            TensorElementType::Int32 => Self::Integer(Integer::I32),
            other => Self::Other(other),
        }
    }

    pub(super) fn float(self) -> Option<Float> {
        if let Self::Float(float) = self { Some(float) } else { None }
    }

    pub(super) fn integer(self) -> Option<Integer> {
        if let Self::Integer(integer) = self { Some(integer) } else { None }
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float(float) => float.fmt(formatter),
            Self::Integer(Integer::I64) => formatter.write_str("int64"),
            Self::Integer(Integer::I32) => formatter.write_str("int32"),
            Self::Other(other) => write!(formatter, "{other}"),
        }
    }
}

impl std::fmt::Display for Float {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
        })
    }
}

impl Integer {
    /// A tensor `[1, values]`.
    pub(super) fn row(self, values: impl ExactSizeIterator<Item = usize>) -> ort::Result<DynTensor> {
        let shape = [1, values.len()];
        match self {
            Self::I64 => tensor(shape, values.map(|value| value as i64).collect()),
            // Tokens and positions, all below 2^31.
            Self::I32 => tensor(shape, values.map(|value| value as i32).collect()),
        }
    }
}

impl Float {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }

    /// A tensor without any numbers in it.
    pub(super) fn empty(self, shape: [usize; 4]) -> ort::Result<DynTensor> {
        match self {
            Self::F32 => tensor::<f32, 4>(shape, Vec::new()),
            Self::F16 => tensor::<f16, 4>(shape, Vec::new()),
        }
    }

    /// A tensor of unknown numbers, of whose memory the system gives what is written to.
    pub(super) fn unwritten(self, shape: [usize; 4]) -> ort::Result<DynTensor> {
        let element = match self {
            Self::F32 => TensorElementType::Float32,
            Self::F16 => TensorElementType::Float16,
        };
        DynTensor::new(&Allocator::default(), element, shape)
    }

    /// The first `tokens` tokens of keys or values `[1, heads, more tokens, head_dim]`.
    pub(super) fn cut(self, full: &DynTensor, tokens: usize) -> ort::Result<DynTensor> {
        match self {
            Self::F32 => cut::<f32>(full, tokens),
            Self::F16 => cut::<f16>(full, tokens),
        }
    }

    /// Appends row `row` of scores, `[1, rows, vocabulary]`, to `out`.
    pub(super) fn append_row(self, scores: &DynValue, row: usize, out: &mut Vec<f32>) -> ort::Result<()> {
        match self {
            Self::F32 => out.extend_from_slice(row_of::<f32>(scores, row)?),
            Self::F16 => out.extend(row_of::<f16>(scores, row)?.iter().map(|score| score.to_f32())),
        }
        Ok(())
    }
}

fn tensor<T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static, const N: usize>(
    shape: [usize; N],
    values: Vec<T>,
) -> ort::Result<DynTensor> {
    Ok(Tensor::from_array((shape, values))?.upcast())
}

fn cut<T>(full: &DynTensor, tokens: usize) -> ort::Result<DynTensor>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Copy + 'static,
{
    let (shape, numbers) = full.try_extract_tensor::<T>()?;
    let [heads, held, head_dim] = [1, 2, 3].map(|axis| shape[axis] as usize);
    let mut kept = Vec::with_capacity(heads * tokens * head_dim);
    for head in 0..heads {
        kept.extend_from_slice(&numbers[head * held * head_dim..][..tokens * head_dim]);
    }
    tensor([1, heads, tokens, head_dim], kept)
}

fn row_of<T: PrimitiveTensorElementType>(scores: &DynValue, row: usize) -> ort::Result<&[T]> {
    let (shape, numbers) = scores.try_extract_tensor::<T>()?;
    let vocabulary = shape[2] as usize;
    Ok(&numbers[row * vocabulary..][..vocabulary])
}
