//! `veridraft export`: a checkpoint to a folder of the user's choice, in the form that this program or other tools read.

use std::path::Path;

use anyhow::{Context, Result, bail};
use veridraft_export::{ExportConfig, ExportProgress, FloatFormat, export, export_hugging_face};

use crate::arguments::{ExportArguments, ExportForm};
use crate::output::line;
use crate::progress::ExportBar;
use crate::usage::UsageError;

/// Fills an empty folder, reporting how far it has come.
type Fill<'a> = Box<dyn Fn(&Path, &dyn Fn(ExportProgress)) -> Result<()> + 'a>;

pub(crate) fn run(arguments: &ExportArguments) -> Result<()> {
    // A command line that cannot be is refused before anything is written.
    let fill = match arguments.to {
        ExportForm::Onnx => to_onnx(arguments)?,
        ExportForm::Hf => to_hugging_face(arguments)?,
    };
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
    fill(unfinished.path(), &|progress| bar.set(progress.tensors_done, progress.tensors_total))?;
    drop(bar);
    let _ = std::fs::remove_dir(destination);
    std::fs::rename(unfinished.path(), destination).with_context(|| format!("cannot create {}", place()))?;
    std::mem::forget(unfinished);
    line(format_args!("{}", destination.display()))?;
    Ok(())
}

fn to_onnx(arguments: &ExportArguments) -> Result<Fill<'_>> {
    let weights = arguments.weights.map(|weights| weights.onnx()).transpose()?.unwrap_or_default();
    let hidden_states = arguments.hidden_states.clone();
    let config = ExportConfig { weights, operators: arguments.matmul.unwrap_or_default(), hidden_states };
    Ok(Box::new(move |folder, progress| Ok(export(&arguments.source, folder, &config, progress)?)))
}

fn to_hugging_face(arguments: &ExportArguments) -> Result<Fill<'_>> {
    if arguments.matmul.is_some() {
        return Err(UsageError::new("`--matmul` with `--to hf`, which has no operators; expected `--to onnx`").into());
    }
    if !arguments.hidden_states.is_empty() {
        return Err(
            UsageError::new("`--hidden-states` with `--to hf`, which has no outputs; expected `--to onnx`").into()
        );
    }
    let floats: FloatFormat = arguments.weights.map(|weights| weights.hugging_face()).transpose()?.unwrap_or_default();
    Ok(Box::new(move |folder, progress| Ok(export_hugging_face(&arguments.source, folder, floats, progress)?)))
}
