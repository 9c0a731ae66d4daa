//! The table of the page: what the terminal shows, set-up by set-up and category by category.

use super::super::plot::escape;
use super::super::report::{Baseline, BaselineCategory, Figures, SpeculateReport};
use super::super::table::hindsight_line;

const COLUMNS_NOTE: &str = "Speed-up: tokens a second by those of plain decoding, with its interval; allowed: what the \
    run's own guesses and the measured cost of passes give at the best draft length; τ: tokens a pass; accepted: share of \
    the guesses; draft, verify, other: shares of the time.";

pub(super) fn table(report: &SpeculateReport) -> String {
    let heads = ["", "prompts", "tokens/s", "speed-up", "95 %", "allowed", "τ", "accepted", "draft", "verify", "other"];
    let heads: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
    let mut rows = baseline_rows(&report.baseline, report.prompts);
    for set_up in &report.set_ups {
        rows += &row("whole", &set_up.draft, report.prompts, &set_up.figures);
        for category in &set_up.categories {
            rows += &row("part", &category.category, category.prompts, &category.figures);
        }
    }
    let lines: String =
        report.set_ups.iter().map(|set_up| format!("<li>{}</li>\n", escape(&hindsight_line(set_up)))).collect();
    format!(
        "<div class=\"scroll\" id=\"table\"><table><tr>{heads}</tr>\n{rows}</table></div>\n\
         <p class=\"note\">{COLUMNS_NOTE}</p>\n<ul>{lines}</ul>\n"
    )
}

fn baseline_rows(baseline: &Baseline, prompts: usize) -> String {
    let row = |class: &str, name: &str, prompts: usize, speed: f64, shares: &str| {
        let (name, blank) = (name_cell(name), "<td></td>".repeat(6));
        format!("<tr class=\"{class}\">{name}<td>{prompts}</td><td>{speed:.1}</td>{blank}{shares}</tr>\n")
    };
    let [_, verify, other] = baseline.time_ms.percent();
    let shares = format!("<td>{verify:.1} %</td><td>{other:.1} %</td>");
    let part = |category: &BaselineCategory| {
        row("part", &category.category, category.prompts, category.tokens_per_second, "<td></td><td></td>")
    };
    row("whole", "plain", prompts, baseline.tokens_per_second, &shares)
        + &baseline.categories.iter().map(part).collect::<String>()
}

fn row(class: &str, name: &str, prompts: usize, figures: &Figures) -> String {
    let [draft, verify, other] = figures.time_ms.percent().map(|share| format!("{share:.1} %"));
    let cells = [
        prompts.to_string(),
        format!("{:.1}", figures.tokens_per_second),
        figures.speed_up.map_or("–".to_owned(), |speed_up| format!("{speed_up:.2}")),
        figures.speed_up_interval.map_or("–".to_owned(), |[low, high]| format!("{low:.2} – {high:.2}")),
        format!("{:.2}", figures.allowed.speed_up),
        format!("{:.2}", figures.mean_acceptance_length),
        format!("{:.2}", figures.acceptance_rate),
        draft,
        verify,
        other,
    ];
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr class=\"{class}\">{}{cells}</tr>\n", name_cell(name))
}

/// The style cuts a long name; pointed at, it is shown whole.
fn name_cell(name: &str) -> String {
    let name = escape(name);
    format!("<td title=\"{name}\">{name}</td>")
}
