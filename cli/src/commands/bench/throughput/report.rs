//! What `veridraft bench throughput` reports.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde::Serialize;
use veridraft_engine::measure::Spread;

use super::Setting;
use super::load::Load;
use crate::figures::{milliseconds, rounded};
use crate::set_up::SetUps;

/// The object of `--json`; times are in milliseconds, medians over rounds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ThroughputReport {
    model: String,
    weights: String,
    path: String,
    prompts: usize,
    max_tokens: usize,
    settings: Vec<Figures>,
}

/// One setting.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    draft: String,
    concurrency: usize,
    requests_per_second: f64,
    tokens_per_second: f64,
    /// Tokens a second by those of the same draft at the first concurrency.
    scaling: f64,
    /// What the time of passes alone allows: their rows by T(1), of `full_pass_ms`; only without drafts.
    ideal_scaling: Option<f64>,
    latency_ms: Percentiles,
    first_token_ms: Percentiles,
    kv_occupancy: f64,
    prefix_hit_rate: f64,
    preemptions: usize,
    /// Tokens a pass, all sequences together.
    tokens_per_forward: f64,
    /// Share of the steps' time: drafting, forward passes, and the rest (scheduling, sampling, text).
    shares: Shares,
    /// Median of a pass with one row for each of as many sequences as may run.
    full_pass_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Shares {
    draft: f64,
    forward: f64,
    other: f64,
}

impl ThroughputReport {
    /// `loads`: for each setting its rounds.
    pub(super) fn new(set_ups: &SetUps, settings: &[Setting], loads: &[Vec<Load>]) -> Self {
        let open = &set_ups.cases[0].open;
        let mut figures: Vec<Figures> = Vec::new();
        for (setting, loads) in settings.iter().zip(loads) {
            let draft = &set_ups.cases[setting.case].draft;
            let first = figures.iter().find(|other| other.draft == *draft).cloned();
            figures.push(Figures::new(draft, setting.concurrency, loads, first.as_ref()));
        }
        Self {
            model: open.name.clone(),
            weights: open.weights.clone(),
            path: open.simd.to_string(),
            prompts: loads[0][0].answers.len(),
            max_tokens: set_ups.max_tokens(),
            settings: figures,
        }
    }
}

impl Figures {
    fn new(draft: &str, concurrency: usize, loads: &[Load], first: Option<&Self>) -> Self {
        let times: Vec<_> = loads.iter().map(|load| load.time).collect();
        let seconds = Spread::of(&times).median.as_secs_f64();
        let tokens: usize = loads[0].answers.iter().map(Vec::len).sum();
        let tokens_per_second = tokens as f64 / seconds;
        let full: Vec<_> = loads.iter().flat_map(|load| load.full.iter().copied()).collect();
        let full_pass_ms = (!full.is_empty()).then(|| milliseconds(Spread::of(&full).median));
        let sum = |of: fn(&Load) -> f64| loads.iter().map(of).sum::<f64>();
        let steps = sum(|load| load.steps.as_secs_f64());
        let (draft_time, forward) = (sum(|load| load.drafting.as_secs_f64()), sum(|load| load.forward.as_secs_f64()));
        let ideal = |first: &Self| Some(concurrency as f64 * first.full_pass_ms? / full_pass_ms?);
        Self {
            draft: draft.to_owned(),
            concurrency,
            requests_per_second: rounded(loads[0].answers.len() as f64 / seconds),
            tokens_per_second: rounded(tokens_per_second),
            scaling: first.map_or(1.0, |first| rounded(tokens_per_second / first.tokens_per_second)),
            ideal_scaling: first.filter(|_| draft == "none").and_then(ideal).map(rounded),
            latency_ms: Percentiles::of(loads, |load| &load.latencies),
            first_token_ms: Percentiles::of(loads, |load| &load.first_tokens),
            kv_occupancy: rounded(loads.iter().map(|load| load.occupancy).fold(0.0, f64::max)),
            prefix_hit_rate: rounded(sum(|load| load.cached_tokens as f64) / sum(|load| load.prompt_tokens as f64)),
            preemptions: loads.iter().map(|load| load.preemptions).sum(),
            tokens_per_forward: rounded(tokens as f64 * loads.len() as f64 / sum(|load| load.forwards as f64)),
            shares: Shares {
                draft: rounded(draft_time / steps),
                forward: rounded(forward / steps),
                other: rounded(1.0 - (draft_time + forward) / steps),
            },
            full_pass_ms,
        }
    }
}

impl Percentiles {
    /// Of all requests of all rounds.
    fn of(loads: &[Load], times: fn(&Load) -> &Vec<Duration>) -> Self {
        let mut all: Vec<_> = loads.iter().flat_map(|load| times(load).iter().copied()).collect();
        all.sort_unstable();
        // The least time that so many of all do not exceed.
        let percentile = |share: f64| {
            let place = (share * all.len() as f64).ceil() as usize;
            milliseconds(all[place.clamp(1, all.len()) - 1])
        };
        Self { p50: percentile(0.5), p90: percentile(0.9), p99: percentile(0.99) }
    }
}

impl Display for ThroughputReport {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Self { model, weights, path, prompts, max_tokens, settings } = self;
        writeln!(formatter, "{model}, weights {weights}, path {path}")?;
        writeln!(formatter, "{prompts} prompts, {max_tokens} new tokens at most; every setting gave the same texts\n")?;
        let width = settings.iter().map(|figures| figures.draft.chars().count()).max().unwrap_or(0).max(5);
        write!(
            formatter,
            "{:width$}  at once  requests/s  tokens/s  scaling  ideal  latency p50, p99 ms  first p50 ms  KV     hits   \
             draft  forward  other",
            "draft"
        )?;
        for figures in settings {
            let ideal = figures.ideal_scaling.map_or("-".to_owned(), |ideal| format!("{ideal:.2}"));
            let latency = format!("{:.0}, {:.0}", figures.latency_ms.p50, figures.latency_ms.p99);
            let percent = |share: f64| format!("{:.1} %", share * 100.0);
            write!(
                formatter,
                "\n{:width$}  {:>7}  {:>10.2}  {:>8.1}  {:>7.2}  {ideal:>5}  {latency:>19}  {:>12.0}  {:>5}  {:>5}  {:>5}  {:>7}  {:>5}",
                figures.draft,
                figures.concurrency,
                figures.requests_per_second,
                figures.tokens_per_second,
                figures.scaling,
                figures.first_token_ms.p50,
                percent(figures.kv_occupancy),
                percent(figures.prefix_hit_rate),
                percent(figures.shares.draft),
                percent(figures.shares.forward),
                percent(figures.shares.other),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(milliseconds: u64, full: u64) -> Load {
        let time = Duration::from_millis;
        Load {
            time: time(milliseconds),
            answers: vec![vec![1, 2, 3], vec![4, 5, 6, 7, 8]],
            latencies: vec![time(10), time(30)],
            first_tokens: vec![time(5), time(6)],
            prompt_tokens: 20,
            cached_tokens: 5,
            occupancy: 0.25,
            preemptions: 0,
            forwards: 4,
            steps: time(100),
            forward: time(80),
            drafting: time(5),
            full: vec![time(full)],
        }
    }

    #[test]
    fn figures_are_of_the_median_round_and_relative_to_the_first_concurrency() {
        let one = Figures::new("none", 1, &[load(1000, 4), load(4000, 4), load(2000, 4)], None);
        assert_eq!((one.tokens_per_second, one.requests_per_second, one.scaling), (4.0, 1.0, 1.0));
        assert_eq!((one.latency_ms.p50, one.latency_ms.p99, one.first_token_ms.p90), (10.0, 30.0, 6.0));
        assert_eq!((one.prefix_hit_rate, one.tokens_per_forward, one.ideal_scaling), (0.25, 2.0, None));
        assert_eq!((one.shares.draft, one.shares.forward, one.shares.other), (0.05, 0.8, 0.15));
        let many = Figures::new("none", 4, &[load(500, 8)], Some(&one));
        assert_eq!((many.scaling, many.ideal_scaling), (4.0, Some(2.0)));
    }
}
