//! What two dumps differ in: what is added, removed and changed, in windows of bounded size.

use std::io::Cursor;

use insta::assert_snapshot;
use perf_dump::{DiffOptions, DiffSummary, DumpOptions, Dumper, diff, dump_lines, text_lines};
use perf_format::testing::{At, StreamBuilder};
use perf_format::{BuildId, CpuMode, Endian};

fn compared(
    a: &[u8],
    b: &[u8],
    change: impl Fn(&mut DiffOptions, &mut DumpOptions),
) -> (String, DiffSummary) {
    let (mut how, mut options) = (DiffOptions::default(), DumpOptions::default());
    change(&mut how, &mut options);
    options.json = how.json;
    let [mut a, mut b] = [a, b].map(|bytes| Dumper::open(Cursor::new(bytes), options.clone()).unwrap());
    let mut out = Vec::new();
    let summary = diff(dump_lines(&mut a), dump_lines(&mut b), &how, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), summary)
}

/// A recording of so many samples, with some things that can be otherwise.
fn recording(samples: u64, has_id: bool, name: &str, left_out: u64) -> Vec<u8> {
    let mut stream = StreamBuilder::with_callchains(Endian::Little).exec(At::new(7, 1), name).mmap2(
        At::new(7, 2),
        0x1000,
        0x1000,
        "/bin/run",
    );
    for number in (0..samples).filter(|number| *number != left_out) {
        stream = stream.sample(CpuMode::User, At::new(7, 10 + number), 0x1000 + number, &[]);
        if has_id && number == 1 {
            stream = stream.build_id(CpuMode::User, BuildId::new(&[0xab; 20]).unwrap(), "/bin/run");
        }
    }
    stream.finished_round().bytes()
}

#[test]
fn the_same_recordings_have_no_difference() {
    let stream = recording(20, true, "run", 9);
    for json in [false, true] {
        let (text, summary) = compared(&stream, &stream, |how, _| how.json = json);
        assert_eq!((text.as_str(), summary.is_same()), ("", true));
    }
}

#[test]
fn what_is_added_removed_and_changed_is_shown_with_what_is_around_it() {
    let (a, b) = (recording(20, false, "run", 12), recording(20, true, "ran", 100));
    let (text, summary) = compared(&a, &b, |how, _| how.context = 1);
    assert_eq!(summary.first, Some([3, 3]));
    assert_snapshot!(text);
    let (json, _) = compared(&a, &b, |how, _| how.json = true);
    for line in json.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert_snapshot!(json);
    let (stat, _) = compared(&a, &b, |how, _| how.stat = true);
    assert_snapshot!(stat);
}

#[test]
fn a_dump_that_was_kept_is_compared_like_its_recording() {
    let stream = recording(20, false, "run", 12);
    for json in [false, true] {
        let dumped = || {
            let mut options = DumpOptions::default();
            options.json = json;
            Dumper::open(Cursor::new(&stream), options).unwrap()
        };
        let mut kept = Vec::new();
        dumped().write(&mut kept).unwrap();
        let mut out = Vec::new();
        let mut dump = dumped();
        let summary =
            diff(text_lines(&kept[..]), dump_lines(&mut dump), &DiffOptions::default(), &mut out).unwrap();
        assert!(summary.is_same(), "{}", String::from_utf8_lossy(&out));
    }
}

#[test]
fn long_recordings_are_aligned_again_behind_each_difference() {
    let (a, b) = (recording(20_000, false, "run", 3), recording(20_000, true, "run", 19_990));
    let (text, summary) = compared(&a, &b, |how, _| how.context = 0);
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("@@")).collect();
    assert_eq!(lines.len(), 2 + 3, "{text}");
    assert_eq!(summary.by_type["SAMPLE"].added, 1);
    assert_eq!(summary.by_type["SAMPLE"].removed, 1);
    assert_eq!(summary.by_type["BUILD_ID"].added, 1);
}

#[test]
fn applied_to_the_first_the_differences_give_the_second() {
    let lines = |bytes: &[u8]| {
        let mut options = DumpOptions::default();
        options.offsets = false;
        let mut out = Vec::new();
        Dumper::open(Cursor::new(bytes), options).unwrap().write(&mut out).unwrap();
        // How records are held is not compared.
        String::from_utf8(out).unwrap().replacen("HEADER format=pipe", "HEADER", 1)
    };
    let recordings = [
        recording(0, false, "run", 0),
        recording(300, false, "run", 250),
        recording(300, true, "ran", 5),
        recording(1500, false, "run", 1),
    ];
    for a in &recordings {
        for b in &recordings {
            let (text, _) = compared(a, b, |how, _| how.context = usize::MAX / 4);
            if a == b {
                continue;
            }
            let of = |signs: [char; 2]| -> String {
                let body = text.lines().skip(2).filter(|line| !line.starts_with("@@"));
                body.filter(|line| line.starts_with(signs)).map(|line| format!("{}\n", &line[1..])).collect()
            };
            // A hunk that became large ends without the lines that are the same behind it.
            if text.matches("@@ -").count() == 1 {
                assert_eq!(of([' ', '-']), lines(a));
                assert_eq!(of([' ', '+']), lines(b));
            }
        }
    }
}

#[test]
fn whether_records_are_in_a_file_or_a_stream_is_no_difference() {
    let headers = [
        [
            "HEADER format=pipe\n",
            "HEADER format=file size=104 attr_size=144 attrs={offset=0x98 size=0x90} data={offset=0x1 size=0x2}\n",
        ],
        [
            "{\"record\":\"HEADER\",\"fields\":{\"version\":1,\"format\":\"pipe\"}}\n",
            "{\"record\":\"HEADER\",\"fields\":{\"version\":1,\"format\":\"file\",\"size\":104,\"attr_size\":144,\"attrs\":{\"offset\":\"0x98\",\"size\":\"0x90\"}}}\n",
        ],
    ];
    for [stream, file] in headers {
        let mut out = Vec::new();
        let sides = [stream, file].map(|text| text_lines(text.as_bytes()));
        let [a, b] = sides;
        let summary = diff(a, b, &DiffOptions::default(), &mut out).unwrap();
        assert!(summary.is_same(), "{}", String::from_utf8_lossy(&out));
    }
    let [a, b] = ["HEADER format=file other_files=2\n", "HEADER format=file other_files=3\n"];
    let summary =
        diff(text_lines(a.as_bytes()), text_lines(b.as_bytes()), &DiffOptions::default(), &mut Vec::new());
    assert_eq!(summary.unwrap().by_type["HEADER"].changed, 1);
}
