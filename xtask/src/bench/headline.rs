//! What is told first: the rows that say how it is used, each against what one would use in its place. They are rows
//! of the tables below, once more.

use super::inputs::{BUILD, SAMPLES};
use super::report::{Row, markdown, number};
use super::{files, lists, pipes};

/// A row of another table, and the names of its ratios.
struct Line {
    what: &'static str,
    section: &'static str,
    input: &'static str,
    program: &'static str,
    against: &'static str,
    ratios: [&'static str; 2],
}

const INJECT: &str = "perftool inject -b";

const fn pipe(what: &'static str, input: &'static str) -> Line {
    let ratios = [pipes::RATIO, pipes::CPU_RATIO];
    Line { what, section: pipes::SECTION, input, program: INJECT, against: "cat", ratios }
}

const fn list(what: &'static str, program: &'static str) -> Line {
    let ratios = [lists::RATIO, lists::CPU_RATIO];
    Line { what, section: lists::SECTION, input: BUILD, program, against: "perf", ratios }
}

const LINES: &[Line] = &[
    pipe("a build, all of the machine, call chains", BUILD),
    pipe("call chains of a Node program", "node"),
    pipe("all of a machine at work, call chains", "busy"),
    pipe("all of a machine, idle", "idle"),
    pipe("forks, short", "forks"),
    list("list of the build's file", "perftool buildid-list"),
    list("list of what was hit in it", "perftool buildid-list -H"),
    Line {
        what: "the build from file to file",
        section: files::SECTION,
        input: BUILD,
        program: INJECT,
        against: "cp",
        ratios: [files::RATIO, files::CPU_RATIO],
    },
    pipe("samples, repeated", SAMPLES),
    pipe("call chains, repeated", "callchains-repeated"),
    pipe("pieces of stacks, repeated", "dwarf-repeated"),
];

/// The table; nothing where none of its rows was measured.
pub(super) fn table(rows: &[Row]) -> String {
    let lines: Vec<_> = LINES.iter().filter_map(|line| cells(line, rows)).collect();
    if lines.is_empty() {
        return String::new();
    }
    let head = ["recording", "X", "in times of", "time", "CPU time"];
    "\n### Times of X in times of what it is compared with\n\n".to_owned() + &markdown(&head, &lines, 3)
}

fn cells(line: &Line, rows: &[Row]) -> Option<Vec<String>> {
    let mut of_input = rows.iter().filter(|row| row.section == line.section && row.input == line.input);
    let row = of_input.find(|row| row.is_left_out || row.program == line.program)?;
    let [time, cpu] = line.ratios.map(|ratio| row.figure(ratio).map(number));
    let time = time.unwrap_or_else(|| row.without_figures().to_owned());
    let words = [line.what, line.program, line.against].map(str::to_owned);
    Some(words.into_iter().chain([time, cpu.unwrap_or_default()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::names;

    #[test]
    fn it_has_what_was_measured_and_what_was_left_out() {
        let row = |program: &str, time| Row {
            section: pipes::SECTION,
            input: BUILD.to_owned(),
            program: program.to_owned(),
            figures: vec![("s", 1.0), (pipes::RATIO, time), (pipes::CPU_RATIO, 6.5)],
            ..Row::default()
        };
        let missing = Row::left_out(pipes::SECTION, "node", &"gone");
        let table = table(&[row("cat", 1.0), row(INJECT, 2.5), missing]);
        let lines: Vec<_> = table.lines().skip(5).collect();
        assert_eq!(lines.len(), 2, "{table}");
        assert!(lines[0].contains("| cat         |     2.50 |     6.50 |"), "{table}");
        assert!(lines[1].contains("| left out |          |"), "{table}");
        assert_eq!(super::table(&[]), "");
    }

    #[test]
    fn each_of_its_inputs_is_one_that_is_measured() {
        for line in LINES {
            assert!(names().any(|name| name == line.input), "{}", line.input);
        }
    }
}
