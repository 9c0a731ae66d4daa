//! The version of the loaded library.
//!
//! The library tells it at its entry point, which `ort` keeps to itself, and again in the description of its CPU
//! provider, which is read here.

use std::ffi::CStr;

use ort::AsPointer;
use ort::environment::Environment;

/// The version, as in "1.31.1", unless the library describes no provider of its own.
pub(super) fn library_version(environment: &Environment) -> Option<String> {
    let cpu = environment.devices().find(|device| matches!(device.ep(), Ok("CPUExecutionProvider")))?;
    // SAFETY: the device is ONNX Runtime's and lives as long as `environment`; so do its description and the text in
    // it, which ends in a zero byte and is copied at once. Null, for a key that is not there, is not followed.
    let text = unsafe {
        let description = (ort::api().EpDevice_EpMetadata)(cpu.ptr());
        let version = (ort::api().GetKeyValue)(description, c"version".as_ptr());
        if version.is_null() {
            return None;
        }
        CStr::from_ptr(version).to_string_lossy().into_owned()
    };
    Some(text)
}
