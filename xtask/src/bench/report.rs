//! What was measured: as a table for people, and as JSON.

use std::fs;
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
    pub(super) note: Option<&'static str>,
}

/// What a figure may be at the most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    pub(super) figure: &'static str,
    pub(super) at_most: f64,
}

impl Row {
    pub(super) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(figure, _)| *figure == name).map(|(_, value)| *value)
    }

    /// Whether it is within its bar, if it has one.
    fn is_ok(&self) -> Option<bool> {
        let bar = self.bar?;
        Some(self.figure(bar.figure).is_some_and(|value| value <= bar.at_most))
    }
}

/// A table a section.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    for rows in rows.chunk_by(|one, other| one.section == other.section) {
        table += &format!("\n{}\n\n", rows[0].section);
        let (head, figures) = head(rows);
        let lines = rows.iter().map(|row| line(row, figures, head.len()));
        let lines: Vec<_> = std::iter::once(head.clone()).chain(lines).collect();
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            lines.iter().filter_map(|line| Some(line.get(column)?.chars().count())).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for line in lines {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 | 1 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            table += &format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
    table
}

/// The names of the columns, and how many of them are figures.
fn head(rows: &[Row]) -> (Vec<String>, usize) {
    let figures = rows.iter().map(|row| &row.figures[..]).max_by_key(|figures| figures.len()).unwrap_or(&[]);
    let names = figures.iter().map(|(name, _)| *name);
    let end = if rows.iter().any(|row| row.bar.is_some()) { &["at most", ""][..] } else { &[] };
    let all = ["input", "X"].into_iter().chain(names).chain(end.iter().copied());
    (all.map(str::to_owned).collect(), figures.len())
}

/// A row with so many figures, or with the word that there are none; a note stands behind all columns.
fn line(row: &Row, figures: usize, columns: usize) -> Vec<String> {
    let mut cells = vec![row.input.clone(), row.program.clone()];
    cells.extend(row.figures.iter().map(|(_, value)| number(*value)));
    if row.figures.is_empty() {
        cells.push("fails".to_owned());
    }
    cells.resize(2 + figures, String::new());
    if let (Some(bar), Some(ok)) = (row.bar, row.is_ok()) {
        cells.extend([number(bar.at_most), if ok { "ok" } else { "over" }.to_owned()]);
    }
    if let Some(note) = row.note {
        cells.resize(columns, String::new());
        cells.push(note.to_owned());
    }
    cells
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
pub(super) fn json(rows: &[Row], machine: &Value, rounds: usize) -> anyhow::Result<String> {
    let rows: Vec<_> = rows.iter().map(row).collect();
    let results = json!({ "machine": machine, "rounds": rounds, "results": rows });
    Ok(serde_json::to_string_pretty(&results)? + "\n")
}

fn row(row: &Row) -> Value {
    let figures: serde_json::Map<_, _> =
        row.figures.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let bar = row.bar.map(|bar| json!({ "figure": bar.figure, "at_most": bar.at_most, "ok": row.is_ok() }));
    json!({
        "command": row.section,
        "input": row.input,
        "program": row.program,
        "fails": row.figures.is_empty(),
        "figures": figures,
        "bar": bar,
        "note": row.note,
    })
}

/// Where it is measured: without it figures mean nothing.
pub(super) fn machine() -> Value {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let mut perf = Command::new("perf");
    perf.arg("--version");
    let perf = run::output(perf).map(|version| String::from_utf8_lossy(&version).trim().to_owned());
    json!({
        "processor": model.map(|(_, model)| model),
        "processors": thread::available_parallelism().ok().map(usize::from),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "perf": perf.ok(),
        // Whoever else is at work is in the figures. It is looked at before there is work of ours.
        "load": read("/proc/loadavg").split_whitespace().next(),
    })
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
            bar: at_most.map(|at_most| Bar { figure: "x cat", at_most }),
            note: None,
        };
        vec![
            row("cat", Some(1.0), None),
            row("fast", Some(0.7), Some(0.8)),
            Row { note: Some("noted"), ..row("slow", Some(123.4), Some(1.5)) },
            Row { note: Some("noted"), ..row("odd", Some(2.0), None) },
            row("broken", None, Some(1.0)),
            Row { section: "X", note: Some("noted"), ..row("cat", Some(12.34), None) },
        ]
    }

    #[test]
    fn a_table_has_its_bars_beside_its_figures() {
        let expected = "
cat FILE | X

  input    X           s  x cat  at most
  samples  cat     0.123   1.00
  samples  fast    0.123  0.700    0.800    ok
  samples  slow    0.123    123     1.50  over  noted
  samples  odd     0.123   2.00                 noted
  samples  broken  fails            1.00  over

X

  input    X        s  x cat
  samples  cat  0.123   12.3  noted
";
        assert_eq!(table(&rows()), expected);
    }

    #[test]
    fn a_program_that_fails_is_over_its_bar() {
        let json: Value = serde_json::from_str(&json(&rows(), &machine(), 7).unwrap()).unwrap();
        assert_eq!(json["rounds"], 7);
        assert_eq!(json["results"][1]["bar"]["ok"], true);
        assert_eq!(json["results"][2]["figures"]["x cat"], 123.4);
        assert_eq!(
            (&json["results"][4]["fails"], &json["results"][4]["bar"]["ok"]),
            (&json!(true), &json!(false))
        );
    }
}
