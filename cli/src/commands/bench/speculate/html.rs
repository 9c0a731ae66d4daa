//! The report as one HTML page that needs no other file, no script and no network.

mod timeline;

use std::fmt::Write;

use veridraft_models::TokenId;

use super::measure::Run;
use super::plot::{Axes, Bar, Series, bars, escape, lines};
use super::report::{Baseline, BaselineCategory, Figures, SetUpReport, SpeculateReport};
use super::table::hindsight_line;

/// Colours that the style has for series.
const COLOURS: usize = 6;

/// Makes the page; `decode` gives the text of some tokens.
pub(super) fn page(report: &SpeculateReport, run: &Run, decode: &dyn Fn(&[TokenId]) -> String) -> String {
    let model = escape(&report.subject.model);
    let sections = [
        header(report),
        table(report),
        section("Speed-up by category", "", &speed_ups(report)),
        section("Acceptance by position", ACCEPTANCE_NOTE, &acceptance(report)),
        section("Cost of a pass by its rows, T(k)", COST_NOTE, &costs(report)),
        section("What each draft length would have given", HINDSIGHT_NOTE, &hindsights(report)),
        section("One answer, pass by pass", TIMELINE_NOTE, &timeline::timelines(report, run, decode)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Speculation of {model}</title>\n<style>\n{}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        include_str!("style.css"),
        sections.concat(),
    )
}

const ACCEPTANCE_NOTE: &str = "Of the drafts that had a guess at a position, the share in which this guess and all \
    before it were right.";
const COST_NOTE: &str = "Median milliseconds of a forward pass. The line was measured apart, row counts in turn; \
    circles are passes of the run itself, of plain decoding and all set-ups.";
const HINDSIGHT_NOTE: &str = "The run replayed with its drafts cut to each length: tokens per pass, divided by the mean \
    of T(1 + proposed)/T(1) plus the time of drafting by T(1). A drafter is taken to go on with its draft where it was \
    cut; scheduling and sampling are left out. Circles are what the run reached.";
const TIMELINE_NOTE: &str = "For each set-up an answer with many right and many wrong guesses. Each column is a pass, as wide as it took; its \
    boxes are the tokens that it checked. In the text, a number in front of a token counts the wrong guesses there.";

fn header(report: &SpeculateReport) -> String {
    let subject = &report.subject;
    let [model, weights, path] = [&subject.model, &subject.weights, &subject.path].map(|text| escape(text));
    format!(
        "<h1>Speculation of {model}</h1>\n<p class=\"note\">weights {weights}, path {path}, seed {}; {} prompts, \
         {} tokens, {} an answer and {} drafted at most. Every set-up gave the tokens of plain decoding. Decoding alone \
         counts, from the first token of an answer on; intervals are 95 %, by bootstrap over prompts.</p>\n",
        subject.seed, report.prompts, report.baseline.tokens, subject.max_tokens, subject.draft_max,
    )
}

fn section(title: &str, note: &str, body: &str) -> String {
    format!("<h2>{title}</h2>\n<p class=\"note\">{note}</p>\n<figure>{body}</figure>\n")
}

fn table(report: &SpeculateReport) -> String {
    let heads = ["", "prompts", "tokens/s", "speed-up", "95 %", "τ", "accepted", "draft", "verify", "other"];
    let heads: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
    let mut rows = baseline_rows(&report.baseline, report.prompts);
    for set_up in &report.set_ups {
        rows += &row("whole", &set_up.draft, report.prompts, &set_up.figures);
        for category in &set_up.categories {
            rows += &row("part", &category.category, category.prompts, &category.figures);
        }
    }
    let lines: String =
        report.set_ups.iter().map(|set_up| format!("<p>{}</p>\n", escape(&hindsight_line(set_up)))).collect();
    format!("<div class=\"scroll\"><table><tr>{heads}</tr>\n{rows}</table></div>\n{lines}")
}

fn baseline_rows(baseline: &Baseline, prompts: usize) -> String {
    let row = |class: &str, name: &str, prompts: usize, speed: f64, shares: &str| {
        let (name, blank) = (escape(name), "<td></td>".repeat(5));
        format!("<tr class=\"{class}\"><td>{name}</td><td>{prompts}</td><td>{speed:.1}</td>{blank}{shares}</tr>\n")
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
        escape(name),
        prompts.to_string(),
        format!("{:.1}", figures.tokens_per_second),
        figures.speed_up.map_or("–".to_owned(), |speed_up| format!("{speed_up:.2}")),
        figures.speed_up_interval.map_or("–".to_owned(), |[low, high]| format!("{low:.2} – {high:.2}")),
        format!("{:.2}", figures.mean_acceptance_length),
        format!("{:.2}", figures.acceptance_rate),
        draft,
        verify,
        other,
    ];
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr class=\"{class}\">{cells}</tr>\n")
}

/// Which colour is which set-up.
fn key(report: &SpeculateReport) -> String {
    let names = report.set_ups.iter().enumerate();
    let entry = |(index, set_up): (usize, &SetUpReport)| {
        format!("<span class=\"key series-{}\"><i></i>{}</span>", index % COLOURS, escape(&set_up.draft))
    };
    format!("<figcaption>{}</figcaption>", names.map(entry).collect::<String>())
}

fn speed_ups(report: &SpeculateReport) -> String {
    let bar = |figures: &Figures| -> Bar { (figures.speed_up, figures.speed_up_interval) };
    let whole = ("all".to_owned(), report.set_ups.iter().map(|set_up| bar(&set_up.figures)).collect());
    let parts = report.baseline.categories.iter().enumerate().map(|(index, category)| {
        let bars = report.set_ups.iter().map(|set_up| bar(&set_up.categories[index].figures)).collect();
        (category.category.clone(), bars)
    });
    let groups: Vec<_> = [whole].into_iter().chain(parts).collect();
    key(report) + &bars(&groups, 1.0)
}

fn acceptance(report: &SpeculateReport) -> String {
    let series: Vec<_> = (0..)
        .zip(&report.set_ups)
        .map(|(index, set_up)| Series {
            name: set_up.draft.clone(),
            colour: index % COLOURS,
            points: set_up
                .positions
                .iter()
                .map(|position| (position.position as f64, position.accepted as f64 / position.proposed as f64))
                .collect(),
            is_scattered: false,
        })
        .collect();
    key(report) + &lines(&Axes { x: "position in the draft", y: "accepted", top: 1.0, reference: None }, &series)
}

fn costs(report: &SpeculateReport) -> String {
    let passes = &report.forward;
    let apart = passes.iter().map(|pass| (pass.rows as f64, pass.median_ms)).collect();
    let in_run = passes.iter().filter_map(|pass| Some((pass.rows as f64, pass.run_median_ms?))).collect();
    let series = [
        Series { name: "measured apart".to_owned(), colour: 0, points: apart, is_scattered: false },
        Series { name: "in the run".to_owned(), colour: 1, points: in_run, is_scattered: true },
    ];
    lines(&Axes { x: "rows", y: "milliseconds", top: 0.0, reference: None }, &series)
}

fn hindsights(report: &SpeculateReport) -> String {
    let longest = report.subject.draft_max as f64;
    let series = |(index, set_up): (usize, &SetUpReport)| {
        let allowed = (0u32..).map(f64::from).zip(set_up.figures.allowed.by_draft_length.iter().copied()).collect();
        let reached = set_up.figures.speed_up.map(|speed_up| (longest, speed_up)).into_iter().collect();
        let (name, colour) = (set_up.draft.clone(), index % COLOURS);
        let name_of_reached = format!("{name}, reached");
        [
            Series { name, colour, points: allowed, is_scattered: false },
            Series { name: name_of_reached, colour, points: reached, is_scattered: true },
        ]
    };
    let series: Vec<_> = report.set_ups.iter().enumerate().flat_map(series).collect();
    let axes = Axes { x: "drafted tokens a pass, at most", y: "speed-up", top: 1.25, reference: Some(1.0) };
    key(report) + &lines(&axes, &series)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{fixed_report, fixed_run};
    use super::*;

    fn fixed_page() -> String {
        page(&fixed_report(), &fixed_run(), &|tokens| format!("<{tokens:?}>"))
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = fixed_page();
        for word in ["http", "<script", "<link", "src=", "url(", "@import"] {
            assert!(!page.contains(word), "{word}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf\""));
    }

    #[test]
    fn every_section_has_its_plot() {
        let page = fixed_page();
        assert_eq!(page.matches("<h2>").count(), 5);
        assert_eq!(page.matches("<svg").count(), 5);
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(page.contains("<td>1.00 – 2.00</td>"));
    }

    #[test]
    fn the_timeline_shows_who_made_each_token() {
        // The answer of `qa`: the model's own token, then a pass with three right guesses and its own.
        let page = fixed_page();
        let expected = "<span class=\"own\" title=\"pass 1\">&lt;[1]&gt;</span>\
            <span class=\"accepted\" title=\"pass 2\">&lt;[2]&gt;</span>";
        assert!(page.contains(expected), "{page}");
        assert_eq!(page.matches("<rect class=\"accepted\"").count(), 3);
        assert_eq!(page.matches("<rect class=\"rejected\"").count(), 0);
        assert!(page.contains("lookup, prompt 1 of qa"));
    }
}
