//! What `veridraft bench forward` prints: a table for people, one object for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use indicatif::HumanBytes;
use serde::Serialize;
use veridraft_engine::measure::Spread;
use veridraft_models::Profile;

use super::forward::Measured;
use crate::figures::{milliseconds, rounded};

/// The object of `--json`; times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct ForwardReport {
    #[serde(flatten)]
    subject: Subject,
    weights_bytes: u64,
    rounds: usize,
    forward: Vec<Pass>,
    prefill: Prefill,
    breakdown_ms: BTreeMap<String, f64>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Subject {
    pub(super) model: String,
    pub(super) weights: String,
    pub(super) path: String,
    pub(super) runtime: String,
    pub(super) threads: usize,
    pub(super) context: usize,
}

/// What a pass has to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// Bytes that each pass reads.
    pub(super) weights_bytes: u64,
    /// Multiplications and additions of one row.
    pub(super) operations: u64,
}

#[derive(Debug, Serialize)]
struct Pass {
    rows: usize,
    median_ms: f64,
    lower_quartile_ms: f64,
    upper_quartile_ms: f64,
    ratio: f64,
    gigabytes_per_second: f64,
    gigaflops: f64,
}

#[derive(Debug, Serialize)]
struct Prefill {
    tokens: usize,
    tokens_per_second: f64,
    median_ms: f64,
    lower_quartile_ms: f64,
    upper_quartile_ms: f64,
}

impl ForwardReport {
    pub(super) fn new(subject: Subject, costs: Costs, measured: &Measured, profile: &Profile) -> Self {
        let (_, single) = measured.rows[0];
        let pass = |&(rows, spread): &(usize, Spread)| Pass::new(rows, spread, single, costs);
        let (tokens, prefill) = measured.prefill;
        Self {
            subject,
            weights_bytes: costs.weights_bytes,
            rounds: measured.rounds,
            forward: measured.rows.iter().map(pass).collect(),
            prefill: Prefill {
                tokens,
                tokens_per_second: rounded(tokens as f64 / prefill.median.as_secs_f64()),
                median_ms: milliseconds(prefill.median),
                lower_quartile_ms: milliseconds(prefill.lower_quartile),
                upper_quartile_ms: milliseconds(prefill.upper_quartile),
            },
            breakdown_ms: breakdown(profile),
        }
    }
}

impl Pass {
    fn new(rows: usize, spread: Spread, single: Spread, costs: Costs) -> Self {
        let seconds = spread.median.as_secs_f64();
        Self {
            rows,
            median_ms: milliseconds(spread.median),
            lower_quartile_ms: milliseconds(spread.lower_quartile),
            upper_quartile_ms: milliseconds(spread.upper_quartile),
            ratio: rounded(seconds / single.median.as_secs_f64()),
            gigabytes_per_second: rounded(costs.weights_bytes as f64 / seconds / 1e9),
            gigaflops: rounded(costs.operations as f64 * rows as f64 / seconds / 1e9),
        }
    }
}

/// The median over the passes of each operator's time.
fn breakdown(profile: &Profile) -> BTreeMap<String, f64> {
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for (operator, time) in profile.passes.iter().flatten() {
        times.entry(operator).or_default().push(*time);
    }
    times.into_iter().map(|(operator, times)| (operator.to_owned(), milliseconds(Spread::of(&times).median))).collect()
}

impl Display for ForwardReport {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Subject { model, weights, path, runtime, threads, context } = &self.subject;
        let (bytes, rounds) = (HumanBytes(self.weights_bytes), self.rounds);
        writeln!(
            formatter,
            "{model}, weights {weights} ({bytes}), path {path}, threads {threads}, ONNX Runtime {runtime}"
        )?;
        writeln!(formatter, "one pass behind {context} cached tokens, {rounds} rounds\n")?;
        writeln!(formatter, "  rows  median ms  quartiles ms         T(k)/T(1)   GB/s  GFLOP/s")?;
        for pass in &self.forward {
            let quartiles = format!("{:.2} - {:.2}", pass.lower_quartile_ms, pass.upper_quartile_ms);
            let (rows, median, ratio) = (pass.rows, pass.median_ms, pass.ratio);
            let (speed, gigaflops) = (pass.gigabytes_per_second, pass.gigaflops);
            writeln!(formatter, "{rows:6}  {median:9.2}  {quartiles:<19}  {ratio:9.2}  {speed:5.1}  {gigaflops:7.1}")?;
        }
        let Prefill { tokens, tokens_per_second, median_ms, lower_quartile_ms, upper_quartile_ms } = self.prefill;
        writeln!(
            formatter,
            "\nprefill of {tokens} tokens: {tokens_per_second:.0} tokens/s, {median_ms:.0} ms \
             (quartiles {lower_quartile_ms:.0} - {upper_quartile_ms:.0})\n"
        )?;
        let mut parts: Vec<_> = self.breakdown_ms.iter().collect();
        parts.sort_by(|one, other| other.1.total_cmp(one.1));
        writeln!(formatter, "one row, ms by kind of node, profiled:")?;
        let lines: Vec<_> = parts.iter().map(|(operator, time)| format!("{time:8.2}  {operator}")).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(milliseconds: u64) -> Spread {
        let time = |milliseconds| Duration::from_millis(milliseconds);
        let (lower_quartile, upper_quartile) = (time(milliseconds - 1), time(milliseconds + 1));
        Spread { lower_quartile, median: time(milliseconds), upper_quartile }
    }

    #[test]
    fn rates_follow_from_the_medians() {
        let subject = Subject {
            model: "tiny".to_owned(),
            weights: "f32".to_owned(),
            path: "avx2".to_owned(),
            runtime: "1.31.1".to_owned(),
            threads: 2,
            context: 256,
        };
        let costs = Costs { weights_bytes: 400_000_000, operations: 200_000_000 };
        let measured =
            Measured { rows: vec![(1, spread(20)), (4, spread(30))], rounds: 15, prefill: (512, spread(256)) };
        let pass = |gemm, add| {
            BTreeMap::from(
                [("Gemm", gemm), ("Add", add)].map(|(name, time)| (name.to_owned(), Duration::from_millis(time))),
            )
        };
        let profile = Profile { passes: vec![pass(16, 1), pass(18, 3), pass(40, 2)] };
        let report = serde_json::to_value(ForwardReport::new(subject, costs, &measured, &profile)).expect("plain data");
        assert_eq!(report["threads"], 2);
        assert_eq!(report["forward"][0]["ratio"], 1.0);
        assert_eq!(report["forward"][1]["ratio"], 1.5);
        assert_eq!(report["forward"][1]["lower_quartile_ms"], 29.0);
        assert_eq!(report["forward"][0]["gigabytes_per_second"], 20.0);
        assert_eq!(report["forward"][1]["gigaflops"], 26.667);
        assert_eq!(report["prefill"]["tokens_per_second"], 2000.0);
        assert_eq!(report["breakdown_ms"], serde_json::json!({ "Add": 2.0, "Gemm": 18.0 }));
    }
}
