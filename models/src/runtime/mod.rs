//! The ONNX Runtime library: found or installed, then loaded once for the process.
//!
//! The library is opened at run time, so that one build of Veridraft serves every machine and every provider's
//! library. [`Runtime::load`] is the only way in: without it `ort` would panic at the first call.

mod install;
mod library;
mod load;
mod pins;
mod providers;
mod truncation;
mod version;

pub use install::{install, installed_path};
pub use library::{Library, LibraryChoice, Origin, find_library};
pub use load::Runtime;
pub use pins::{LibraryPin, VERSION, pin_for_this_platform};
