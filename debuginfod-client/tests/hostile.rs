//! Servers of all kinds: those that lie, stall, drip, send without end or redirect in circles, and those that do their work.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use debuginfod_client::{
    ArtifactKind, Client, ClientConfig, FetchError, FetchSource, Fetched, ServerFault, parse_servers,
};
use tempfile::TempDir;

const ID: [u8; 4] = [0xab, 0xcd, 0xef, 0x01];
const FILE: &[u8] = b"the file of the build";

/// Longer than any test takes, on a machine that is busy with much else.
const FOR_EVER: Duration = Duration::from_secs(300);
/// What a server that is meant to be given up is given.
const SOON: Duration = Duration::from_millis(200);

/// A server on loopback, until it is dropped.
struct Served {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

/// Answers each request by what `answer` writes; then the connection is closed.
fn serve<S>(answer: impl Fn(&str, &mut TcpStream) -> io::Result<S> + Send + Sync + 'static) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = Served { address, ends: Arc::default(), requests: Arc::default(), heads: Arc::default() };
    let (ends, requests, heads) =
        (Arc::clone(&served.ends), Arc::clone(&served.requests), Arc::clone(&served.heads));
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            if ends.load(Ordering::SeqCst) {
                return;
            }
            let Ok(mut stream) = stream else { continue };
            let (answer, requests, heads) = (Arc::clone(&answer), Arc::clone(&requests), Arc::clone(&heads));
            thread::spawn(move || {
                let mut head = String::new();
                let mut lines = BufReader::new(stream.try_clone().expect("a stream"));
                while lines.read_line(&mut head).is_ok_and(|read| read > 2) {}
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                requests.fetch_add(1, Ordering::SeqCst);
                heads.lock().expect("whole").push(head);
                // Clients that have seen enough hang up.
                answer(&path, &mut stream).ok();
            });
        }
    });
    served
}

impl Served {
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}

/// A server that always answers this.
fn says(answer: impl Into<Vec<u8>>) -> Served {
    let answer = answer.into();
    serve(move |_, stream| stream.write_all(&answer))
}

fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), body].concat()
}

fn good() -> Served {
    says(ok(&format!("Content-Length: {}\r\n", FILE.len()), FILE))
}

fn status(status: u16) -> Served {
    says(format!("HTTP/1.1 {status} so\r\nContent-Length: 0\r\n\r\n"))
}

/// A server that keeps the connection open until the client is gone.
fn waits_after(answer: Vec<u8>) -> Served {
    serve(move |_, stream| {
        stream.write_all(&answer)?;
        stream.read(&mut [0; 1])
    })
}

/// A port on which nobody listens.
fn nobody() -> String {
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    format!("http://{address}")
}

struct Asked {
    dir: TempDir,
    config: ClientConfig,
}

fn ask(servers: &[&str]) -> Asked {
    let dir = tempfile::tempdir().expect("a directory");
    let config = ClientConfig {
        timeout: Some(FOR_EVER),
        size_at_most: 1 << 20,
        proxies_of_environment: false,
        retries: 0,
        ..ClientConfig::new(parse_servers(&servers.join(" ")), dir.path().join("cache"), SystemTime::now())
    };
    Asked { dir, config }
}

fn is_the_file(file: &File) -> Result<(), String> {
    let mut bytes = vec![0; FILE.len() + 1];
    let read = file.read_at(&mut bytes, 0).map_err(|error| error.to_string())?;
    if bytes[..read] == *FILE { Ok(()) } else { Err("it is another file".to_owned()) }
}

impl Asked {
    fn fetch(&self) -> Result<Fetched, FetchError> {
        self.fetch_of(&Client::new(self.config.clone()))
    }

    fn fetch_of(&self, client: &Client) -> Result<Fetched, FetchError> {
        client.fetch(&ID, ArtifactKind::Executable, &is_the_file, &|_| {})
    }

    /// The fault of the one server that was asked, after which nothing is in the cache.
    fn fault(&self) -> ServerFault {
        let error = self.fetch().expect_err("it is not fetched");
        let FetchError::Servers(mut errors) = error else { panic!("{error}") };
        assert_eq!(errors.len(), 1);
        let error = errors.remove(0);
        assert!(!error.to_string().contains('\n'), "{error}");
        assert_eq!(self.in_cache(), [""; 0], "after {error}");
        error.fault
    }

    /// The files in the cache, but for control files.
    fn in_cache(&self) -> Vec<String> {
        let mut names = Vec::new();
        below(&self.dir.path().join("cache"), &mut names);
        names.retain(|name| !name.ends_with("_s"));
        names
    }
}

fn below(dir: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() { below(&path, names) } else { names.push(path.display().to_string()) }
    }
}

#[test]
fn a_file_is_fetched_once_and_comes_out_of_the_cache_then() {
    let server = serve(|path, stream| {
        assert_eq!(path, "/prefix/buildid/abcdef01/executable");
        stream.write_all(&ok("X-DEBUGINFOD-SIZE: 21\r\nTransfer-Encoding: chunked\r\n", b"3\r\nthe\r\n"))?;
        stream.write_all(b"12\r\n file of the build\r\n0\r\n\r\n")
    });
    let mut asked = ask(&[&format!("{}/prefix/", server.url())]);
    let bytes = AtomicUsize::new(0);
    let client = Client::new(asked.config.clone());
    let progress = |more: u64| {
        bytes.fetch_add(usize::try_from(more).expect("small"), Ordering::SeqCst);
    };
    let fetched = client.fetch(&ID, ArtifactKind::Executable, &is_the_file, &progress).expect("fetched");
    assert_eq!(fetched.source, FetchSource::Server(format!("{}/prefix", server.url())));
    assert_eq!(bytes.load(Ordering::SeqCst), FILE.len());
    assert!(is_the_file(&fetched.file).is_ok());
    assert!(asked.in_cache()[0].ends_with("cache/abcdef01/executable"));
    // Without the network, too.
    asked.config.servers = parse_servers(&nobody());
    assert_eq!(asked.fetch().expect("fetched").source, FetchSource::Cache);
    assert_eq!(server.requests(), 1);
    // What is not the file is no use, and what is fetched replaces it.
    let kept = asked.dir.path().join("cache/abcdef01/executable");
    fs::remove_file(&kept).expect("removed");
    fs::write(&kept, "another one").expect("written");
    assert!(matches!(asked.fetch(), Err(FetchError::Servers(_))));
    let good = good();
    asked.config.servers = parse_servers(&good.url());
    asked.fetch().expect("fetched");
    assert_eq!(fs::read(&kept).expect("there"), FILE);
}

#[test]
fn each_server_is_asked_until_one_has_the_file() {
    let (lies, gone, broken, good) =
        (says(ok("Content-Length: 12\r\n", b"another file")), status(404), status(503), good());
    let asked = ask(&["ftp://a", &nobody(), &lies.url(), &gone.url(), &broken.url(), &good.url(), "x"]);
    let fetched = asked.fetch().expect("fetched");
    assert_eq!(fetched.source, FetchSource::Server(good.url()));
    assert_eq!(asked.in_cache().len(), 1);
}

#[test]
fn the_fault_of_each_server_is_in_the_line() {
    let (gone, lies) = (status(404), says(ok("", b"<html>no</html>")));
    let error =
        ask(&["http://u:secret@", "file:///etc", &gone.url(), &lies.url()]).fetch().expect_err("no file");
    let expected = format!(
        "http://: it is no http or https URL; file:///etc: it is no http or https URL; {}: it does not have it; {}: it sent \
         something else: it is another file",
        gone.url(),
        lies.url()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_miss_is_remembered_if_every_server_said_that_it_has_not_the_file() {
    let (gone, also) = (status(404), status(410));
    let mut asked = ask(&[&gone.url(), &also.url()]);
    assert!(matches!(asked.fetch(), Err(FetchError::Servers(errors)) if errors.len() == 2));
    assert!(matches!(asked.fetch(), Err(FetchError::KnownMiss { .. })));
    assert_eq!((gone.requests(), also.requests()), (1, 1));
    // Ten minutes later they are asked again, and one of them does not say.
    asked.config.now += Duration::from_secs(700);
    asked.config.servers.extend(parse_servers(&nobody()));
    assert!(matches!(asked.fetch(), Err(FetchError::Servers(errors)) if errors.len() == 3));
    assert!(matches!(asked.fetch(), Err(FetchError::Servers(errors)) if errors.len() == 3));
}

#[test]
fn an_endless_file_is_cut_off_whatever_its_length_is_said_to_be() {
    let endless = |head: Vec<u8>| {
        serve(move |_, stream| -> io::Result<()> {
            stream.write_all(&head)?;
            loop {
                stream.write_all(&[7; 1 << 16])?;
            }
        })
    };
    for headers in ["", "Content-Length: 99999999999999\r\n", "X-DEBUGINFOD-SIZE: 1048577\r\n"] {
        let server = endless(ok(headers, b""));
        assert!(matches!(ask(&[&server.url()]).fault(), ServerFault::TooLarge(1_048_576)), "{headers}");
    }
    // A false length cuts the file, and nobody takes the rest.
    let server = endless(ok("Content-Length: 4\r\n", b""));
    assert!(matches!(ask(&[&server.url()]).fault(), ServerFault::OtherFile(_)));
    let chunked = serve(|_, stream| -> io::Result<()> {
        stream.write_all(&ok("Transfer-Encoding: chunked\r\n", b""))?;
        loop {
            stream.write_all(b"4\r\nmore\r\n")?;
        }
    });
    assert!(matches!(ask(&[&chunked.url()]).fault(), ServerFault::TooLarge(_)));
    let headers = serve(|_, stream| -> io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"More: and more\r\n")?;
        }
    });
    assert!(matches!(ask(&[&headers.url()]).fault(), ServerFault::Protocol(_)));
}

#[test]
fn a_silent_server_is_given_up() {
    for (answer, what) in [
        (Vec::new(), "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-".to_vec(), "in its headers"),
        (ok("Content-Length: 21\r\n", b"the file"), "in the file"),
        (ok("", FILE), "behind a file without a length"),
    ] {
        let server = waits_after(answer);
        let mut asked = ask(&[&server.url()]);
        asked.config.timeout = Some(SOON);
        assert!(matches!(asked.fault(), ServerFault::Silent(SOON)), "{what}");
    }
}

#[test]
fn a_server_that_drips_is_given_up() {
    let drips = || {
        serve(|_, stream| -> io::Result<()> {
            stream.write_all(&ok("", b""))?;
            loop {
                stream.write_all(b"x")?;
                thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let server = drips();
    let mut asked = ask(&[&server.url()]);
    asked.config.timeout = Some(Duration::from_secs(1));
    // On a busy machine not even a byte comes in time.
    assert!(matches!(asked.fault(), ServerFault::Slow { .. } | ServerFault::Silent(_)));
    // The time for one file, after which the next server is asked; and the time for all.
    let (server, good) = (drips(), good());
    let mut asked = ask(&[&server.url(), &good.url()]);
    asked.config.time_a_file = Some(SOON);
    let fetched = asked.fetch().expect("fetched");
    assert_eq!(fetched.source, FetchSource::Server(good.url()));
    let mut asked = ask(&[&server.url(), &good.url()]);
    asked.config.time_for_all = Some(SOON);
    assert!(matches!(asked.fetch(), Err(FetchError::OutOfTime(SOON))));
    assert_eq!(asked.in_cache(), [""; 0]);
}

#[test]
fn an_interrupt_ends_it_soon() {
    let server = waits_after(ok("Content-Length: 21\r\n", b"the"));
    let asked = ask(&[&server.url()]);
    let stop = Arc::clone(&asked.config.stop);
    let began = |bytes: u64| assert!(bytes > 0 && !stop.swap(true, Ordering::SeqCst));
    let client = Client::new(asked.config.clone());
    let error =
        client.fetch(&ID, ArtifactKind::Executable, &is_the_file, &began).expect_err("it is interrupted");
    assert!(matches!(error, FetchError::Interrupted), "{error}");
    assert_eq!(asked.in_cache(), [""; 0]);
    assert!(matches!(asked.fetch_of(&client), Err(FetchError::Interrupted)));
}

#[test]
fn what_is_cut_off_is_no_file() {
    for answer in [
        ok("Content-Length: 30\r\n", FILE),
        ok("Transfer-Encoding: chunked\r\n", b"15\r\nthe file"),
        ok("X-DEBUGINFOD-SIZE: 22\r\n", FILE),
    ] {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let server = says(answer);
        let fault = ask(&[&server.url()]).fault();
        assert!(
            matches!(
                fault,
                ServerFault::Truncated(_)
                    | ServerFault::OtherSize { sent: 21, said: 22 }
                    | ServerFault::Protocol(_)
            ),
            "{shown}: {fault}"
        );
    }
}

#[test]
fn what_is_no_answer_of_http_and_what_is_encoded_is_refused() {
    for answer in [
        &b""[..],
        b"\x7fELF",
        b"HTTP/9 what\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let server = says(answer);
        let fault = ask(&[&server.url()]).fault();
        assert!(
            matches!(
                fault,
                ServerFault::Protocol(_) | ServerFault::Unreachable(_) | ServerFault::Truncated(_)
            ),
            "{answer:?}: {fault}"
        );
    }
    let server = says(ok("Content-Encoding: gzip\r\n", FILE));
    assert!(matches!(ask(&[&server.url()]).fault(), ServerFault::Protocol(_)));
}

#[test]
fn redirects_are_followed_and_never_for_ever_or_elsewhere() {
    let to = |location: &str| {
        says(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
    };
    let good = good();
    let mut asked = ask(&[&to(&format!("{}/there", good.url())).url()]);
    asked.config.headers = vec![("X-Secret".to_owned(), "token".to_owned())];
    let first = to(&format!("{}/there", good.url()));
    asked.config.servers = parse_servers(&first.url());
    asked.fetch().expect("fetched");
    let head = |server: &Served| server.heads.lock().expect("whole")[0].to_lowercase();
    assert!(
        head(&first).contains("x-secret: token") && head(&first).contains("user-agent: debuginfod-client/")
    );
    assert!(head(&good).starts_with("get /there ") && !head(&good).contains("secret"));
    for (location, expected) in [
        ("/again", "it redirects more than 5 times"),
        ("file:///etc/passwd", "it redirects to file:///etc/passwd, which is no http or https URL"),
        ("gopher://a", "it redirects to gopher://a, which is no http or https URL"),
        ("http://", "it redirects to http://, which is no http or https URL"),
    ] {
        let server = to(location);
        let fault = ask(&[&server.url()]).fault();
        assert_eq!(fault.to_string(), expected);
        assert_eq!(server.requests(), if location == "/again" { 6 } else { 1 });
    }
    let nowhere = status(301);
    assert_eq!(ask(&[&nowhere.url()]).fault().to_string(), "it redirects to nowhere");
}

#[test]
fn a_fault_that_may_pass_is_tried_again_and_no_other() {
    for (status_code, requests) in [(500, 3), (503, 3), (403, 1), (404, 1), (204, 1)] {
        let server = status(status_code);
        let mut asked = ask(&[&server.url()]);
        asked.config.retries = 2;
        assert!(asked.fetch().is_err());
        assert_eq!(server.requests(), requests, "{status_code}");
    }
    let times = AtomicUsize::new(0);
    let server = serve(move |_, stream| {
        let is_first = times.fetch_add(1, Ordering::SeqCst) == 0;
        stream.write_all(&ok("Content-Length: 21\r\n", if is_first { b"the" } else { FILE }))
    });
    let mut asked = ask(&[&server.url()]);
    asked.config.retries = 1;
    asked.fetch().expect("fetched");
}

#[test]
fn a_server_that_never_answers_is_not_asked_any_more() {
    let server = waits_after(Vec::new());
    let mut asked = ask(&[&server.url()]);
    asked.config.timeout = Some(SOON);
    let client = Client::new(asked.config.clone());
    for _ in 0..3 {
        let error = asked.fetch_of(&client).expect_err("no file").to_string();
        assert!(error.contains("nothing came for 0.2 s") && !error.contains("any more"), "{error}");
    }
    let error = asked.fetch_of(&client).expect_err("no file").to_string();
    assert!(error.contains("it is not asked any more, since nothing came"), "{error}");
    assert_eq!(server.requests(), 3);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = serve_tls();
    let url = format!("https://localhost:{}", server.address.port());
    let mut asked = ask(&[&url]);
    let fault = asked.fault();
    assert!(matches!(fault, ServerFault::Certificate(_)), "{fault}");
    asked.config.root_certificates = vec![include_bytes!("tls/ca.der").to_vec()];
    asked.fetch().expect("fetched");
    // Another name than that of the certificate.
    let asked = ask(&[&url.replace("localhost", "127.0.0.2")]);
    assert!(asked.fetch().is_err());
    // One that speaks no TLS.
    let plain = good();
    let asked = ask(&[&plain.url().replace("http", "https")]);
    assert!(matches!(asked.fault(), ServerFault::Unreachable(_)));
}

fn serve_tls() -> Served {
    let certificates = vec![include_bytes!("tls/server.der").to_vec().into()];
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(include_bytes!("tls/server-key.der").to_vec());
    let config = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key.into())
        .expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let served = Served { address, ends: Arc::default(), requests: Arc::default(), heads: Arc::default() };
    let ends = Arc::clone(&served.ends);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if ends.load(Ordering::SeqCst) {
                return;
            }
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
            let mut tls = rustls::StreamOwned::new(connection, stream);
            let answer =
                |tls: &mut rustls::StreamOwned<rustls::ServerConnection, TcpStream>| -> io::Result<()> {
                    let _ = tls.read(&mut [0; 4096])?;
                    tls.write_all(&ok("Content-Length: 21\r\n", FILE))?;
                    tls.conn.send_close_notify();
                    tls.flush()
                };
            answer(&mut tls).ok();
        }
    });
    served
}
