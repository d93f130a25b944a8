//! What was measured: as tables in Markdown, and as JSON.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::run;

/// What was measured of one program on one input.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// What was run.
    pub(super) section: &'static str,
    pub(super) input: String,
    pub(super) program: String,
    /// Name and value; none where the program failed.
    pub(super) figures: Vec<(&'static str, f64)>,
    pub(super) bar: Option<Bar>,
    /// What else a reader must know, or the figures would mislead.
    pub(super) note: Option<String>,
    /// It was not run: the note says why.
    pub(super) is_left_out: bool,
}

/// What a figure may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    figure: &'static str,
    bound: Bound,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    pub(super) fn at_most(figure: &'static str, value: f64) -> Self {
        Self { figure, bound: Bound::AtMost(value) }
    }

    pub(super) fn at_least(figure: &'static str, value: f64) -> Self {
        Self { figure, bound: Bound::AtLeast(value) }
    }

    /// As the tables have it.
    fn cell(self) -> String {
        match self.bound {
            Bound::AtMost(value) => format!("≤ {}", number(value)),
            Bound::AtLeast(value) => format!("≥ {}", number(value)),
        }
    }

    fn json(self, is_ok: Option<bool>) -> Value {
        let (bound, value) = match self.bound {
            Bound::AtMost(value) => ("at_most", value),
            Bound::AtLeast(value) => ("at_least", value),
        };
        json!({ "figure": self.figure, bound: value, "ok": is_ok })
    }
}

impl Row {
    /// A row in place of those for which something is missing here.
    pub(super) fn left_out(section: &'static str, input: &str, why: &dyn ToString) -> Self {
        let (input, note) = (input.to_owned(), Some(why.to_string()));
        Self { section, input, note, is_left_out: true, ..Self::default() }
    }

    /// What stands in the place of figures where there are none.
    pub(super) fn without_figures(&self) -> &'static str {
        if self.is_left_out { "left out" } else { "fails" }
    }

    pub(super) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(figure, _)| *figure == name).map(|(_, value)| *value)
    }

    /// Whether it is within its bar, if it has one.
    fn is_ok(&self) -> Option<bool> {
        let bar = self.bar?;
        Some(self.figure(bar.figure).is_some_and(|value| match bar.bound {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => value >= least,
        }))
    }

    /// How it misses its bar; `None` where it does not, or has none.
    pub(super) fn missed(&self) -> Option<String> {
        let bar = self.bar.filter(|_| self.is_ok() == Some(false))?;
        let value = self.figure(bar.figure).map_or_else(|| self.without_figures().to_owned(), number);
        let Self { section, input, program, .. } = self;
        Some(format!("`{section}`, {input}, {program}: {} {}: {value}", bar.figure, bar.cell()))
    }
}

/// A table a section.
pub(super) fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    for rows in rows.chunk_by(|one, other| one.section == other.section) {
        text += &format!("\n### `{}`\n\n", rows[0].section);
        let mut figures = Vec::new();
        for (name, _) in rows.iter().flat_map(|row| &row.figures) {
            if !figures.contains(name) {
                figures.push(*name);
            }
        }
        let bars = rows.iter().any(|row| row.bar.is_some());
        let notes = rows.iter().any(|row| row.note.is_some());
        let end = ["bar", ""].into_iter().filter(|_| bars).chain(notes.then_some("note"));
        let head: Vec<_> = ["input", "X"].into_iter().chain(figures.iter().copied()).chain(end).collect();
        let lines: Vec<_> = rows.iter().map(|row| line(row, &figures, bars, notes)).collect();
        text += &markdown(&head, &lines, 2);
    }
    text
}

/// The cells of a row under these columns.
fn line(row: &Row, figures: &[&'static str], bars: bool, notes: bool) -> Vec<String> {
    let mut cells = vec![row.input.clone(), row.program.clone()];
    if row.figures.is_empty() {
        cells.push(row.without_figures().to_owned());
        cells.resize(2 + figures.len(), String::new());
    } else {
        cells.extend(figures.iter().map(|name| row.figure(name).map(number).unwrap_or_default()));
    }
    if bars {
        let bar = row.bar.map(Bar::cell).unwrap_or_default();
        let ok = row.is_ok().map_or("", |ok| if ok { "ok" } else { "missed" });
        cells.extend([bar, ok.to_owned()]);
    }
    if notes {
        cells.push(row.note.clone().unwrap_or_default());
    }
    cells
}

/// A table in Markdown, as wide as what is in it, so that it can be read as it is too. The first so many columns are
/// words, the others figures.
pub(super) fn markdown(head: &[&str], lines: &[Vec<String>], words: usize) -> String {
    let escaped = |cell: &str| cell.replace('|', "\\|");
    let head: Vec<_> = head.iter().map(|cell| escaped(cell)).collect();
    let lines: Vec<Vec<_>> =
        lines.iter().map(|line| line.iter().map(|cell| escaped(cell)).collect()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(&lines).filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let row = |cells: &[String]| {
        let cells = widths.iter().enumerate().map(|(column, &width)| {
            let cell = cells.get(column).map_or("", String::as_str);
            if column < words { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") }
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| match column < words {
        true => format!(" {} |", "-".repeat(width)),
        false => format!(" {}: |", "-".repeat(width - 1)),
    });
    let rule = format!("|{}\n", rule.collect::<String>());
    row(&head) + &rule + &lines.iter().map(|line| row(line)).collect::<String>()
}

/// With as many digits as mean something.
pub(super) fn number(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// All that was measured, and where.
pub(super) fn json(
    rows: &[Row],
    recordings: &[(String, u64, String)],
    machine: &Value,
    rounds: usize,
) -> anyhow::Result<String> {
    let rows: Vec<_> = rows.iter().map(row).collect();
    let recording = |(name, bytes, how): &_| json!({ "name": name, "bytes": bytes, "how": how });
    let recordings: Vec<_> = recordings.iter().map(recording).collect();
    let results = json!({ "machine": machine, "rounds": rounds, "recordings": recordings, "results": rows });
    Ok(serde_json::to_string_pretty(&results)? + "\n")
}

fn row(row: &Row) -> Value {
    let figures: serde_json::Map<_, _> =
        row.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let bar = row.bar.map(|bar| bar.json(row.is_ok()));
    json!({
        "command": row.section,
        "input": row.input,
        "program": row.program,
        "fails": row.figures.is_empty() && !row.is_left_out,
        "left_out": row.is_left_out,
        "figures": figures,
        "bar": bar,
        "note": row.note,
    })
}

/// Where it is measured: without it figures mean nothing.
pub(super) fn machine(perf: &Path) -> Value {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let mut version = Command::new(perf);
    version.arg("--version");
    let perf = run::output(version).map(|version| String::from_utf8_lossy(&version).trim().to_owned());
    json!({
        "processor": model.map(|(_, model)| model),
        "processors": thread::available_parallelism().ok().map(usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "perf": perf.ok(),
        // Whoever else is at work is in the figures. It is looked at before there is work of ours.
        "load": read("/proc/loadavg").split_whitespace().next(),
    })
}

/// One line about where it was measured.
pub(super) fn about(machine: &Value) -> String {
    let of = |key: &str| match &machine[key] {
        Value::Null => "unknown".to_owned(),
        value => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    };
    let (processor, processors) = (of("processor"), of("processors"));
    let (kernel, perf, load) = (of("kernel"), of("perf"), of("load"));
    format!(
        "{processor}, {processors} processors, Linux {kernel}, compared with {perf}; load {load} before it began"
    )
}

/// How the recordings were made that are there.
pub(super) fn recordings(recordings: &[(String, u64, String)]) -> String {
    let line = |(name, bytes, how): &(String, u64, String)| {
        format!("* {name}, {} MB: `{how}`\n", number(*bytes as f64 / 1e6))
    };
    let lines: String = recordings.iter().map(line).collect();
    format!("\n### Recordings\n\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |program: &str, ratio: Option<f64>, at_most: Option<f64>| Row {
            section: "cat FILE | X",
            input: "samples".to_owned(),
            program: program.to_owned(),
            figures: ratio.map_or(Vec::new(), |ratio| vec![("s", 0.1234), ("x cat", ratio)]),
            bar: at_most.map(|at_most| Bar::at_most("x cat", at_most)),
            ..Row::default()
        };
        vec![
            row("cat", Some(1.0), None),
            row("fast", Some(0.7), Some(0.8)),
            Row { note: Some("noted".to_owned()), ..row("slow", Some(123.4), Some(1.5)) },
            Row { note: Some("noted".to_owned()), ..row("odd", Some(2.0), None) },
            row("broken", None, Some(1.0)),
            Row { section: "X", note: Some("noted".to_owned()), ..row("cat", Some(12.34), None) },
        ]
    }

    #[test]
    fn a_table_has_its_bars_beside_its_figures() {
        let expected = "
### `cat FILE | X`

| input   | X      |        s | x cat |     bar |        |  note |
| ------- | ------ | -------: | ----: | ------: | -----: | ----: |
| samples | cat    |    0.123 |  1.00 |         |        |       |
| samples | fast   |    0.123 | 0.700 | ≤ 0.800 |     ok |       |
| samples | slow   |    0.123 |   123 |  ≤ 1.50 | missed | noted |
| samples | odd    |    0.123 |  2.00 |         |        | noted |
| samples | broken |    fails |       |  ≤ 1.00 | missed |       |
| node    |        | left out |       |         |        |  gone |

### `X`

| input   | X   |     s | x cat |  note |
| ------- | --- | ----: | ----: | ----: |
| samples | cat | 0.123 |  12.3 | noted |
";
        let mut rows = rows();
        rows.insert(5, Row::left_out("cat FILE | X", "node", &"gone"));
        assert_eq!(tables(&rows), expected);
    }

    #[test]
    fn a_figure_that_is_not_there_leaves_its_place_empty() {
        let row = |figures| Row { section: "X", figures, ..Row::default() };
        let table = tables(&[row(vec![("s", 1.0), ("CPU s", 2.0)]), row(vec![("CPU s", 3.0)])]);
        assert!(
            table.ends_with("|       |     | 1.00 |  2.00 |\n|       |     |      |  3.00 |\n"),
            "{table}"
        );
    }

    #[test]
    fn a_recording_is_told_with_its_size_and_its_command() {
        let told = recordings(&[("a.pipe".to_owned(), 57_600_000, "perf record -a".to_owned())]);
        assert_eq!(told, "\n### Recordings\n\n* a.pipe, 57.6 MB: `perf record -a`\n");
    }

    #[test]
    fn a_cell_with_a_bar_in_it_is_one_cell() {
        let table = markdown(&["a"], &[vec!["cat | cat".to_owned()]], 1);
        assert_eq!(table, "| a          |\n| ---------- |\n| cat \\| cat |\n");
    }

    #[test]
    fn what_misses_its_bar_is_named() {
        let missed: Vec<_> = rows().iter().filter_map(Row::missed).collect();
        assert_eq!(
            missed,
            [
                "`cat FILE | X`, samples, slow: x cat ≤ 1.50: 123",
                "`cat FILE | X`, samples, broken: x cat ≤ 1.00: fails",
            ]
        );
        let bar = Some(Bar::at_least("MB/s", 200.0));
        let at = |value| Row { figures: vec![("MB/s", value)], bar, ..Row::default() };
        assert_eq!(at(200.0).missed(), None);
        assert!(at(150.0).missed().unwrap().ends_with(": MB/s ≥ 200: 150"));
        assert_eq!(Row::left_out("X", "node", &"gone").missed(), None);
    }

    #[test]
    fn a_program_that_fails_misses_its_bar() {
        let json: Value =
            serde_json::from_str(&json(&rows(), &[], &machine("perf".as_ref()), 7).unwrap()).unwrap();
        assert_eq!(json["rounds"], 7);
        assert_eq!(json["results"][1]["bar"]["ok"], true);
        assert_eq!(json["results"][2]["figures"]["x cat"], 123.4);
        assert_eq!(
            (&json["results"][4]["fails"], &json["results"][4]["bar"]["ok"]),
            (&json!(true), &json!(false))
        );
    }
}
