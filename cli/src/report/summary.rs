//! One line for a person, on standard error behind the text.

use std::collections::BTreeMap;

use veridraft_engine::{FinishReason, Finished};

use crate::commands::Generated;

/// How much, how fast, how well drafted, and why it ended; of several samples all together.
pub(crate) fn summary(prompt_tokens: usize, generated: &Generated, seed: u64) -> String {
    match generated.answers.as_slice() {
        [answer] => one(prompt_tokens, &answer.finished, seed),
        _ => several(prompt_tokens, generated, seed),
    }
}

fn one(prompt_tokens: usize, finished: &Finished, seed: u64) -> String {
    let report = &finished.report;
    format!(
        "{} tokens at {:.1} tokens/s, prompt of {prompt_tokens} in {:.2} s, {:.2} tokens a pass{}, seed {seed}, {}",
        finished.token_ids.len(),
        report.tokens_per_second(),
        report.prefill.as_secs_f64(),
        report.mean_acceptance_length(),
        drafts([finished]),
        reason(finished.reason),
    )
}

/// Samples decode side by side, so their speed is that of all tokens by all steps, prompt included.
fn several(prompt_tokens: usize, generated: &Generated, seed: u64) -> String {
    let samples = || generated.answers.iter().map(|answer| &answer.finished);
    let tokens: usize = samples().map(|finished| finished.token_ids.len()).sum();
    let mut reasons: BTreeMap<_, usize> = BTreeMap::new();
    samples().for_each(|finished| *reasons.entry(reason(finished.reason)).or_default() += 1);
    let reasons: String = reasons.iter().map(|(reason, count)| format!(", {count} {reason}")).collect();
    format!(
        "{} samples, {tokens} tokens in {:.2} s, prompt of {prompt_tokens}{}, seed {seed}{reasons}",
        generated.answers.len(),
        generated.duration.as_secs_f64(),
        drafts(samples()),
    )
}

fn drafts<'a>(samples: impl IntoIterator<Item = &'a Finished>) -> String {
    let mut sources: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    for (name, source) in samples.into_iter().flat_map(|finished| &finished.report.sources) {
        let (accepted, proposed) = sources.entry(name).or_default();
        *accepted += source.accepted;
        *proposed += source.proposed;
    }
    sources.iter().map(|(name, (accepted, proposed))| format!(", {name} {accepted}/{proposed} accepted")).collect()
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Eos => "ended by the model",
        FinishReason::StopToken => "ended at a stop token",
        FinishReason::StopString => "ended at a stop string",
        FinishReason::Complete => "complete",
        FinishReason::Failed => "ended by an error",
        FinishReason::Length => "ended at the token limit",
        FinishReason::ContextFull => "ended with the context full",
        FinishReason::Cancelled => "interrupted",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::tests::fixed_answer;

    #[test]
    fn one_answer_is_described_by_itself_and_several_together() {
        let check = |reasons: &[FinishReason], expected: &str| {
            let answers = reasons.iter().map(|&reason| fixed_answer("a", reason)).collect();
            let generated = Generated { answers, duration: Duration::from_millis(250) };
            assert_eq!(summary(7, &generated, 3), expected);
        };
        check(
            &[FinishReason::Failed],
            "2 tokens at 50.0 tokens/s, prompt of 7 in 0.10 s, 1.00 tokens a pass, lookup 1/4 accepted, seed 3, \
             ended by an error",
        );
        check(
            &[FinishReason::Eos, FinishReason::Complete, FinishReason::Eos],
            "3 samples, 6 tokens in 0.25 s, prompt of 7, lookup 3/12 accepted, seed 3, 1 complete, 2 ended by the model",
        );
    }
}
