//! The samples of a dump beside those that `perf script` prints, each as its words.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::common::oracle::Perf;
use super::{dumped, list, perfs_text, text};

/// The words of a sample, as perf prints them.
type Words = Vec<String>;

/// The fields of samples that are compared where all samples have them. perf prints a chain in the place of `ip`.
const FIELDS: [&str; 6] = ["cpu", "period", "addr", "weight", "ip", "callchain"];

/// A recording's samples, and what explains them.
struct Samples {
    samples: Vec<Value>,
    /// The name of the event of each id.
    events: HashMap<u64, String>,
    /// Which of the fields all samples have.
    fields: Vec<&'static str>,
    /// Whether perf would unwind stacks, and so has other chains.
    has_stacks: bool,
    /// Whether frames in files are offsets in them, as perf before 7 prints them.
    frames_are_offsets: bool,
}

impl Samples {
    fn of(options: &[&str], path: &Path) -> Self {
        let mut events = HashMap::new();
        let mut samples = Vec::new();
        for mut object in dumped(options, path) {
            let of = object["fields"].take();
            match object["record"].as_str() {
                Some("ATTR") => {
                    let ids = list(&of, "ids").iter().map(|id| id.as_u64().expect("an id"));
                    events.extend(ids.map(|id| (id, text(&of, "event").to_owned())));
                }
                Some("SAMPLE") => samples.push(of),
                _ => {}
            }
        }
        assert!(!samples.is_empty(), "{}", path.display());
        let in_all = |name: &&str| samples.iter().all(|sample| sample.get(*name).is_some());
        let mut fields: Vec<_> = FIELDS.into_iter().filter(in_all).collect();
        let has_stacks = samples.iter().any(|sample| sample.get("stack_user").is_some());
        if fields.contains(&"callchain") {
            let left_out = if has_stacks { "callchain" } else { "ip" };
            fields.retain(|name| *name != left_out);
        }
        samples.sort_by_key(|sample| number(sample, "time"));
        Self { samples, events, fields, has_stacks, frames_are_offsets: false }
    }

    fn has(&self, name: &str) -> bool {
        self.fields.contains(&name)
    }

    /// What `perf script -F` has to be asked for.
    fn perfs_fields(&self) -> String {
        let names = self.fields.iter().map(|name| if *name == "callchain" { "ip" } else { name });
        ["pid", "tid", "time", "event"].into_iter().chain(names).collect::<Vec<_>>().join(",")
    }

    /// The samples as perf prints them, sorted. Of one that has the counts of a group, there is one for each of its events
    /// that has counted since, by so much.
    fn words(&self) -> Vec<Words> {
        let mut counted = HashMap::new();
        let mut all = Vec::new();
        for sample in &self.samples {
            match sample["read"]["values"].as_array() {
                Some(values) => all.extend(values.iter().filter_map(|value| {
                    let (id, value) = (value["id"].as_u64().expect("an id"), number(value, "value"));
                    let period = value - counted.insert(id, value).unwrap_or_default();
                    let event = self.events.get(&id).expect("an event has the id");
                    (period > 0).then(|| self.words_of(sample, event, period))
                })),
                None => {
                    let period = sample["period"].as_i64().unwrap_or_default();
                    all.push(self.words_of(sample, text(sample, "event"), period));
                }
            }
        }
        all.sort();
        all
    }

    /// The samples that perf prints, sorted.
    fn perfs_words(&self, perf: &Perf, path: &Path) -> Vec<Words> {
        let fields = self.perfs_fields();
        let mut script = vec!["script", "--ns", "--no-inline", "--no-demangle", "-F", &fields];
        script.extend(self.has_stacks.then_some("-G"));
        // Behind `addr` stands the symbol, asked for or not.
        let symbol_at = 4 + ["cpu", "period"].into_iter().filter(|name| self.has(name)).count();
        let without = symbol_at + ["weight", "ip"].into_iter().filter(|name| self.has(name)).count();
        let mut samples: Vec<Words> = Vec::new();
        for line in perfs_text(perf, &script, path).lines() {
            // A chain is a line an address, indented by a tab.
            let words = line.split_whitespace().map(|word| word.trim_end_matches(':').to_owned());
            let mut words: Words = words.collect();
            if line.starts_with('\t') {
                // Where it knows a symbol of the kernel, that follows.
                words.truncate(1);
                samples.last_mut().expect("a sample").extend(words);
            } else if !words.is_empty() {
                if self.has("addr") && words.len() > without {
                    words.remove(symbol_at);
                }
                samples.push(words);
            }
        }
        samples.sort();
        samples
    }

    fn words_of(&self, sample: &Value, event: &str, period: i64) -> Words {
        let mut words = vec![format!("{}/{}", number(sample, "pid"), number(sample, "tid"))];
        words.extend(self.has("cpu").then(|| format!("[{:03}]", number(sample, "cpu"))));
        let time = number(sample, "time");
        words.push(format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000));
        words.extend(self.has("period").then(|| period.to_string()));
        words.push(event.to_owned());
        words.extend(self.has("addr").then(|| digits(&sample["addr"])));
        words.extend(self.has("weight").then(|| number(sample, "weight").to_string()));
        words.extend(self.has("ip").then(|| digits(&sample["ip"])));
        if self.has("callchain") {
            let frames = list(sample, "callchain").iter().zip(list(sample, "callchain_at"));
            let frames = frames.filter(|(word, _)| word.as_str().is_some_and(|word| word.starts_with("0x")));
            words.extend(frames.map(|(address, place)| match text_of(place).rsplit_once("+0x") {
                Some((file, offset)) if self.frames_are_offsets && file.starts_with('/') => offset.to_owned(),
                _ => digits(address),
            }));
        }
        words
    }
}

fn number(of: &Value, name: &str) -> i64 {
    of[name].as_i64().unwrap_or_else(|| panic!("{name} of {of}"))
}

fn text_of(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The digits of an address.
fn digits(address: &Value) -> String {
    text_of(address).trim_start_matches("0x").to_owned()
}

/// Asserts that all samples are what perf prints.
pub(crate) fn assert_samples_are_perfs(perf: &Perf, path: &Path) {
    let mut samples = Samples::of(&["--resolve"], path);
    samples.frames_are_offsets = perf.major() < 7;
    let (ours, perfs) = (samples.words(), samples.perfs_words(perf, path));
    assert_eq!(ours.len(), perfs.len(), "{perf}: {}", path.display());
    for (ours, perfs) in ours.iter().zip(&perfs) {
        assert_eq!(ours, perfs, "{perf}: {}: {}", path.display(), samples.perfs_fields());
    }
}

/// Asserts that the fields of tracepoints are those that perf prints as `NAME=VALUE`, and returns how many there were.
pub(crate) fn assert_tracepoints_are_perfs(perf: &Perf, path: &Path) -> usize {
    let key = |time: &str, event: &str| (time.to_owned(), event.to_owned());
    let mut ours = HashMap::new();
    for sample in Samples::of(&[], path).samples {
        if sample["raw"].is_object() {
            let time = number(&sample, "time");
            let time = format!("{}.{:09}", time / 1_000_000_000, time % 1_000_000_000);
            ours.insert(key(&time, text(&sample, "event")), sample["raw"].clone());
        }
    }
    let mut compared = 0;
    for line in perfs_text(perf, &["script", "--ns", "-F", "time,event,trace"], path).lines() {
        let mut words = line.split_whitespace().map(|word| word.trim_end_matches(':'));
        let [time, event] = [words.next(), words.next()].map(Option::unwrap_or_default);
        let Some(raw) = ours.get(&key(time, event)) else { continue };
        for (name, value) in raw.as_object().expect("fields") {
            // The letters of prev_state are perf's own.
            let Some((_, printed)) = line.split_once(&format!(" {name}=")).filter(|_| name != "prev_state")
            else {
                continue;
            };
            let word = printed.split(' ').next().unwrap_or_default();
            let is_same = match value.as_str() {
                Some(text) => printed.starts_with(text),
                None => word.parse().ok() == value.as_i64(),
            };
            assert!(is_same, "{perf}: {}: {name} is {value}, and not as in {line}", path.display());
            compared += 1;
        }
    }
    compared
}
