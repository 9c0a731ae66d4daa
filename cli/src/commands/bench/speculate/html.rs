//! The report as one HTML page that needs no other file, no script and no network.

mod table;
mod timeline;

use std::fmt::Write;

use veridraft_models::TokenId;

use super::measure::Run;
use super::plot::{Axes, Bar, COLOURS, FEW, Point, Series, bars, escape, lines};
use super::report::{Figures, Pass, Position, SetUpReport, SpeculateReport};

/// Makes the page; `decode` gives the text of some tokens.
pub(super) fn page(report: &SpeculateReport, run: &Run, decode: &dyn Fn(&[TokenId]) -> String) -> String {
    let model = escape(&report.subject.model);
    let acceptance_note = format!("{ACCEPTANCE_NOTE} Points of fewer than {FEW} drafts are pale.");
    let costs_note = format!("{COST_NOTE} Circles of fewer than {FEW} passes are pale.");
    let sections = [
        header(report),
        table::table(report),
        section(("speed-up", "Speed-up by category"), SPEED_UP_NOTE, &speed_ups(report)),
        section(("acceptance", "Acceptance by position"), &acceptance_note, &acceptance(report)),
        section(("cost", "Cost of a pass by its rows, T(k)"), &costs_note, &costs(report)),
        section(("draft-length", "What each draft length would have given"), HINDSIGHT_NOTE, &hindsights(report)),
        section(("timeline", "One answer, pass by pass"), TIMELINE_NOTE, &timeline::timelines(report, run, decode)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Speculation of {model}</title>\n<style>\n{}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        include_str!("style.css"),
        sections.concat(),
    )
}

const SPEED_UP_NOTE: &str = "Tokens a second by those of plain decoding, which is the dashed line. Whiskers are 95 % \
    intervals; a category of one prompt has none.";
const ACCEPTANCE_NOTE: &str = "Of the drafts that had a guess at a position, the share in which this guess and all \
    before it were right.";
const COST_NOTE: &str = "Median milliseconds of a forward pass. The line was measured apart, row counts in turn; \
    circles are passes of the run itself, of plain decoding and all set-ups.";
const HINDSIGHT_NOTE: &str = "The run replayed with its drafts cut to each length: tokens per pass, divided by the mean \
    of T(1 + proposed)/T(1) plus the time of drafting by T(1). A drafter is taken to go on with its draft where it was \
    cut; scheduling and sampling are left out. Circles are what the run reached.";
const TIMELINE_NOTE: &str = "For each set-up an answer with many right and many wrong guesses. Each column is a pass, as wide as it took; its \
    boxes are the tokens that it checked. In the text a pass gives right guesses and then the model's own token; wrong guesses \
    are struck through before the token that was right, each way through the tree by itself. Point at a token for its \
    pass and who guessed it.";

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

/// A plot under its `(name, title)`; the name is for links and for programs.
fn section((name, title): (&str, &str), note: &str, body: &str) -> String {
    format!("<h2>{title}</h2>\n<p class=\"note\">{note}</p>\n<figure id=\"{name}\">{body}</figure>\n")
}

/// Which colour is what.
fn key<'a>(entries: impl IntoIterator<Item = (usize, &'a str)>) -> String {
    let entry = |(index, name): (usize, &str)| {
        format!("<span class=\"key series-{}\"><i></i>{}</span>", index % COLOURS, escape(name))
    };
    format!("<figcaption>{}</figcaption>", entries.into_iter().map(entry).collect::<String>())
}

fn draft_names(report: &SpeculateReport) -> impl Iterator<Item = (usize, &str)> {
    report.set_ups.iter().map(|set_up| set_up.draft.as_str()).enumerate()
}

fn speed_ups(report: &SpeculateReport) -> String {
    let bar = |figures: &Figures| -> Bar { (figures.speed_up, figures.speed_up_interval) };
    let whole = ("all".to_owned(), report.set_ups.iter().map(|set_up| bar(&set_up.figures)).collect());
    let parts = report.baseline.categories.iter().enumerate().map(|(index, category)| {
        let bars = report.set_ups.iter().map(|set_up| bar(&set_up.categories[index].figures)).collect();
        (category.category.clone(), bars)
    });
    let groups: Vec<_> = [whole].into_iter().chain(parts).collect();
    key(draft_names(report)) + &bars(&groups, "speed-up", 1.0)
}

fn acceptance(report: &SpeculateReport) -> String {
    let point = |position: &Position| Point {
        x: position.position as f64,
        y: position.accepted as f64 / position.proposed as f64,
        count: Some(position.proposed),
    };
    let series = |(index, set_up): (usize, &SetUpReport)| Series {
        name: set_up.draft.clone(),
        colour: index % COLOURS,
        points: set_up.positions.iter().map(point).collect(),
        is_scattered: false,
    };
    let series: Vec<_> = report.set_ups.iter().enumerate().map(series).collect();
    // Who never guessed has no line to find.
    let names = draft_names(report).filter(|&(index, _)| !series[index].points.is_empty());
    let axes = Axes { x: "position in the draft", y: "share accepted", top: 1.0, reference: None };
    key(names) + &lines(&axes, &series)
}

fn costs(report: &SpeculateReport) -> String {
    let apart = |pass: &Pass| Point::from((pass.rows as f64, pass.median_ms));
    let in_run =
        |pass: &Pass| Some(Point { x: pass.rows as f64, y: pass.run_median_ms?, count: Some(pass.run_passes) });
    let names = ["measured apart", "passes of the run"];
    let points = [report.forward.iter().map(apart).collect(), report.forward.iter().filter_map(in_run).collect()];
    let series = (0..).zip(names.into_iter().zip(points));
    let series = series.map(|(colour, (name, points))| Series {
        name: name.to_owned(),
        colour,
        points,
        is_scattered: colour == 1,
    });
    let axes = Axes { x: "rows of a pass", y: "median, ms", top: 0.0, reference: None };
    key(names.into_iter().enumerate()) + &lines(&axes, &series.collect::<Vec<_>>())
}

fn hindsights(report: &SpeculateReport) -> String {
    let longest = report.subject.draft_max as f64;
    let series = |(index, set_up): (usize, &SetUpReport)| {
        let allowed = (0u32..).map(f64::from).zip(set_up.figures.allowed.by_draft_length.iter().copied());
        let allowed = allowed.map(Point::from).collect();
        let reached = set_up.figures.speed_up.map(|speed_up| Point::from((longest, speed_up))).into_iter().collect();
        let (name, colour) = (set_up.draft.clone(), index % COLOURS);
        let name_of_reached = format!("{name}, reached");
        [
            Series { name, colour, points: allowed, is_scattered: false },
            Series { name: name_of_reached, colour, points: reached, is_scattered: true },
        ]
    };
    let series: Vec<_> = report.set_ups.iter().enumerate().flat_map(series).collect();
    let axes = Axes { x: "drafted tokens a pass, at most", y: "speed-up", top: 1.25, reference: Some(1.0) };
    key(draft_names(report)) + &lines(&axes, &series)
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
        assert!(page.contains("<td>1.00 – 2.00</td><td>1.33</td>"));
        let cells = page.split("</tr>").filter(|row| row.contains("<td")).map(|row| row.matches("<td").count());
        assert!(cells.clone().count() == 6 && cells.clone().all(|count| count == page.matches("<th>").count()));
    }

    #[test]
    fn the_timeline_shows_who_made_each_token() {
        // The answer of `qa`: the model's own token, then a pass with three right guesses and its own.
        let page = fixed_page();
        let expected = "<span class=\"own\" title=\"pass 1, the model itself, token 1\">&lt;[1]&gt;</span>\
            <span class=\"accepted\" title=\"pass 2, lookup, token 2\">&lt;[2]&gt;</span>";
        assert!(page.contains(expected), "{page}");
        assert_eq!(page.matches("<rect class=\"accepted\"").count(), 3);
        assert_eq!(page.matches("<rect class=\"rejected\"").count(), 0);
        assert!(page.contains("lookup, prompt 1 of qa"));
    }
}
