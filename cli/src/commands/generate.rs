//! `veridraft generate`: one prompt in, its continuation out, or several samples of it.

use anyhow::{Result, bail};
use veridraft_engine::{FinishReason, Logprobs, SequenceId};
use veridraft_models::TokenId;

use super::generation::{Answer, Observers, generate};
use crate::arguments::GenerateArguments;
use crate::interrupt::Interrupt;
use crate::open_model::OpenModel;
use crate::output::{line, piece};
use crate::prompt::Prompt;
use crate::report::{Report, Subject, TokenTexts, Trace, summary};
use crate::usage::UsageError;

pub(crate) fn run(arguments: &GenerateArguments) -> Result<()> {
    check(arguments)?;
    let prompt = Prompt::read(arguments)?;
    let mut model = OpenModel::open(&arguments.generation)?;
    let prompt = prompt.encode(arguments, &model.folder)?;
    let ids = add_samples(&mut model, arguments, &prompt)?;
    let mut trace = arguments.generation.trace.as_deref().map(Trace::create).transpose()?;
    let interrupt = Interrupt::install()?;
    let mut show_at_once = |text: &str| piece(text);
    let mut keep_for_later = |_: &str| Ok(true);
    let streams = !arguments.json && ids.len() == 1;
    let observers = Observers {
        interrupt: &interrupt,
        trace: trace.as_mut(),
        show: if streams { &mut show_at_once } else { &mut keep_for_later },
    };
    let generated = generate(&mut model.engine, &ids, observers)?;
    let summary = summary(prompt.len(), &generated, model.seed());
    let outcome = outcome(&generated.answers);
    if arguments.json {
        write_json(arguments, &model, prompt, generated.answers)?;
    } else if streams {
        end_line(&generated.answers[0].text)?;
    } else {
        write_samples(&generated.answers)?;
    }
    eprintln!("{summary}");
    outcome
}

fn check(arguments: &GenerateArguments) -> Result<()> {
    if arguments.logprobs.is_some() && !arguments.json {
        return Err(UsageError::new("`--logprobs` is given without `--json`, expected both").into());
    }
    Ok(())
}

/// Queues all samples at once, so that the first computes the prompt for all; it alone scores the prompt.
fn add_samples(model: &mut OpenModel, arguments: &GenerateArguments, prompt: &[TokenId]) -> Result<Vec<SequenceId>> {
    let count = arguments.num_samples.get();
    if count > 1 && model.is_greedy() {
        eprintln!("note: at temperature 0 all samples are equal");
    }
    let mut add = |index| {
        let mut request = model.request(prompt.to_vec());
        request.sampling.sample_index = index;
        let for_prompt = arguments.logprobs.filter(|_| index == 0);
        request.logprobs = Logprobs { output: arguments.logprobs, prompt: for_prompt };
        Ok(model.engine.add(request)?)
    };
    (0..count).map(&mut add).collect()
}

fn write_json(
    arguments: &GenerateArguments,
    model: &OpenModel,
    prompt: Vec<TokenId>,
    answers: Vec<Answer>,
) -> Result<()> {
    let subject = Subject {
        model: &model.name,
        weights: &model.weights,
        path: model.simd.to_string(),
        seed: model.seed(),
        asked: model.request(prompt),
    };
    let texts = arguments.logprobs.map(|_| TokenTexts::of(&model.folder.tokenizer));
    line(serde_json::to_string(&Report::new(subject, answers, texts.as_ref()))?)
}

/// Each answer whole, under a line that numbers it from 1.
fn write_samples(answers: &[Answer]) -> Result<()> {
    for (index, answer) in answers.iter().enumerate() {
        line(format_args!("--- sample {} of {} ---", index + 1, answers.len()))?;
        piece(&answer.text)?;
        end_line(&answer.text)?;
    }
    Ok(())
}

fn end_line(text: &str) -> Result<()> {
    if text.ends_with('\n') { Ok(()) } else { line("") }
}

/// An error where a constraint or an encoder failed: the answer is not what was asked for. Why is on standard error by then.
fn outcome(answers: &[Answer]) -> Result<()> {
    let failed = answers.iter().filter(|answer| answer.finished.reason == FinishReason::Failed).count();
    match (failed, answers.len()) {
        (0, _) => Ok(()),
        (_, 1) => bail!("the constraint or the encoder failed, see the note above; the answer is not complete"),
        (failed, all) => {
            bail!("the constraint or the encoder failed in {failed} of {all} samples, see the notes above")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use crate::report::tests::fixed_answer;
    use clap::Parser;

    fn parse(line: &str) -> Result<GenerateArguments, clap::Error> {
        match Arguments::try_parse_from(line.split(' '))?.command {
            Command::Generate(arguments) => Ok(arguments),
            _ => unreachable!("only `generate` is parsed here"),
        }
    }

    #[test]
    fn logprobs_go_with_json_alone() {
        let check = |line: &str| check(&parse(line).expect(line));
        let error = check("veridraft generate a --logprobs 3").expect_err("there is no place for them");
        assert!(error.is::<UsageError>());
        assert_eq!(error.to_string(), "`--logprobs` is given without `--json`, expected both");
        assert!(check("veridraft generate a --logprobs 0 --json").is_ok());
        assert!(check("veridraft generate a").is_ok());
    }

    #[test]
    fn samples_are_counted_within_limits() {
        let count = |line: &str| parse(line).map(|arguments| arguments.num_samples.get()).map_err(|error| error.kind());
        let invalid = Err(clap::error::ErrorKind::ValueValidation);
        assert_eq!(count("veridraft generate a"), Ok(1));
        assert_eq!(count("veridraft generate a -N 1024"), Ok(1024));
        assert_eq!(count("veridraft generate a --num-samples 4"), Ok(4));
        assert_eq!(count("veridraft generate a -N 0"), invalid);
        assert_eq!(count("veridraft generate a -N 1025"), invalid);
        assert_eq!(count("veridraft generate a -N x"), invalid);
    }

    #[test]
    fn a_failed_constraint_is_an_error_whatever_else_succeeded() {
        let of = |reasons: &[FinishReason]| {
            let answers: Vec<_> = reasons.iter().map(|&reason| fixed_answer("a", reason)).collect();
            outcome(&answers).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[FinishReason::Complete]), Ok(()));
        assert_eq!(of(&[FinishReason::Cancelled, FinishReason::Length]), Ok(()));
        let expected = "the constraint or the encoder failed, see the note above; the answer is not complete";
        assert_eq!(of(&[FinishReason::Failed]), Err(expected.to_owned()));
        let expected = "the constraint or the encoder failed in 1 of 3 samples, see the notes above";
        assert_eq!(of(&[FinishReason::Eos, FinishReason::Failed, FinishReason::Eos]), Err(expected.to_owned()));
    }
}
