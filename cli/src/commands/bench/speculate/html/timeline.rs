//! One answer of each set-up, pass by pass: which tokens were guessed right, which wrong, which the model gave itself.

mod text;

use self::text::text;
use super::super::measure::{Run, decoding};
use super::super::plot::{escape, number, ticks};
use super::super::report::SpeculateReport;
use super::{TokenId, Write};
use crate::set_up::{Generation, Step};

/// Size of the strip of passes.
const WIDTH: f64 = 920.0;
const BOX: f64 = 8.0;
/// Place below the boxes for the time.
const BELOW: f64 = 22.0;
/// Boxes of a pass that are drawn; a tree may have more.
const MOST_BOXES: usize = 32;

/// A strip and the text for each set-up.
pub(super) fn timelines(report: &SpeculateReport, run: &Run, decode: &dyn Fn(&[TokenId]) -> String) -> String {
    let mut html = "<figcaption><span class=\"key own\"><i></i>the model's own token</span>\
        <span class=\"key accepted\"><i></i>accepted guess</span>\
        <span class=\"key rejected\"><i></i>rejected guess</span></figcaption>\n"
        .to_owned();
    for (case, set_up) in (1..).zip(&report.set_ups) {
        let Some((name, answer)) = most_telling(run, case) else {
            html += &format!("<p class=\"note\">{} guessed nothing.</p>\n", escape(&set_up.draft));
            continue;
        };
        let (draft, name) = (escape(&set_up.draft), escape(&name));
        html += &format!("<h3>{draft}, {name}</h3>\n{}\n{}\n", strip(answer), text(answer, decode));
    }
    html
}

/// The answer with the most guesses of the rarer kind, right or wrong, so that both are seen; `None` without guesses.
fn most_telling(run: &Run, case: usize) -> Option<(String, &Generation)> {
    let answers = run.prompts.iter().flat_map(|prompt| {
        prompt.answers(case).map(move |answer| (format!("prompt {} of {}", prompt.id, prompt.category), answer))
    });
    let counts = |answer: &Generation| {
        let count = |of: fn(&Step) -> usize| answer.steps.iter().map(of).sum::<usize>();
        let (proposed, accepted) = (count(|step| step.proposed), count(|step| step.accepted));
        (accepted.min(proposed - accepted), proposed)
    };
    // Of equals the first, as a reader expects.
    let best = answers.reduce(|best, next| if counts(next.1) > counts(best.1) { next } else { best });
    best.filter(|(_, answer)| counts(answer).1 > 0)
}

/// The passes behind the first token over time; the boxes of a pass stand on one another.
fn strip(answer: &Generation) -> String {
    let steps = decoding(answer);
    let total: f64 = steps.iter().map(|step| step.duration.as_secs_f64() * 1000.0).sum();
    let tallest = steps.iter().map(boxes).max().unwrap_or(1);
    let height = BOX * tallest as f64;
    let mut svg = format!(
        "<div class=\"scroll\"><svg class=\"strip\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"passes\">",
        height + BELOW
    );
    let across = |milliseconds: f64| WIDTH * milliseconds / total.max(f64::MIN_POSITIVE);
    let mut start = 0.0;
    for (number, step) in (2..).zip(steps) {
        let end = start + step.duration.as_secs_f64() * 1000.0;
        draw(&mut svg, step, number, (across(start), height), across(end) - across(start));
        start = end;
    }
    for time in ticks(0.0, total, 8) {
        svg += &tick(time, across(time), height);
    }
    svg + "</svg></div>"
}

/// The first and the last number would stand over the edge if their middles were below their ticks.
fn tick(time: f64, x: f64, height: f64) -> String {
    let anchor = match x {
        x if x < 10.0 => "start",
        x if x > WIDTH - 40.0 => "end",
        _ => "middle",
    };
    format!(
        "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{height:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>\
         <text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} ms</text>",
        height + 4.0,
        height + 17.0,
        number(time),
    )
}

fn boxes(step: &Step) -> usize {
    (1 + step.proposed).min(MOST_BOXES)
}

fn draw(svg: &mut String, step: &Step, number: usize, (x, bottom): (f64, f64), width: f64) {
    let Step { proposed, accepted, tokens, .. } = step;
    let milliseconds = step.duration.as_secs_f64() * 1000.0;
    let title =
        format!("pass {number}: {proposed} guessed, {accepted} accepted, {tokens} tokens, {milliseconds:.2} ms");
    *svg += &format!("<g><title>{title}</title>");
    for index in 0..boxes(step) {
        let class = match index {
            0 => "own",
            _ if index <= *accepted => "accepted",
            _ => "rejected",
        };
        let y = bottom - BOX * (index + 1) as f64;
        // Half a unit on each side keeps neighbours, and the stroke of hollow boxes, apart.
        let (x, y, width, height) = (x + 0.5, y + 0.5, (width - 1.0).max(0.5), BOX - 1.0);
        write!(svg, "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>")
            .expect("a string takes all");
    }
    *svg += "</g>";
}
