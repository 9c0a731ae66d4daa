//! What all operators share: attributes and tensors of a node, read with checks, and errors that name it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ort::operator::{ComputeContext, FromKernelContext, KernelContext};
use ort::value::{PrimitiveTensorElementType, ValueRef};

/// A node's attributes, read while its session is created.
pub(super) struct Attributes<'a, 'attr> {
    context: &'a KernelContext<'attr>,
}

impl<'a, 'attr> Attributes<'a, 'attr> {
    pub(super) fn new(context: &'a KernelContext<'attr>) -> Self {
        Self { context }
    }

    pub(super) fn expect(&self, name: &str, expected: i64) -> Result<(), String> {
        match self.context.get::<i64>(name) {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(format!("attribute `{name}` is {found}, expected {expected}")),
            None => Err(format!("attribute `{name}` is missing, expected {expected}")),
        }
    }

    pub(super) fn count(&self, name: &str) -> Result<usize, String> {
        count(name, self.get(name)?)
    }

    pub(super) fn counts(&self, name: &str) -> Result<Vec<usize>, String> {
        self.get::<Vec<i64>>(name)?.into_iter().map(|found| count(name, found)).collect()
    }

    pub(super) fn number(&self, name: &str) -> Result<f32, String> {
        self.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        self.get(name)
    }

    /// An attribute that may be left out.
    pub(super) fn optional_number(&self, name: &str) -> Option<f32> {
        self.context.get(name)
    }

    /// A reason with the node's name.
    pub(super) fn error(&self, reason: &str) -> ort::Error {
        ort::Error::new(format!("node `{}`: {reason}", self.node_name()))
    }

    pub(super) fn node_name(&self) -> String {
        self.context.node_name().unwrap_or_default()
    }

    fn get<T: FromKernelContext<'attr>>(&self, name: &str) -> Result<T, String> {
        self.context.get(name).ok_or_else(|| format!("attribute `{name}` is missing"))
    }
}

fn count(name: &str, found: i64) -> Result<usize, String> {
    usize::try_from(found).map_err(|_| format!("attribute `{name}` is {found}, expected 0 or more"))
}

/// Axes and values of a tensor.
pub(super) type Axed<'a, T> = (Vec<usize>, &'a [T]);

/// The tensors of one call.
pub(super) struct Inputs<'a> {
    values: Vec<Option<ValueRef<'a>>>,
}

impl<'a> Inputs<'a> {
    pub(super) fn new(context: &'a ComputeContext) -> ort::Result<Self> {
        let count = context.num_inputs()?;
        Ok(Self { values: (0..count).map(|index| context.input(index)).collect::<ort::Result<_>>()? })
    }

    /// Whether an input is there.
    pub(super) fn has(&self, index: usize) -> bool {
        self.values.get(index).is_some_and(Option::is_some)
    }

    /// Axes and values of an input that must be there.
    pub(super) fn required<T: PrimitiveTensorElementType>(&self, index: usize) -> Result<Axed<'_, T>, String> {
        self.optional(index)?.ok_or_else(|| format!("input {index} is missing"))
    }

    /// Axes and values of an input that may be left out.
    pub(super) fn optional<T: PrimitiveTensorElementType>(&self, index: usize) -> Result<Option<Axed<'_, T>>, String> {
        let Some(Some(value)) = self.values.get(index) else { return Ok(None) };
        let (shape, values) = value.try_extract_tensor::<T>().map_err(|error| format!("input {index}: {error}"))?;
        let axes = shape.iter().map(|&axis| usize::try_from(axis).unwrap_or(0)).collect();
        Ok(Some((axes, values)))
    }
}

/// Lets `write` fill the node's one output, `[rows, columns]` f32.
pub(super) fn write_output(
    context: &ComputeContext,
    [rows, columns]: [usize; 2],
    write: impl FnOnce(&mut [f32]),
) -> Result<(), String> {
    let output = context.output(0, [rows as i64, columns as i64]).map_err(|error| error.to_string())?;
    let mut output = output.ok_or("the output is not wanted")?;
    let (_, output) = output.try_extract_tensor_mut::<f32>().map_err(|error| error.to_string())?;
    write(output);
    Ok(())
}

/// Runs a kernel and names the node in its error. A panic must not unwind into ONNX Runtime, which would end the process
/// without a word.
pub(super) fn guarded(node: impl Fn() -> String, run: impl FnOnce() -> Result<(), String>) -> ort::Result<()> {
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let outcome = outcome.unwrap_or_else(|_| Err("this is a bug in veridraft: a kernel panicked".to_owned()));
    outcome.map_err(|reason| ort::Error::new(format!("{}: {reason}", node())))
}
