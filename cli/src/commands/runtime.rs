//! `veridraft runtime install` and `veridraft runtime show`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use veridraft_models::cache::sha256_of;
use veridraft_models::runtime::{self, LibraryChoice, Runtime, find_library, pin_for_this_platform};

use crate::output::line;
use crate::progress::Spinner;

/// `veridraft runtime`
#[derive(Debug, Args)]
pub(crate) struct RuntimeCommand {
    #[command(subcommand)]
    action: RuntimeAction,
}

#[derive(Debug, Subcommand)]
enum RuntimeAction {
    /// Put the ONNX Runtime library into the cache, or check the one that is there
    Install,
    /// Show which ONNX Runtime library is used
    Show {
        /// Write one JSON object
        #[arg(long)]
        json: bool,
        /// Look at this library instead of the one that is found
        #[arg(long, value_name = "FILE")]
        ort_lib: Option<PathBuf>,
    },
}

/// Runs the command.
pub(crate) fn run(command: &RuntimeCommand) -> anyhow::Result<()> {
    match &command.action {
        RuntimeAction::Install => install(),
        RuntimeAction::Show { json, ort_lib } => show(&ort_lib.clone().into(), *json),
    }
}

fn install() -> anyhow::Result<()> {
    let spinner = Spinner::start();
    let path = runtime::install(&|line| spinner.say(line))?;
    drop(spinner);
    line(format_args!("{}", path.display()))?;
    Ok(())
}

fn show(choice: &LibraryChoice, as_json: bool) -> anyhow::Result<()> {
    if find_library(choice)?.is_none() {
        bail!("no ONNX Runtime library found; `veridraft runtime install` installs one");
    }
    let runtime = Runtime::load(choice)?;
    let library = runtime.library();
    let sha256 = sha256_of(&library.path)?;
    let is_pinned = pin_for_this_platform().is_some_and(|pin| pin.file.member_sha256 == sha256);
    if as_json {
        let object = json!({
            "path": library.path,
            "version": runtime.version(),
            "origin": library.origin.to_string(),
            "sha256": sha256,
            "verified": is_pinned,
            "providers": runtime.providers(),
        });
        line(object)?;
        return Ok(());
    }
    line(format_args!("path       {}", library.path.display()))?;
    line(format_args!("version    {}", runtime.version()))?;
    line(format_args!("found by   {}", library.origin))?;
    line(format_args!("sha256     {sha256} ({})", if is_pinned { "as pinned" } else { "not the pinned library" }))?;
    line(format_args!("providers  {}", runtime.providers().join(", ")))?;
    Ok(())
}
