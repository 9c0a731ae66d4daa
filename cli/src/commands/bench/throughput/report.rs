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
    seed: u64,
    prompts: usize,
    max_tokens: usize,
    /// How often each setting answered all prompts.
    rounds: usize,
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
            seed: open.seed(),
            prompts: loads[0][0].answers.len(),
            max_tokens: set_ups.max_tokens(),
            rounds: loads[0].len(),
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
        let Self { model, weights, path, seed, prompts, max_tokens, rounds, settings } = self;
        writeln!(formatter, "{model}, weights {weights}, path {path}, seed {seed}")?;
        writeln!(
            formatter,
            "{prompts} prompts, {max_tokens} new tokens at most, rounds {rounds}; every setting gave the same texts\n"
        )?;
        let width = settings.iter().map(|figures| figures.draft.chars().count()).max().unwrap_or(0).max(5);
        write!(
            formatter,
            "{:width$}  at once  requests/s  tokens/s  scaling  ideal  latency p50, p90, p99 ms  first p50 ms  KV cache  \
             prefix hits    draft  forward    other",
            "draft"
        )?;
        settings.iter().try_for_each(|figures| write!(formatter, "\n{}", figures.row(width)))
    }
}

impl Figures {
    fn row(&self, width: usize) -> String {
        let ideal = self.ideal_scaling.map_or("-".to_owned(), |ideal| format!("{ideal:.2}"));
        let Percentiles { p50, p90, p99 } = self.latency_ms;
        let latency = format!("{p50:.0}, {p90:.0}, {p99:.0}");
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        format!(
            "{:width$}  {:>7}  {:>10.2}  {:>8.1}  {:>7.2}  {ideal:>5}  {latency:>24}  {:>12.0}  {:>8}  {:>11}  {:>7}  {:>7}  {:>7}",
            self.draft,
            self.concurrency,
            self.requests_per_second,
            self.tokens_per_second,
            self.scaling,
            self.first_token_ms.p50,
            percent(self.kv_occupancy),
            percent(self.prefix_hit_rate),
            percent(self.shares.draft),
            percent(self.shares.forward),
            percent(self.shares.other),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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

    #[test]
    fn a_person_reads_a_table_and_a_program_an_object() {
        let one = Figures::new("none", 1, &[load(1000, 4)], None);
        let many = Figures::new("lookup", 4, &[load(500, 8)], None);
        let report = ThroughputReport {
            model: "tiny".to_owned(),
            weights: "f32".to_owned(),
            path: "avx2".to_owned(),
            seed: 7,
            prompts: 2,
            max_tokens: 5,
            rounds: 1,
            settings: vec![one, many],
        };
        let expected = "\
tiny, weights f32, path avx2, seed 7
2 prompts, 5 new tokens at most, rounds 1; every setting gave the same texts

draft   at once  requests/s  tokens/s  scaling  ideal  latency p50, p90, p99 ms  first p50 ms  KV cache  prefix hits    draft  forward    other
none          1        2.00       8.0     1.00      -                10, 30, 30             5    25.0 %       25.0 %    5.0 %   80.0 %   15.0 %
lookup        4        4.00      16.0     1.00      -                10, 30, 30             5    25.0 %       25.0 %    5.0 %   80.0 %   15.0 %";
        assert_eq!(report.to_string(), expected);
        let object = serde_json::to_value(report).expect("plain data");
        let setting = &object["settings"][0];
        assert_eq!(setting["latency_ms"], json!({ "p50": 10.0, "p90": 30.0, "p99": 30.0 }));
        let names = ["requests_per_second", "tokens_per_second", "kv_occupancy", "prefix_hit_rate"];
        assert_eq!(names.map(|name| setting[name].as_f64()), [2.0, 8.0, 0.25, 0.25].map(Some));
    }
}
