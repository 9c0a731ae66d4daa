//! `veridraft export`: a checkpoint to a model folder of the user's choice.

use anyhow::{Context, Result, bail};
use veridraft_export::{ExportConfig, export};

use crate::arguments::ExportArguments;
use crate::output::line;
use crate::progress::ExportBar;

pub(crate) fn run(arguments: &ExportArguments) -> Result<()> {
    let destination = &arguments.destination;
    let place = || format!("`{}`", destination.display());
    if destination.exists() && std::fs::read_dir(destination).with_context(place)?.next().is_some() {
        bail!("{} is not empty, expected a new or an empty folder", place());
    }
    let parent = match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => ".".as_ref(),
    };
    std::fs::create_dir_all(parent).with_context(|| format!("cannot create `{}`", parent.display()))?;
    // Written beside its place and renamed, so that an interrupted export leaves no half model under that name.
    let unfinished = tempfile::Builder::new()
        .prefix(".veridraft-export-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot create a folder in `{}`", parent.display()))?;
    let bar = ExportBar::start(&format!("exporting {}", arguments.source.display()));
    let hidden_states = arguments.hidden_states.clone();
    let config = ExportConfig { weights: arguments.weights, operators: arguments.matmul, hidden_states };
    export(&arguments.source, unfinished.path(), &config, &|progress| {
        bar.set(progress.tensors_done, progress.tensors_total);
    })?;
    drop(bar);
    let _ = std::fs::remove_dir(destination);
    std::fs::rename(unfinished.path(), destination).with_context(|| format!("cannot create {}", place()))?;
    std::mem::forget(unfinished);
    line(format_args!("{}", destination.display()))?;
    Ok(())
}
