//! Weights are read where the file is mapped: opening the default model takes little memory of its own.
//!
//! A test binary of its own, so that nothing else has taken memory before. Ignored by default: run
//! `veridraft model pull smollm2-135m`, then `cargo test -p veridraft-tests --test memory -- --ignored`.
#![cfg(target_os = "linux")]

use std::fs;

use anyhow::{Context, Result, ensure};
use veridraft_models::runtime::{LibraryChoice, Runtime};
use veridraft_models::{CausalModel, CausalModelConfig, LanguageModel, ModelFolder, cache};
use veridraft_tests::one_token;

/// Memory of the process that no file stands behind, in bytes.
fn anonymous_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("Linux has `RssAnon`")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes * 1024)
}

#[test]
#[ignore = "needs the default model"]
fn an_open_model_takes_little_anonymous_memory_beside_its_pages() -> Result<()> {
    let path = cache::cache_directory()?.join("models/smollm2-135m/auto");
    ensure!(path.exists(), "`{}` is missing; run `veridraft model pull smollm2-135m`", path.display());
    let start = std::time::Instant::now();
    let folder = ModelFolder::open(path)?;
    let runtime = Runtime::load(&LibraryChoice::default())?;
    let mut model = CausalModel::open(&runtime, &folder.onnx_path, CausalModelConfig::default())?;
    model.forward(&one_token(1))?;
    let opened = start.elapsed();
    // One block of keys and values was written; the pool's other pages are not there yet.
    let bytes = anonymous_memory()? - model.cache_spec().block_bytes as u64;
    let weights = fs::metadata(folder.onnx_path.with_extension("onnx.data"))?.len();
    println!("{} MB anonymous, {} MB of weights, open after {} ms", bytes >> 20, weights >> 20, opened.as_millis());
    assert!(bytes < 110 << 20, "{bytes} bytes of anonymous memory, expected less than 110 MiB");
    Ok(())
}
