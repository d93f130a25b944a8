//! A long pipe: a short recording, repeated to many gigabytes, through `perftool inject -b`. What comes out is what
//! went in, to the byte, but for the ids; and the memory at the end is what it was at the beginning.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, bail, ensure};
use perf_format::header::PIPE_HEADER_SIZE;
use perf_format::{Endian, RecordHeader, RecordType};

use crate::bench::{grow, inputs, memory};
use crate::run;
use crate::workspace::{Workspace, cargo};

/// What is repeated.
const OPTIONS: &str = "-F 10000 -e cpu-clock -g";
const SCRIPT: &str = "seq 1000000 | sort -r | gzip | wc -c > /dev/null";

const GB: u64 = 1_000_000_000;

/// How much more memory there may be at the end than after the first gigabyte, in bytes: what the allocator rounds.
const GROWTH_AT_MOST: u64 = 1 << 20;

/// Bytes and their digest, which depends on them alone, however they come.
#[derive(Debug, Default)]
struct Seen {
    bytes: u64,
    digest: DefaultHasher,
}

impl Seen {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.digest.write(bytes);
    }
}

/// Writes, and keeps in mind what.
struct Noted<W> {
    out: W,
    seen: Seen,
}

impl<W: Write> Write for Noted<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buf)?;
        self.seen.add(&buf[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

pub(crate) fn run(workspace: &Workspace, args: &[String]) -> anyhow::Result<()> {
    let [gigabytes] = args else { bail!("how many gigabytes?") };
    let gigabytes: u64 = gigabytes.parse().with_context(|| format!("{gigabytes:?} is no number"))?;
    run::run(cargo(&["build", "--release", "--quiet", "--package", "perftool-cli"]))?;
    let folder = workspace.target("bench");
    fs::create_dir_all(&folder)?;
    let short = folder.join("soak.recorded");
    inputs::record("perf".as_ref(), OPTIONS, SCRIPT, &short)?;
    let short = fs::read(short)?;
    let mut with_ids = false;
    for record in grow::records(&short[PIPE_HEADER_SIZE..], PIPE_HEADER_SIZE as u64, Endian::NATIVE) {
        with_ids |= record?.record_type() == RecordType::BUILD_ID;
    }
    ensure!(!with_ids, "the recording has ids of its own");

    let mut child = Command::new(workspace.target("release/perftool"));
    let mut child = child
        .args(["inject", "-b"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run perftool")?;
    let out = child.stdin.take().context("it has no standard input")?;
    let mut stdout = child.stdout.take().context("it has no standard output")?;
    let pid = child.id();
    let fed = thread::spawn(move || {
        let mut noted = Noted { out, seen: Seen::default() };
        grow::grow(&short, &mut noted, gigabytes * GB).map(|()| noted.seen)
    });
    let (came, ids, peaks) = watched(&mut stdout, pid)?;
    let fed = fed.join().ok().context("the feeding thread failed")??;
    ensure!(child.wait()?.success(), "perftool failed");

    println!("{} bytes in, {} out, {ids} bytes of ids", fed.bytes, came.bytes + ids);
    ensure!(ids > 0, "no ids came");
    ensure!(fed.bytes == came.bytes, "{} bytes without the ids", came.bytes);
    ensure!(fed.digest.finish() == came.digest.finish(), "other bytes came out than went in");
    let (first, last) = peaks.first().zip(peaks.last()).context("it was too short to see memory grow")?;
    println!("peak memory: {first} bytes after 1 GB, {last} at the end");
    ensure!(last - first <= GROWTH_AT_MOST, "memory grows");
    Ok(())
}

/// What comes out but for the ids, how many bytes of ids, and the most memory that the process ever had after each
/// gigabyte.
fn watched(out: &mut impl Read, pid: u32) -> anyhow::Result<(Seen, u64, Vec<u64>)> {
    let (mut seen, mut ids, mut peaks) = (Seen::default(), 0, Vec::new());
    let mut buffer = vec![0; 1 << 20];
    let mut header = [0; PIPE_HEADER_SIZE];
    out.read_exact(&mut header)?;
    seen.add(&header);
    let mut filled = 0;
    loop {
        let read = out.read(&mut buffer[filled..])?;
        filled += read;
        if read == 0 {
            ensure!(filled == 0, "it ends inside a record");
            return Ok((seen, ids, peaks));
        }
        let (mut begin, mut at) = (0, 0);
        while let Some(head) = buffer[at..filled].first_chunk() {
            let header = RecordHeader::from_bytes(*head, Endian::NATIVE);
            let next = at + usize::from(header.size).max(RecordHeader::SIZE);
            if next > filled {
                break;
            }
            if header.record_type == RecordType::BUILD_ID {
                seen.add(&buffer[begin..at]);
                ids += u64::from(header.size);
                begin = next;
            }
            at = next;
        }
        seen.add(&buffer[begin..at]);
        buffer.copy_within(at..filled, 0);
        filled -= at;
        if seen.bytes / GB > peaks.len() as u64 {
            // At its end a process has none.
            peaks.extend(memory::high_water_of(pid));
        }
    }
}
