//! Plots as SVG text: lines over numbers, bars by group. Colours come from the page's style, by class.

use std::fmt::Write;

/// Size of a plot, and of its margins, in units of the SVG.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;
/// Thickness of a bar and distance of groups.
const BAR: f64 = 16.0;
const GROUP_GAP: f64 = 12.0;
/// Place below bars for the numbers and the name of their axis.
const BELOW_BARS: f64 = 44.0;
/// Letters of a group's name that have room.
const NAME: usize = 28;
/// What a point stands for, at least, that is not drawn pale.
pub(super) const FEW: usize = 5;

/// Colours that the style has for series; further ones begin again.
pub(super) const COLOURS: usize = 6;

/// Points of one colour.
pub(super) struct Series {
    pub(super) name: String,
    /// Its colour: `series-0`, `series-1` ...
    pub(super) colour: usize,
    pub(super) points: Vec<Point>,
    /// Dots alone, without a line.
    pub(super) is_scattered: bool,
}

/// A point, and how many observations it stands for where they were counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) count: Option<usize>,
}

impl From<(f64, f64)> for Point {
    fn from((x, y): (f64, f64)) -> Self {
        Self { x, y, count: None }
    }
}

/// What stands beside the axes of a plot of lines, and up to where the vertical one goes at least.
pub(super) struct Axes<'a> {
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) top: f64,
    /// A horizontal line to compare with.
    pub(super) reference: Option<f64>,
}

/// A bar: its value, and the ends of its interval.
pub(super) type Bar = (Option<f64>, Option<[f64; 2]>);

/// Text that HTML and SVG show as it is.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, letter| {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            other => escaped.push(other),
        }
        escaped
    })
}

/// Lines and dots over numbers from the least x to the greatest; y begins at 0.
pub(super) fn lines(axes: &Axes, series: &[Series]) -> String {
    let points = || series.iter().flat_map(|series| &series.points);
    let low = points().map(|point| point.x).fold(f64::INFINITY, f64::min);
    let high = points().map(|point| point.x).fold(f64::NEG_INFINITY, f64::max);
    if !low.is_finite() {
        return "<p class=\"note\">Nothing to show.</p>".to_owned();
    }
    let top = points().map(|point| point.y).fold(axes.top, f64::max);
    let across = |x: f64| LEFT + (WIDTH - LEFT - RIGHT) * if high > low { (x - low) / (high - low) } else { 0.5 };
    let up = |y: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / top;
    let mut svg = open(HEIGHT, &format!("{} by {}", axes.y, axes.x));
    for y in ticks(0.0, top, 8) {
        rule(&mut svg, (LEFT, up(y)), (WIDTH - RIGHT, up(y)), "grid");
        label(&mut svg, (LEFT - 8.0, up(y) + 4.0), "end", &number(y));
    }
    for x in ticks(low, high, 10) {
        label(&mut svg, (across(x), HEIGHT - BOTTOM + 18.0), "middle", &number(x));
    }
    if let Some(y) = axes.reference {
        rule(&mut svg, (LEFT, up(y)), (WIDTH - RIGHT, up(y)), "reference");
    }
    label(&mut svg, ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0), "middle", axes.x);
    let turned =
        format!("<text class=\"axis\" text-anchor=\"middle\" transform=\"translate(14 {:.1}) rotate(-90)\">", {
            (TOP + HEIGHT - BOTTOM) / 2.0
        });
    svg += &format!("{turned}{}</text>", escape(axes.y));
    for series in series {
        draw(&mut svg, series, &|point| (across(point.x), up(point.y)));
    }
    svg + "</svg>"
}

fn draw(svg: &mut String, series: &Series, place: &dyn Fn(Point) -> (f64, f64)) {
    let Series { name, colour, points, is_scattered } = series;
    let name = escape(name);
    if !is_scattered {
        let path: String = points.iter().map(|&point| place(point)).map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        *svg += &format!("<polyline class=\"line series-{colour}\" points=\"{path}\"/>");
    }
    let form = if *is_scattered { "hollow" } else { "dot" };
    for &point in points {
        let (x, y) = place(point);
        let count = point.count.map(|count| format!(", n = {count}")).unwrap_or_default();
        let pale = if point.count.is_some_and(|count| count < FEW) { " pale" } else { "" };
        let title = format!("<title>{name}: {}, {:.3}{count}</title>", number(point.x), point.y);
        *svg += &format!(
            "<circle class=\"{form}{pale} series-{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\">{title}</circle>"
        );
    }
}

/// Horizontal bars from 0, some a group, with whiskers for intervals and a line at `reference`; `axis` says what of.
pub(super) fn bars(groups: &[(String, Vec<Bar>)], axis: &str, reference: f64) -> String {
    let all = || groups.iter().flat_map(|(_, bars)| bars);
    let ends = all().flat_map(|(value, interval)| [*value, interval.map(|interval| interval[1])]).flatten();
    let most = ends.fold(reference * 1.25, f64::max);
    let names = groups.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(NAME);
    let left = 16.0 + 7.5 * names as f64;
    let across = |x: f64| left + (WIDTH - left - 48.0) * x / most;
    let count: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let height = TOP + BAR * count as f64 + GROUP_GAP * groups.len() as f64 + BELOW_BARS;
    let bottom = height - BELOW_BARS;
    let mut svg = open(height, axis);
    for x in ticks(0.0, most, 6) {
        rule(&mut svg, (across(x), TOP), (across(x), bottom), "grid");
        label(&mut svg, (across(x), bottom + 18.0), "middle", &number(x));
    }
    label(&mut svg, (across(most / 2.0), height - 6.0), "middle", axis);
    let mut y = TOP + GROUP_GAP / 2.0;
    for (name, bars) in groups {
        let middle = y + BAR * bars.len() as f64 / 2.0;
        let title = format!("<title>{}</title>", escape(name));
        svg += &format!("<g>{title}");
        label(&mut svg, (left - 8.0, middle + 4.0), "end", &shortened(name));
        svg += "</g>";
        for (index, bar) in bars.iter().enumerate() {
            draw_bar(&mut svg, bar, index % COLOURS, y, &across);
            y += BAR;
        }
        y += GROUP_GAP;
    }
    rule(&mut svg, (across(reference), TOP), (across(reference), bottom), "reference");
    svg + "</svg>"
}

fn draw_bar(svg: &mut String, (value, interval): &Bar, colour: usize, y: f64, across: &dyn Fn(f64) -> f64) {
    let middle = y + BAR / 2.0;
    let Some(value) = *value else {
        return label(svg, (across(0.0) + 4.0, middle + 4.0), "start", "too short to time");
    };
    let (start, end) = (across(0.0), across(value));
    let (width, thickness, top) = (end - start, BAR - 3.0, y + 1.5);
    *svg += &format!(
        "<rect class=\"bar series-{colour}\" x=\"{start:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{thickness}\"/>"
    );
    if let Some(interval) = interval {
        let [low, high] = interval.map(across);
        rule(svg, (low, middle), (high, middle), "whisker");
        for x in [low, high] {
            rule(svg, (x, middle - 4.0), (x, middle + 4.0), "whisker");
        }
    }
    label(svg, (WIDTH - 4.0, middle + 4.0), "end", &format!("{value:.2}"));
}

fn open(height: f64, name: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{}\">", escape(name))
}

fn rule(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
    write!(svg, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>")
        .expect("a string takes all");
}

fn label(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = escape(text);
    write!(svg, "<text class=\"axis\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
        .expect("a string takes all");
}

fn shortened(name: &str) -> String {
    let letters = name.chars().count();
    if letters <= NAME { name.to_owned() } else { name.chars().take(NAME - 1).chain(['…']).collect() }
}

/// Multiples of 1, 2 or 5 times a power of ten, `most` steps at most, that lie between the ends.
pub(super) fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let raw = (high - low).max(1e-9) / most as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= raw * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|index| index as f64 * step).collect()
}

/// Without needless zeros.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let check = |low: f64, high: f64, most: usize, expected: &[f64]| {
            let found = ticks(low, high, most);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9), "{found:?}");
        };
        check(0.0, 1.0, 5, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(1.0, 9.0, 10, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        check(0.0, 1.7, 5, &[0.0, 0.5, 1.0, 1.5]);
        check(3.0, 3.0, 5, &[3.0]);
    }

    #[test]
    fn names_cannot_break_the_page() {
        let bars = bars(&[("<b>&".to_owned(), vec![(Some(1.5), Some([1.0, 2.0]))])], "x", 1.0);
        assert!(bars.contains("&lt;b&gt;&amp;</text>") && !bars.contains("<b>"), "{bars}");
    }

    #[test]
    fn the_greatest_value_is_at_the_top_and_zero_at_the_bottom() {
        let series = Series {
            name: "a".to_owned(),
            colour: 0,
            points: [(1.0, 0.0), (2.0, 4.0)].map(Point::from).to_vec(),
            is_scattered: false,
        };
        let svg = lines(&Axes { x: "x", y: "y", top: 1.0, reference: None }, &[series]);
        let (bottom, top) = (format!("{LEFT:.1},{:.1}", HEIGHT - BOTTOM), format!("{:.1},{TOP:.1}", WIDTH - RIGHT));
        assert!(svg.contains(&format!("points=\"{bottom} {top} \"")), "{svg}");
    }

    #[test]
    fn without_points_there_is_no_plot() {
        assert!(!lines(&Axes { x: "x", y: "y", top: 1.0, reference: None }, &[]).contains("<svg"));
    }

    #[test]
    fn a_group_without_a_value_says_so() {
        let bars = bars(&[("a".to_owned(), vec![(None, None)])], "x", 1.0);
        assert!(bars.contains("too short to time") && bars.ends_with("</svg>"), "{bars}");
    }

    #[test]
    fn a_point_that_stands_for_little_is_pale() {
        let point = |count| Point { x: 1.0, y: 1.0, count };
        let pale = |count| {
            let series = Series { name: "a".to_owned(), colour: 0, points: vec![point(count)], is_scattered: false };
            lines(&Axes { x: "x", y: "y", top: 1.0, reference: None }, &[series]).contains(" pale ")
        };
        assert_eq!([None, Some(FEW), Some(FEW - 1)].map(pale), [false, false, true]);
    }
}
