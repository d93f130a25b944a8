//! The picture of the pipes: a bar for each program and input, in times of cat. The scale doubles from line to line,
//! and bars start at cat: to the left is faster, to the right slower.

use super::pipes::{RATIO, SECTION};
use super::report::{Row, number};

/// In units of the picture.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = WIDTH - 60.0;
const TOP: f64 = 64.0;
const BAR: f64 = 14.0;
const GAP: f64 = 14.0;

/// The programs that have bars, and the class of each.
const PROGRAMS: [(&str, &str); 3] =
    [("perftool inject", "plain"), ("perftool inject -b", "ids"), ("perf inject -b", "perf")];

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.grid { stroke: #d0d7de; }
.cat { stroke: #24292f; stroke-width: 1.5; }
.plain { fill: #4aa3a2; }
.ids { fill: #2f6fb7; }
.perf { fill: #b08a3e; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.grid { stroke: #3d444d; }
.cat { stroke: #e6edf3; }
.plain { fill: #6cc4c2; }
.ids { fill: #6ea8fe; }
.perf { fill: #d9b36a; }
}";

/// The picture as SVG, which needs nothing else.
pub(super) fn svg(rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.section == SECTION).collect();
    let scale = Scale::of(rows.iter().filter_map(|row| row.figure(RATIO)));
    let mut body = String::new();
    let mut y = TOP;
    for group in rows.chunk_by(|one, other| one.input == other.input) {
        body += &text(LEFT - 10.0, y + 1.5 * BAR, "end", &group[0].input);
        for (program, class) in PROGRAMS {
            let Some(row) = group.iter().find(|row| row.program == program) else { continue };
            body += &bar(row, class, y, &scale);
            y += BAR;
        }
        y += GAP;
    }
    let grid = scale.grid(y);
    let height = y + 24.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>Time of a recording through a pipe, in times of cat</title>\n\
         <style>\n{STYLE}\n</style>\n{}{grid}{body}</svg>\n",
        legend()
    )
}

/// Times of cat as places from left to right.
struct Scale {
    /// The powers of two at both ends.
    low: i32,
    high: i32,
}

impl Scale {
    /// One with room for all of these, and for cat.
    fn of(ratios: impl Iterator<Item = f64>) -> Self {
        let mut scale = Self { low: -1, high: 1 };
        for ratio in ratios.filter(|ratio| ratio.is_finite() && *ratio > 0.0) {
            // With room for the figure at the bar's left end.
            while ratio < 1.4 * 2_f64.powi(scale.low) {
                scale.low -= 1;
            }
            while ratio > 2_f64.powi(scale.high) {
                scale.high += 1;
            }
        }
        scale
    }

    fn x(&self, ratio: f64) -> f64 {
        let part = (ratio.log2() - f64::from(self.low)) / f64::from(self.high - self.low);
        LEFT + (RIGHT - LEFT) * part
    }

    /// The lines behind the bars, down to `bottom`.
    fn grid(&self, bottom: f64) -> String {
        let line = |power| {
            let ratio = 2_f64.powi(power);
            let (x, from) = (self.x(ratio), TOP - 8.0);
            let (class, name) =
                if power == 0 { ("cat", "cat".to_owned()) } else { ("grid", format!("{ratio}x")) };
            format!("<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{from}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\n")
                + &text(x, bottom + 16.0, "middle", &name)
        };
        (self.low..=self.high).map(line).collect()
    }
}

/// A bar from cat to where the program is, and the figure at its end.
fn bar(row: &Row, class: &str, y: f64, scale: &Scale) -> String {
    let cat = scale.x(1.0);
    let base = y + BAR - 3.0;
    let Some(ratio) = row.figure(RATIO) else { return text(cat + 6.0, base, "", row.without_figures()) };
    let to = scale.x(ratio);
    let (left, width) = (to.min(cat), (to - cat).abs());
    let height = BAR - 2.0;
    let rect = format!(
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>\n"
    );
    let figure = match &row.note {
        Some(note) => format!("{} ({note})", number(ratio)),
        None => number(ratio),
    };
    // The side of cat where the bar is not would be read as part of the next.
    rect + &if to < cat { text(to - 5.0, base, "end", &figure) } else { text(to + 5.0, base, "", &figure) }
}

fn legend() -> String {
    let mut legend = text(LEFT, 16.0, "", "Time of cat FILE | X | cat > /dev/null, in times of X = cat");
    for (place, (program, class)) in PROGRAMS.iter().enumerate() {
        let x = LEFT + 150.0 * place as f64;
        legend += &format!("<rect class=\"{class}\" x=\"{x}\" y=\"30\" width=\"12\" height=\"12\"/>\n");
        legend += &text(x + 18.0, 40.0, "", program);
    }
    legend
}

fn text(x: f64, y: f64, class: &str, words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(program: &str, ratio: Option<f64>) -> Row {
        let figures = ratio.map_or(Vec::new(), |ratio| vec![(RATIO, ratio)]);
        Row {
            section: SECTION,
            input: "samples".to_owned(),
            program: program.to_owned(),
            figures,
            ..Row::default()
        }
    }

    #[test]
    fn every_program_has_its_bar_or_fails() {
        let rows = [row("cat", Some(1.0)), row("perftool inject", Some(0.7)), row("perf inject -b", None)];
        let svg = svg(&rows);
        assert_eq!(svg.matches("<rect").count(), 3 + 1, "the legend's, and one bar: {svg}");
        assert!(svg.contains(">fails</text>") && svg.contains(">0.700</text>"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn the_scale_has_room_for_all() {
        let scale = Scale::of([0.4, 17.0].into_iter());
        assert_eq!((scale.low, scale.high), (-2, 5));
        assert_eq!(Scale::of([0.3].into_iter()).low, -3);
        assert!(scale.x(0.25) == LEFT && scale.x(32.0) == RIGHT);
        let empty = Scale::of([f64::NAN, f64::INFINITY, 0.0].into_iter());
        assert_eq!((empty.low, empty.high), (-1, 1));
    }
}
