//! One answer of each set-up, pass by pass: which tokens were guessed right, which wrong, which the model gave itself.

use super::super::measure::{Run, decoding};
use super::super::plot::escape;
use super::super::report::SpeculateReport;
use super::{TokenId, Write};
use crate::set_up::{Generation, Step};

/// Size of the strip of passes.
const WIDTH: f64 = 920.0;
const BOX: f64 = 8.0;
/// Boxes of a pass that are drawn; a tree may have more.
const MOST_BOXES: usize = 32;

/// A strip and the text for each set-up.
pub(super) fn timelines(report: &SpeculateReport, run: &Run, decode: &dyn Fn(&[TokenId]) -> String) -> String {
    let mut html = "<figcaption><span class=\"key own\"><i></i>the model's own token</span>\
        <span class=\"key accepted\"><i></i>accepted guess</span>\
        <span class=\"key rejected\"><i></i>rejected guess</span></figcaption>\n"
        .to_owned();
    for (case, set_up) in (1..).zip(&report.set_ups) {
        let Some((name, answer)) = most_telling(run, case) else { continue };
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
    let total: f64 = steps.iter().map(|step| step.duration.as_secs_f64()).sum();
    let tallest = steps.iter().map(boxes).max().unwrap_or(1);
    let height = BOX * tallest as f64;
    let mut svg = format!("<svg class=\"strip\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\">", height + 20.0);
    let mut x = 0.0;
    for (number, step) in (2..).zip(steps) {
        let width = WIDTH * step.duration.as_secs_f64() / total;
        draw(&mut svg, step, number, (x, height), width);
        x += width;
    }
    let milliseconds = total * 1000.0;
    svg + &format!(
        "<text class=\"axis\" x=\"0\" y=\"{0:.0}\">0</text>\
         <text class=\"axis\" x=\"{WIDTH}\" y=\"{0:.0}\" text-anchor=\"end\">{milliseconds:.0} ms</text></svg>",
        height + 15.0
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

/// The answer's tokens: right guesses of a pass come before its own token.
fn text(answer: &Generation, decode: &dyn Fn(&[TokenId]) -> String) -> String {
    let mut html = "<div class=\"text\">".to_owned();
    let mut tokens = answer.tokens.iter();
    for (number, step) in (1..).zip(&answer.steps) {
        for (index, token) in tokens.by_ref().take(step.tokens).enumerate() {
            let class = if index < step.accepted { "accepted" } else { "own" };
            let rejected = step.proposed - step.accepted;
            if index == step.accepted && rejected > 0 {
                html += &format!("<b class=\"rejected\">{rejected}</b>");
            }
            let token = escape(&decode(&[*token]));
            html += &format!("<span class=\"{class}\" title=\"pass {number}\">{token}</span>");
        }
    }
    html + "</div>"
}
