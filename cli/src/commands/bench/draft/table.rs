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
