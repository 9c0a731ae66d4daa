//! The report for a terminal.

use std::fmt::{self, Display, Formatter};

use super::report::{Figures, SetUpReport, SpeculateReport, Subject};

impl Display for SpeculateReport {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Subject { model, weights, path, seed, max_tokens, draft_max } = &self.subject;
        let (prompts, tokens) = (self.prompts, self.baseline.tokens);
        writeln!(formatter, "{model}, weights {weights}, path {path}, seed {seed}")?;
        writeln!(
            formatter,
            "{prompts} prompts, {tokens} tokens, {max_tokens} an answer and {draft_max} drafted at most; \
             every set-up gave the tokens of plain decoding\n"
        )?;
        let width = self.name_width();
        let columns =
            ["prompts", "tokens/s", "speed-up", "95 %", "allowed", "τ", "accepted", "draft", "verify", "other"];
        write_row(formatter, width, "", columns.map(str::to_owned))?;
        self.write_baseline(formatter, width)?;
        for set_up in &self.set_ups {
            writeln!(formatter)?;
            write_row(formatter, width, &set_up.draft, cells(self.prompts, &set_up.figures))?;
            for category in &set_up.categories {
                let name = format!("  {}", category.category);
                write_row(formatter, width, &name, cells(category.prompts, &category.figures))?;
            }
        }
        let single = self.forward.first().map_or(0.0, |pass| pass.median_ms);
        let ratios: Vec<_> = self.forward.iter().map(|pass| format!("{} {:.2}", pass.rows, pass.ratio)).collect();
        writeln!(formatter, "\nT(k)/T(1) by rows, T(1) {single:.2} ms: {}", ratios.join(", "))?;
        let lines: Vec<_> = self.set_ups.iter().map(hindsight_line).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

impl SpeculateReport {
    fn name_width(&self) -> usize {
        let drafts = self.set_ups.iter().map(|set_up| set_up.draft.chars().count());
        let categories = self.baseline.categories.iter().map(|category| category.category.chars().count() + 2);
        drafts.chain(categories).chain(["plain".len()]).max().unwrap_or(0)
    }

    fn write_baseline(&self, formatter: &mut Formatter, width: usize) -> fmt::Result {
        let row = |prompts: usize, speed: f64, verify: String, other: String| {
            let blank = String::new;
            let (prompts, speed) = (prompts.to_string(), format!("{speed:.1}"));
            [prompts, speed, blank(), blank(), blank(), blank(), blank(), blank(), verify, other]
        };
        let [_, verify, other] = self.baseline.time_ms.percent().map(|share| format!("{share:.1} %"));
        write_row(formatter, width, "plain", row(self.prompts, self.baseline.tokens_per_second, verify, other))?;
        for category in &self.baseline.categories {
            let cells = row(category.prompts, category.tokens_per_second, String::new(), String::new());
            write_row(formatter, width, &format!("  {}", category.category), cells)?;
        }
        Ok(())
    }
}

fn cells(prompts: usize, figures: &Figures) -> [String; 10] {
    let [draft, verify, other] = figures.time_ms.percent().map(|share| format!("{share:.1} %"));
    [
        prompts.to_string(),
        format!("{:.1}", figures.tokens_per_second),
        figures.speed_up.map_or("-".to_owned(), |speed_up| format!("{speed_up:.2}")),
        figures.speed_up_interval.map_or("-".to_owned(), |[low, high]| format!("{low:.2} - {high:.2}")),
        format!("{:.2}", figures.allowed.speed_up),
        format!("{:.2}", figures.mean_acceptance_length),
        format!("{:.2}", figures.acceptance_rate),
        draft,
        verify,
        other,
    ]
}

fn write_row(formatter: &mut Formatter, width: usize, name: &str, cells: [String; 10]) -> fmt::Result {
    let [prompts, speed, speed_up, interval, allowed, length, rate, draft, verify, other] = cells;
    let line = format!(
        "{name:width$}  {prompts:>7}  {speed:>8}  {speed_up:>8}  {interval:>11}  {allowed:>7}  {length:>5}  {rate:>8}  \
         {draft:>6}  {verify:>7}  {other:>6}"
    );
    writeln!(formatter, "{}", line.trim_end())
}

/// Reached and allowed, on one line.
pub(super) fn hindsight_line(set_up: &SetUpReport) -> String {
    let SetUpReport { draft, figures, .. } = set_up;
    let allowed = &figures.allowed;
    let reached = figures.speed_up.map_or("-".to_owned(), |speed_up| format!("{speed_up:.2}"));
    format!(
        "{draft}: speed-up {reached} reached, {:.2} allowed by its guesses at draft length {} \
         (acceptance {:.2}, T({})/T(1) {:.2}, drafting {:.3} T(1) a pass)",
        allowed.speed_up,
        allowed.draft_length,
        figures.acceptance_rate,
        1 + allowed.draft_length,
        allowed.cost_ratio,
        allowed.draft_cost,
    )
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::fixed_report;

    #[test]
    fn a_person_reads_a_table() {
        let expected = "\
tiny, weights f32, path avx2, seed 7
2 prompts, 10 tokens, 5 an answer and 3 drafted at most; every set-up gave the tokens of plain decoding

        prompts  tokens/s  speed-up         95 %  allowed      τ  accepted   draft   verify   other
plain         2     200.0                                                            80.0 %  20.0 %
  qa          1     200.0
  rag         1     200.0

lookup        2     266.7      1.33  1.00 - 2.00     1.33   1.43      0.75   3.3 %   83.3 %  13.3 %
  qa          1     400.0      2.00            -     2.46   2.50      1.00   5.0 %   90.0 %   5.0 %
  rag         1     200.0      1.00            -     1.00   1.00      0.00   2.5 %   80.0 %  17.5 %

T(k)/T(1) by rows, T(1) 4.00 ms: 1 1.00, 2 1.25, 4 1.50
lookup: speed-up 1.33 reached, 1.33 allowed by its guesses at draft length 3 \
(acceptance 0.75, T(4)/T(1) 1.50, drafting 0.050 T(1) a pass)";
        assert_eq!(fixed_report().to_string(), expected);
    }
}
