//! The report for a terminal.

use std::fmt::{self, Display, Formatter};

use super::report::{DraftReport, FitnessReport, Subject};

impl Display for FitnessReport {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Subject { model, weights, path, temperature, seed, verification, texts, answers, tokens, .. } =
            &self.subject;
        writeln!(formatter, "{model}, weights {weights}, path {path}, temperature {temperature}, seed {seed}")?;
        let rule = match *verification {
            "greedy" => "a guess is accepted that is the target's best token",
            _ => "a guess is accepted that is the token the target draws",
        };
        writeln!(formatter, "{texts} texts, {answers} of them answers, {tokens} tokens scored; {rule}\n")?;
        let width = self.drafts.iter().map(|draft| draft.draft.chars().count()).max().unwrap_or(0);
        let columns = ["guesses", "Σmin(p,q)", "top-1", "accepted"];
        writeln!(formatter, "{}", row(width, "", &columns.map(str::to_owned)))?;
        for draft in &self.drafts {
            let DraftReport { guessed, overlap, same_best, acceptance, .. } = draft;
            let cells = [guessed, overlap, same_best, acceptance].map(|share| format!("{share:.2}"));
            writeln!(formatter, "{}", row(width, &draft.draft, &cells))?;
        }
        self.drafts.iter().try_for_each(|draft| self.write_lengths(formatter, draft))?;
        let single = self.forward.first().map_or(0.0, |pass| pass.median_ms);
        let ratios: Vec<_> = self.forward.iter().map(|pass| format!("{} {:.2}", pass.rows, pass.ratio)).collect();
        write!(formatter, "\nT(k)/T(1) by rows, T(1) {single:.2} ms: {}", ratios.join(", "))
    }
}

impl FitnessReport {
    /// What is predicted for a drafter, a column for each draft length.
    fn write_lengths(&self, formatter: &mut Formatter, draft: &DraftReport) -> fmt::Result {
        let lengths = draft.draft_lengths.iter();
        let agreement = |agreement: Option<f64>| agreement.map_or("-".to_owned(), |share| format!("{share:.2}"));
        let rows: [(&str, Vec<String>); 5] = [
            (&draft.draft, lengths.clone().map(|length| length.draft_length.to_string()).collect()),
            ("  agreement at", draft.positions.iter().map(|at| agreement(at.agreement)).collect()),
            ("  τ", lengths.clone().map(|length| format!("{:.2}", length.mean_acceptance_length)).collect()),
            ("  drafting ms", lengths.clone().map(|length| format!("{:.2}", length.draft_ms)).collect()),
            ("  speed-up", lengths.map(|length| agreement(length.speed_up)).collect()),
        ];
        writeln!(formatter)?;
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, cells) in &rows {
            let cells: String = cells.iter().map(|cell| format!("  {cell:>5}")).collect();
            writeln!(formatter, "{name:width$}{cells}")?;
        }
        match draft.best.draft_length {
            0 => writeln!(formatter, "  best: plain decoding"),
            length => writeln!(formatter, "  best: draft length {length}, speed-up {:.2}", draft.best.speed_up),
        }
    }
}

fn row(width: usize, name: &str, [guesses, overlap, best, accepted]: &[String; 4]) -> String {
    format!("{name:width$}  {guesses:>7}  {overlap:>9}  {best:>5}  {accepted:>8}")
}

#[cfg(test)]
mod tests {
    use super::super::predict::tests::fixed_draft;
    use super::*;

    #[test]
    fn a_person_reads_a_table() {
        let (draft, forward) = fixed_draft();
        let subject = Subject {
            model: "tiny".to_owned(),
            weights: "f32".to_owned(),
            path: "avx2".to_owned(),
            temperature: 0.0,
            seed: 7,
            verification: "greedy",
            texts: 1,
            answers: 1,
            cut: 0,
            tokens: 6,
        };
        let report = FitnessReport { subject, draft_max: 3, forward, drafts: vec![draft] };
        let expected = "\
tiny, weights f32, path avx2, temperature 0, seed 7
1 texts, 1 of them answers, 6 tokens scored; a guess is accepted that is the target's best token

                    guesses  Σmin(p,q)  top-1  accepted
suffix+model=small     0.33       0.75   0.50      1.00

suffix+model=small      1      2      3
  agreement at       1.00   0.50      -
  τ                  1.50   2.00   2.00
  drafting ms        2.25   4.33   6.00
  speed-up           1.25   1.39   1.19
  best: draft length 2, speed-up 1.39

T(k)/T(1) by rows, T(1) 10.00 ms: 1 1.00, 2 1.10, 3 1.20, 4 1.30";
        assert_eq!(report.to_string(), expected);
    }
}
