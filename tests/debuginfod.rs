//! `perftool bundle --debuginfod` with the server and the client of elfutils, and with servers that lie.

mod common;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{oracle, perftool, stderr};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = "
volatile unsigned sum;
__attribute__((noinline)) static void leaf_of_the_build(unsigned n) { while (n--) sum += n * sum; }
int main(void) { for (int i = 0; i < 200; i++) leaf_of_the_build(1000000); }
";

const ID: &str = "1111111111111111111111111111111111111111";

/// A recording of a stripped program, in `perf.data`; its files are in `served`, the program and its debug file.
struct Recorded {
    dir: TempDir,
}

fn record(test: &str) -> Option<Recorded> {
    let recorder = oracle::recorder(test)?;
    if !oracle::are_here("debuginfod", &["debuginfod", "debuginfod-find"], test)
        || !oracle::are_here("binutils", &["readelf", "addr2line"], test)
    {
        return None;
    }
    let recorded = Recorded { dir: tempfile::tempdir().expect("a directory") };
    fs::write(recorded.path("program.c"), PROGRAM).expect("written");
    fs::create_dir(recorded.path("served")).expect("made");
    for (program, args) in [
        (
            "cc",
            &[
                "-O1",
                "-g",
                "-Wl,--build-id=0x1111111111111111111111111111111111111111",
                "-o",
                "whole",
                "program.c",
            ][..],
        ),
        ("objcopy", &["--only-keep-debug", "whole", "served/program.debug"]),
        ("objcopy", &["--strip-all", "whole", "program"]),
        ("cp", &["program", "served/program"]),
    ] {
        let output =
            Command::new(program).args(args).current_dir(recorded.dir.path()).output().expect("it runs");
        well(&output);
    }
    oracle::record_stream(recorder, &[], &recorded.path("program"), &recorded.path("stream"))?;
    well(&recorded.perftool(&["inject", "-b", "-i", "stream", "-o", "perf.data"]));
    Some(recorded)
}

impl Recorded {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = perftool(args);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("HOME", self.path("home")).env("DEBUGINFOD_CACHE_PATH", self.path("cache"));
        for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command
    }

    fn perftool(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it runs")
    }

    /// Asks elfutils' client, as the user whose cache is asked.
    fn find(&self, kind: &str, url: &str) -> Output {
        let mut find = Command::new("debuginfod-find");
        find.args([kind, ID]).env("DEBUGINFOD_URLS", url).env("DEBUGINFOD_CACHE_PATH", self.path("cache"));
        find.stdin(Stdio::null()).output().expect("debuginfod-find runs")
    }

    fn list(&self, args: &[&str]) -> Value {
        let list = self.perftool(&[&["bundle", "--list", "--json"], args].concat());
        serde_json::from_slice(&well(&list).stdout).expect("JSON")
    }

    /// Of a manifest, what is of the program: kinds and sources or reasons.
    fn of_program(&self, manifest: &Value, part: &str, field: &str) -> Vec<(String, String)> {
        let name = self.path("program");
        let of_program = |file: &&Value| file["name"] == name.to_str().expect("text");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let files = manifest[part].as_array().expect("a list").iter().filter(of_program);
        files.map(|file| (text(&file["kind"]), text(&file[field]))).collect()
    }

    /// The files in the cache, but for control files.
    fn cached(&self) -> Vec<PathBuf> {
        let dirs = fs::read_dir(self.path("cache"))
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("an entry").path());
        let dirs = dirs.filter(|path| path.is_dir());
        let mut files: Vec<_> = dirs
            .flat_map(|dir| fs::read_dir(dir).expect("there").map(|entry| entry.expect("an entry").path()))
            .collect();
        // What no server had is remembered by an empty file.
        files.retain(|file| file.metadata().expect("there").len() > 0);
        files.sort();
        files
    }

    /// The program's two files in the cache.
    fn both(&self) -> [PathBuf; 2] {
        ["debuginfo", "executable"].map(|kind| self.path("cache").join(ID).join(kind))
    }
}

fn well(output: &Output) -> &Output {
    assert!(output.status.success(), "{}", stderr(output));
    output
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A URL at which nobody listens.
fn nobody() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

/// elfutils' server over a folder.
struct Debuginfod {
    child: Child,
    url: String,
}

impl Debuginfod {
    /// Starts it, and waits until it has scanned the folder.
    fn over(recorded: &Recorded) -> Self {
        // Somebody else may have taken the port meanwhile.
        for _ in 0..10 {
            let port = free_port();
            let mut command = Command::new("debuginfod");
            command.args(["-F", "-d", ":memory:", "-p", &port.to_string()]).arg(recorded.path("served"));
            command
                .env_remove("DEBUGINFOD_URLS")
                .env("DEBUGINFOD_CACHE_PATH", recorded.path("servers-cache"));
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let child = command.spawn().expect("debuginfod starts");
            let mut server = Self { child, url: format!("http://127.0.0.1:{port}") };
            loop {
                if has(port, "executable") && has(port, "debuginfo") {
                    return server;
                }
                if server.child.try_wait().expect("it can be waited for").is_some() {
                    break;
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        panic!("debuginfod does not run");
    }
}

impl Drop for Debuginfod {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn has(port: u16, kind: &str) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(stream, "GET /buildid/{ID}/{kind} HTTP/1.0\r\n\r\n")?;
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status)?;
        Ok(status.contains(" 200 "))
    };
    ask().unwrap_or(false)
}

/// A server that answers every request with this; and how many there were.
fn says(answer: Vec<u8>, closes: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    // It ends with the tests.
    thread::spawn(move || {
        let open = Mutex::new(Vec::new());
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            let mut part = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(read) if read > 0 => request.extend_from_slice(&part[..read]),
                    _ => break,
                }
            }
            stream.write_all(&answer).ok();
            counted.fetch_add(1, Ordering::SeqCst);
            if !closes {
                open.lock().expect("whole").push(stream);
            }
        }
    });
    (url, requests)
}

fn ok(body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n\r\n", body].concat()
}

#[test]
fn perf_reports_the_symbols_of_a_program_that_only_debuginfod_has() {
    let Some(recorded) = record("a program comes from debuginfod") else { return };
    let server = Debuginfod::over(&recorded);
    fs::remove_file(recorded.path("program")).expect("removed");
    let without = recorded.list(&[]);
    assert_eq!(recorded.of_program(&without, "missing", "kind").len(), 1);
    let output = recorded.perftool(&["bundle", &format!("--debuginfod={}", server.url), "--json"]);
    let manifest: Value = serde_json::from_slice(&well(&output).stdout).expect("JSON");
    let sources = recorded.of_program(&manifest, "files", "source");
    assert_eq!(
        sources,
        ["debug", "elf"]
            .map(|kind| (kind.to_owned(), "debuginfod".to_owned()))
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
    let said = stderr(&output);
    let line = format!("perftool: asking debuginfod for what is missing here: {}\n", server.url);
    assert_eq!(said.matches(&line).count(), 1, "{said}");
    let unbundled = recorded.perftool(&["unbundle", "perf.data.bundle.tar.zst"]);
    let line = String::from_utf8(well(&unbundled).stdout.clone()).expect("text");
    let options = line.trim_end().strip_prefix("perf ").expect("a command of perf").to_owned();
    for perf in oracle::perfs("a program comes from debuginfod") {
        let mut sh = Command::new("sh");
        sh.args(["-c", &format!("exec \"$0\" {options} --stdio")])
            .arg(&perf.program)
            .current_dir(recorded.dir.path());
        sh.env("HOME", "/nonexistent").env("DEBUGINFOD_URLS", "").stdin(Stdio::null());
        let output = sh.output().expect("a shell");
        let report = String::from_utf8_lossy(&well(&output).stdout).into_owned();
        assert!(report.contains("leaf_of_the_build"), "{perf}: {report}");
    }
}

#[test]
fn elfutils_finds_what_was_fetched_here_and_what_it_fetched_is_found_here() {
    let Some(recorded) = record("the cache is elfutils'") else { return };
    let server = Debuginfod::over(&recorded);
    fs::remove_file(recorded.path("program")).expect("removed");
    let dead = nobody();
    well(&recorded.perftool(&["bundle", &format!("--debuginfod={}", server.url)]));
    let [debug, executable] = recorded.both();
    assert_eq!(
        recorded.cached().iter().filter(|file| file.starts_with(recorded.path("cache").join(ID))).count(),
        2
    );
    for (kind, file) in [("debuginfo", &debug), ("executable", &executable)] {
        let found = recorded.find(kind, &dead);
        assert_eq!(String::from_utf8_lossy(&well(&found).stdout).trim_end(), file.to_str().expect("text"));
    }
    // The same files by elfutils' own hand.
    let ours = [&debug, &executable].map(|file| fs::read(file).expect("there"));
    fs::remove_dir_all(recorded.path("cache")).expect("removed");
    for kind in ["debuginfo", "executable"] {
        well(&recorded.find(kind, &server.url));
    }
    assert!(ours == [&debug, &executable].map(|file| fs::read(file).expect("there")));
    drop(server);
    let output = recorded.perftool(&["bundle", &format!("--debuginfod={dead}"), "--json"]);
    let manifest: Value = serde_json::from_slice(&well(&output).stdout).expect("JSON");
    assert_eq!(recorded.of_program(&manifest, "files", "source").len(), 2);
}

#[test]
fn what_elfutils_did_not_find_a_while_ago_is_not_asked_for_again_and_the_other_way_round() {
    let Some(recorded) = record("misses are elfutils'") else { return };
    let (gone, requests) = says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), true);
    fs::remove_file(recorded.path("program")).expect("removed");
    for kind in ["executable", "debuginfo"] {
        assert!(!recorded.find(kind, &gone).status.success());
    }
    let missing = recorded.list(&[&format!("--debuginfod={gone}")]);
    let reason = &recorded.of_program(&missing, "missing", "reason")[0].1;
    assert!(
        reason.contains("; debuginfod: no server had it ") && reason.contains("remembers for 600 s"),
        "{reason}"
    );
    fs::remove_dir_all(recorded.path("cache")).expect("removed");
    well(&recorded.perftool(&["bundle", &format!("--debuginfod={gone}")]));
    let before = requests.load(Ordering::SeqCst);
    for kind in ["executable", "debuginfo"] {
        assert!(!recorded.find(kind, &gone).status.success());
    }
    assert_eq!(requests.load(Ordering::SeqCst), before, "elfutils asks again");
}

#[test]
fn a_list_asks_nobody_and_says_what_would_be_asked() {
    let Some(recorded) = record("a list asks nobody") else { return };
    let (url, requests) = says(ok(b""), true);
    let option = format!("--debuginfod={url}");
    // The program is here, without its symbols.
    let list = recorded.list(&[&option]);
    let reason = "the file has no symbols, and no debug file is here; debuginfod would be asked".to_owned();
    assert_eq!(recorded.of_program(&list, "missing", "reason"), [("debug".to_owned(), reason)]);
    well(&recorded.perftool(&["bundle", "--list", "--strict", &option]));
    fs::remove_file(recorded.path("program")).expect("removed");
    let mut of_environment = recorded.command(&["bundle", "--list"]);
    let output = of_environment.env("DEBUGINFOD_URLS", &url).output().expect("it runs");
    let text = String::from_utf8_lossy(&well(&output).stdout).into_owned();
    let line = text.lines().find(|line| line.contains("/program: ")).expect("a line");
    assert!(line.ends_with("; debuginfod would be asked"), "{text}");
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    assert!(!recorded.path("cache").exists());
    // An empty list is nobody.
    for (option, urls) in [("--debuginfod=", url.as_str()), ("--json", ""), ("--no-debuginfod", "")] {
        let mut command = recorded.command(&["bundle", "--list", option]);
        let output = command.env("DEBUGINFOD_URLS", urls).output().expect("it runs");
        let text = String::from_utf8_lossy(&well(&output).stdout).into_owned();
        assert!(!text.contains("debuginfod"), "{option}: {text}");
    }
}

#[test]
fn the_debug_file_of_a_program_that_is_here_is_fetched() {
    let Some(recorded) = record("a debug file comes from debuginfod") else { return };
    let server = Debuginfod::over(&recorded);
    let mut bundle = recorded.command(&["bundle", "--json", "-q"]);
    let output = bundle.env("DEBUGINFOD_URLS", &server.url).output().expect("it runs");
    let manifest: Value = serde_json::from_slice(&well(&output).stdout).expect("JSON");
    let mut sources = recorded.of_program(&manifest, "files", "source");
    sources.sort();
    assert_eq!(sources[0], ("debug".to_owned(), "debuginfod".to_owned()));
    assert_ne!(sources[1].1, "debuginfod");
    assert_eq!(stderr(&output), "");
}

#[test]
fn what_lies_never_enters_and_the_next_server_is_asked() {
    let Some(recorded) = record("servers lie") else { return };
    let server = Debuginfod::over(&recorded);
    let program = fs::read(recorded.path("program")).expect("there");
    let debug = fs::read(recorded.path("served/program.debug")).expect("there");
    fs::remove_file(recorded.path("program")).expect("removed");
    let other = {
        let at = program.windows(20).position(|bytes| bytes == [0x11; 20]).expect("its id");
        let mut other = program.clone();
        other[at] = 0x22;
        other
    };
    let packed = packed_by_zstd(&program);
    let liars = [
        (says(ok(b"<html>Not here</html>"), true).0, "it sent something else: it is no ELF file"),
        (says(ok(&other), true).0, "it sent something else: it is the build 2211"),
        (says(ok(&program[..program.len() - 1]), true).0, "it sent something else: it is a damaged ELF file"),
        (says(ok(&debug[..debug.len() / 2]), true).0, "it sent something else: it is a damaged ELF file"),
        (says(ok(&packed), true).0, "it sent something else: it is no ELF file"),
        (nobody(), "it cannot be reached: "),
        ("ftp://127.0.0.1".to_owned(), "it is no http or https URL"),
    ];
    let urls: Vec<_> = liars.iter().map(|(url, _)| url.as_str()).collect();
    let option = format!("--debuginfod={}", urls.join(" "));
    let output = recorded.perftool(&["bundle", &option, "--json", "--strict"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let manifest: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(recorded.of_program(&manifest, "files", "source").is_empty());
    let [(kind, reason)] = recorded.of_program(&manifest, "missing", "reason").try_into().expect("one");
    assert_eq!(kind, "elf");
    assert!(!reason.contains('\n'), "{reason}");
    for (url, fault) in &liars {
        assert!(reason.contains(&format!("{url}: {fault}")), "{fault}: {reason}");
    }
    assert!(recorded.cached().is_empty(), "{:?}", recorded.cached());
    let output = recorded.perftool(&["bundle", &format!("{option} {}", server.url), "--json"]);
    let manifest: Value = serde_json::from_slice(&well(&output).stdout).expect("JSON");
    assert_eq!(recorded.of_program(&manifest, "files", "source").len(), 2);
}

fn packed_by_zstd(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    zstd_safe::compress(&mut packed, bytes, 1).expect("packed");
    packed
}

#[test]
fn an_interrupt_ends_it_while_a_server_is_silent_and_leaves_nothing() {
    let Some(recorded) = record("an interrupt ends a fetch") else { return };
    let (url, requests) = says(ok(b"\x7fELF"), false);
    fs::remove_file(recorded.path("program")).expect("removed");
    let mut command = recorded.command(&["bundle", &format!("--debuginfod={url}")]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    while requests.load(Ordering::SeqCst) == 0 {
        thread::sleep(Duration::from_millis(10));
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("it is ours");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted"), "{}", stderr(&output));
    assert!(!Path::new(&recorded.path("perf.data.bundle.tar.zst")).exists());
    assert!(recorded.cached().is_empty());
}

#[test]
fn the_proxy_of_the_environment_is_asked_but_for_hosts_that_need_none() {
    let Some(recorded) = record("a proxy is asked") else { return };
    fs::remove_file(recorded.path("program")).expect("removed");
    let (proxy, requests) = says(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec(), true);
    let option = format!("--debuginfod={}", nobody());
    let mut bundle = recorded.command(&["bundle", &option]);
    well(&bundle.env("http_proxy", &proxy).output().expect("it runs"));
    let asked = requests.load(Ordering::SeqCst);
    assert!(asked > 0);
    well(&bundle.env("no_proxy", "127.0.0.1").output().expect("it runs"));
    assert_eq!(requests.load(Ordering::SeqCst), asked);
}
