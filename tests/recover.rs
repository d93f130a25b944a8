//! `--recover`: what comes out of damaged recordings, and what is said of the rest.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::{data, oracle, perftool, pipe_recordings, run, stderr};
use perf_format::testing::records;

/// Runs `inject --recover` with these arguments besides.
fn recover(args: &[&str], input: &[u8]) -> Output {
    run(perftool(&[&["inject", "--recover", "--allow-changed"], args].concat()), input)
}

#[test]
fn whole_recordings_pass_as_they_are_and_nothing_is_said() {
    for (name, stream) in pipe_recordings() {
        let output = recover(&["-q"], &stream);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{name}");
        assert!(output.stdout == stream, "{name}");
    }
}

#[test]
fn of_a_stream_that_is_cut_all_that_is_whole_comes_out() {
    for (name, stream) in pipe_recordings() {
        for part in [3, 2] {
            let cut = stream.len() / part + 1;
            let output = recover(&["-b"], &stream[..cut]);
            assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
            // What comes out is a recording like any other.
            let again = run(perftool(&["inject"]), &output.stdout);
            assert!(again.status.success() && again.stdout == output.stdout, "{name}: {}", stderr(&again));
            assert!(records(&output.stdout).len() > 3, "{name}");
        }
    }
}

#[test]
fn a_size_of_zero_in_the_middle_costs_one_record() {
    let stream = fs::read(data().join("callchain.pipe")).expect("it is kept");
    let all = records(&stream);
    let index = all.len() / 2;
    let at: usize =
        16 + all[..index].iter().map(|record| record.bytes.len() + record.payload.len()).sum::<usize>();
    let mut damaged = stream.clone();
    damaged[at + 6..at + 8].fill(0);
    let output = recover(&[], &damaged);
    assert_eq!(output.status.code(), Some(0));
    let len = all[index].bytes.len();
    let said = format!(
        "perftool: warning: {len} bytes are lost in 1 place, the first at offset {at:#x}: 1 record at the least\n"
    );
    assert_eq!(stderr(&output), said);
    let rest = [&all[..index], &all[index + 1..]].concat();
    assert_eq!(records(&output.stdout), rest);
    // Without the option it is an error, and what came before it is out.
    let refused = run(perftool(&["inject"]), &damaged);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), at));
}

/// perf's messages among the records, as with `perf record -o - 2>&1`.
const SAID: &[u8] =
    b"[ perf record: Woken up 1 times to write data ]\n[ perf record: Captured and wrote 0.030 MB - ]\n";

#[test]
fn text_in_a_recording_is_said_and_shown_and_read_past_where_that_is_asked_for() {
    let stream = fs::read(data().join("callchain.pipe")).expect("it is kept");
    let all = records(&stream);
    let half: usize = 16 + all[..all.len() / 2].iter().map(|record| record.bytes.len()).sum::<usize>();
    for at in [half, stream.len()] {
        let printed = [&stream[..at], SAID, &stream[at..]].concat();
        let said = format!(
            "perftool: error: cannot read standard input to its end\n  caused by: text stands where a record must, at \
             offset {at:#x}: \"[ perf record: Woken up 1 times to write data ]\"\n  what helps: record without 2>&1, \
             and without a program that prints into the recording; --recover reads on behind the text\n"
        );
        for command in [&["inject"][..], &["buildid-list", "-i", "-"]] {
            let refused = run(perftool(command), &printed);
            assert_eq!((refused.status.code(), stderr(&refused)), (Some(1), said.clone()), "{command:?}");
        }
        assert!(run(perftool(&["inject"]), &printed).stdout == stream[..at]);
        let output = recover(&[], &printed);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout == stream);
        assert!(
            stderr(&output).contains(&format!("{} bytes are lost in 1 place", SAID.len())),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn buildid_list_reads_past_damage_where_that_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("damaged");
    for name in ["callchain.pipe", "callchain.data"] {
        let whole = fs::read(data().join(name)).expect("it is kept");
        let list = |args: &[&str], bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            let listed =
                perftool(&["buildid-list", "-H", "-i"]).arg(&path).args(args).output().expect("it runs");
            (listed.status.code(), listed.stdout.clone(), stderr(&listed))
        };
        let (_, all, _) = list(&[], &whole);
        assert_eq!(list(&["--recover"], &whole), (Some(0), all.clone(), String::new()), "{name}");
        // A FINISHED_ROUND record with a size of 0, which hides what is behind it.
        let round = [&68_u32.to_le_bytes()[..], &[0, 0, 8, 0]].concat();
        let at = whole.windows(8).position(|bytes| bytes == round).expect("a round");
        let mut damaged = whole.clone();
        damaged[at + 6] = 0;
        let (code, _, said) = list(&[], &damaged);
        assert_eq!(code, Some(1), "{name}: {said}");
        let (code, listed, said) = list(&["--recover"], &damaged);
        assert_eq!((code, listed), (Some(0), all), "{name}: {said}");
        assert!(
            said.contains(&format!("8 bytes are lost in 1 place, the first at offset {at:#x}")),
            "{said}"
        );
    }
}

/// Recovers a file into another, and gives back what was said.
fn recover_file(input: &Path, output: &Path) -> String {
    let mut command = perftool(&["inject", "--recover", "--allow-changed", "-b", "-i"]);
    let done = command.arg(input).arg("-o").arg(output).output().expect("it runs");
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    stderr(&done)
}

#[test]
fn a_file_cut_anywhere_comes_out_as_one_that_can_be_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let (cut, out, again) = (dir.path().join("cut"), dir.path().join("out"), dir.path().join("again"));
    let file = fs::read(data().join("callchain.data")).expect("it is kept");
    // Behind header and attrs, which nothing can replace.
    let starts =
        usize::try_from(u64::from_le_bytes(file[40..48].try_into().expect("eight bytes"))).expect("small");
    for len in (starts + 200..file.len()).step_by(file.len() / 25) {
        fs::write(&cut, &file[..len]).expect("written");
        recover_file(&cut, &out);
        let whole = perftool(&["inject", "-i"]).arg(&out).arg("-o").arg(&again).output().expect("it runs");
        assert!(whole.status.success(), "cut at {len}: {}", stderr(&whole));
        assert_eq!(stderr(&whole), "", "cut at {len}");
        for perf in oracle::perfs("perf script on what was recovered") {
            let script = perf.command().arg("script").arg("-i").arg(&out).output().expect("perf runs");
            assert!(script.status.success(), "{perf}, cut at {len}: {}", stderr(&script));
        }
    }
}

#[test]
fn a_recording_killed_before_its_header_was_closed_comes_out_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (killed, out) = (dir.path().join("killed"), dir.path().join("out"));
    let mut file = fs::read(data().join("callchain.data")).expect("it is kept");
    // The size of the data, and which features there are, are written last.
    file[48..56].fill(0);
    file[72..104].fill(0);
    fs::write(&killed, &file).expect("written");
    let said = recover_file(&killed, &out);
    assert!(said.contains("the recording was never closed"), "{said}");
    let listed = perftool(&["buildid-list", "-H", "-i"]).arg(&out).output().expect("it runs");
    assert!(listed.status.success() && listed.stdout.len() > 100, "{}", stderr(&listed));
}

#[test]
fn what_cannot_be_recovered_is_said() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("recording")).expect("made");
    let recording = dir.path().join("recording");
    fs::copy(data().join("plain.data"), recording.join("data")).expect("copied");
    let refused = perftool(&["inject", "--recover", "-i"])
        .arg(&recording)
        .arg("-o")
        .arg(dir.path().join("out"))
        .output()
        .expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("--recover is for single files"), "{}", stderr(&refused));
    let header = recover(&[], b"PERFILE2");
    assert_eq!(header.status.code(), Some(1), "half a header is none");
}
