//! How long each kind of node took, from the trace that ONNX Runtime's own profiler writes.
//!
//! The trace is a JSON list in the format of Chrome's trace viewer. Events stand in the order in which they ended: those
//! of a pass's nodes come before the `model_run` that they belong to. Durations are whole microseconds, cut off, so a
//! pass of many tiny nodes adds up to less than it took.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Error, Result};

/// What a profiled session did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// For each forward pass, in order, the time of all nodes of an operator together, such as `Gemm`.
    pub passes: Vec<BTreeMap<String, Duration>>,
}

impl Profile {
    /// Reads a finished trace.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let trace: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Runtime(format!("its profile is not JSON: {error}")))?;
        let events =
            trace.as_array().ok_or_else(|| Error::Runtime("its profile is not a list of events".to_owned()))?;
        Ok(Self::from_events(events))
    }

    fn from_events(events: &[Value]) -> Self {
        let mut profile = Self { passes: Vec::new() };
        let mut pass = BTreeMap::<String, Duration>::new();
        for event in events {
            let name = event["name"].as_str().unwrap_or_default();
            match event["cat"].as_str() {
                // Old versions of the library also time fences before and after a kernel.
                Some("Node") if name.ends_with("_kernel_time") => {
                    let operator = event["args"]["op_name"].as_str().unwrap_or("unknown");
                    let microseconds = event["dur"].as_u64().unwrap_or(0);
                    *pass.entry(operator.to_owned()).or_default() += Duration::from_micros(microseconds);
                }
                Some("Session") if name == "model_run" => profile.passes.push(std::mem::take(&mut pass)),
                _ => {}
            }
        }
        profile
    }
}

/// The folder that a session's trace is written to, gone with the model.
pub(super) struct TraceFolder(TempDir);

impl TraceFolder {
    pub(super) fn create() -> Result<Self> {
        tempfile::tempdir().map(Self).map_err(Error::io("create", std::env::temp_dir()))
    }

    /// What ONNX Runtime puts a date and `.json` behind.
    pub(super) fn prefix(&self) -> PathBuf {
        self.0.path().join("trace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn node_times_are_added_up_by_operator_and_pass() {
        let node = |name: &str, operator: &str, microseconds: u64| json!({ "cat": "Node", "name": name, "dur": microseconds, "args": { "op_name": operator } });
        let session = |name: &str| json!({ "cat": "Session", "name": name, "dur": 5000 });
        let profile = Profile::from_events(&[
            session("session_initialization"),
            node("a_kernel_time", "Gemm", 7),
            node("a_fence_after", "Gemm", 100),
            json!({ "cat": "Node", "name": "b_kernel_time", "dur": 1, "args": {
                "op_name": "Add",
                "thread_scheduling_stats": { "main_thread": {}, "sub_threads": { "1405": {}, "1406": {} } },
            } }),
            node("c_kernel_time", "Gemm", 3),
            session("SequentialExecutor::Execute"),
            session("model_run"),
            node("a_kernel_time", "Gemm", 8),
            session("model_run"),
        ]);
        let pass = |times: &[(&str, u64)]| {
            times.iter().map(|(name, time)| ((*name).to_owned(), Duration::from_micros(*time))).collect()
        };
        assert_eq!(profile.passes, [pass(&[("Add", 1), ("Gemm", 10)]), pass(&[("Gemm", 8)])]);
    }
}
