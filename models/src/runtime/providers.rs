//! Which execution providers the loaded library was built with.

use ort::ep::ExecutionProvider;
use ort::session::builder::SessionBuilder;

/// Those that Veridraft has a use for, as ONNX Runtime names them.
const NAMES: [&str; 6] = [
    "TensorrtExecutionProvider",
    "CUDAExecutionProvider",
    "CoreMLExecutionProvider",
    "OpenVINOExecutionProvider",
    "DmlExecutionProvider",
    "CPUExecutionProvider",
];

/// Names the provider at `INDEX`, for `ort` answers questions about types only.
struct Probe<const INDEX: usize>;

impl<const INDEX: usize> ExecutionProvider for Probe<INDEX> {
    const NAME: &'static str = NAMES[INDEX];

    fn register(&self, _builder: &mut SessionBuilder) -> ort::Result<()> {
        Err(ort::Error::new("a probe is asked about and never registered"))
    }
}

/// Providers in the library. That does not mean that this machine has the hardware.
pub(super) fn available() -> Vec<&'static str> {
    let answers = [
        Probe::<0>::is_available(),
        Probe::<1>::is_available(),
        Probe::<2>::is_available(),
        Probe::<3>::is_available(),
        Probe::<4>::is_available(),
        Probe::<5>::is_available(),
    ];
    NAMES.into_iter().zip(answers).filter(|(_, answer)| matches!(answer, Ok(true))).map(|(name, _)| name).collect()
}
