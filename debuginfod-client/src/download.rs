//! One file from one server, in a thread of its own: whatever holds that up (a name, a connection, a certificate, bytes that
//! do not come), the caller looks in between whether its time is over.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response, Uri, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use crate::cache::CacheEntry;
use crate::config::ClientConfig;
use crate::error::{ServerFault, quoted};
use crate::limits::{HEADERS_AT_MOST, LOOKED_EVERY, PART, PARTS_AHEAD, SENT_IN_TIMEOUT};
use crate::server::{is_same_origin, redirected};

/// What fetches files. Threads share it.
#[derive(Clone)]
pub(crate) struct Downloader {
    agent: Agent,
    headers: Vec<(String, String)>,
    redirects_at_most: u32,
    timeout: Option<Duration>,
    time_a_file: Option<Duration>,
    size_at_most: u64,
}

impl fmt::Debug for Downloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Downloader")
    }
}

/// How a download ended before the file.
#[derive(Debug)]
pub(crate) enum DownloadEnd {
    /// By the server's fault.
    Fault(ServerFault),
    /// The file cannot be written.
    Write(io::Error),
    /// The caller has no more time, or wants to stop.
    Stopped,
}

impl From<ServerFault> for DownloadEnd {
    fn from(fault: ServerFault) -> Self {
        Self::Fault(fault)
    }
}

/// What the thread tells.
enum Message {
    Part(Vec<u8>),
    End,
    Fault(ServerFault),
}

impl Downloader {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        let roots: Vec<_> =
            config.root_certificates.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(rustls::crypto::ring::default_provider().into())
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(if config.proxies_of_environment { Proxy::try_from_env() } else { None })
            .user_agent(config.user_agent.as_str())
            .accept_encoding("identity")
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(HEADERS_AT_MOST)
            // A server may close a connection that is kept at the moment when the next request is sent, and nothing tells that
            // from one that cannot be reached.
            .max_idle_connections(0)
            // The caller has given up by then, and the thread ends.
            .timeout_resolve(config.timeout)
            .timeout_connect(config.timeout)
            .timeout_per_read(config.timeout)
            .timeout_per_write(config.timeout)
            .timeout_global(config.time_a_file)
            .build()
            .new_agent();
        Self {
            agent,
            headers: config.headers.clone(),
            redirects_at_most: config.redirects_at_most,
            timeout: config.timeout,
            time_a_file: config.time_a_file,
            size_at_most: config.size_at_most,
        }
    }

    /// Fetches a file. `is_over` is asked again and again, with how long it has taken.
    pub(crate) fn download(
        &self,
        url: Uri,
        into: &mut CacheEntry,
        is_over: &dyn Fn(Duration) -> Option<DownloadEnd>,
        progress: &dyn Fn(u64),
    ) -> Result<(), DownloadEnd> {
        let (sender, messages) = sync_channel(PARTS_AHEAD);
        let asked = self.clone();
        let thread = thread::Builder::new().name("debuginfod".to_owned());
        thread.spawn(move || asked.ask(&url, &sender)).map_err(DownloadEnd::Write)?;
        self.receive(&messages, into, is_over, progress)
    }

    fn receive(
        &self,
        messages: &Receiver<Message>,
        into: &mut CacheEntry,
        is_over: &dyn Fn(Duration) -> Option<DownloadEnd>,
        progress: &dyn Fn(u64),
    ) -> Result<(), DownloadEnd> {
        let started = Instant::now();
        let (mut last, mut window, mut in_window, mut total) = (started, started, 0_u64, 0_u64);
        loop {
            if let Some(end) = is_over(started.elapsed()) {
                return Err(end);
            }
            match messages.recv_timeout(LOOKED_EVERY) {
                Ok(Message::Part(part)) => {
                    let bytes = part.len() as u64;
                    total += bytes;
                    if total > self.size_at_most {
                        return Err(ServerFault::TooLarge(self.size_at_most).into());
                    }
                    into.file.write_all(&part).map_err(DownloadEnd::Write)?;
                    progress(bytes);
                    (last, in_window) = (Instant::now(), in_window + bytes);
                }
                Ok(Message::End) => return Ok(()),
                Ok(Message::Fault(fault)) => return Err(fault.into()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(ServerFault::Protocol("the connection was lost".to_owned()).into());
                }
            }
            let Some(timeout) = self.timeout else { continue };
            if last.elapsed() >= timeout {
                return Err(ServerFault::Silent(timeout).into());
            }
            if window.elapsed() >= timeout {
                if in_window < SENT_IN_TIMEOUT {
                    return Err(ServerFault::Slow { bytes: in_window, timeout }.into());
                }
                (window, in_window) = (Instant::now(), 0);
            }
        }
    }

    /// Asks for a file, and sends what comes, until nobody wants it.
    fn ask(&self, url: &Uri, sender: &SyncSender<Message>) {
        let end = match self.response(url) {
            Ok(response) => self.parts(response, sender),
            Err(fault) => Err(fault),
        };
        sender.send(end.map_or_else(Message::Fault, |()| Message::End)).ok();
    }

    /// The response that is no redirect.
    fn response(&self, first: &Uri) -> Result<Response<Body>, ServerFault> {
        let mut url = first.clone();
        for _ in 0..=self.redirects_at_most {
            let mut request = self.agent.get(url.clone());
            if is_same_origin(first, &url) {
                for (name, value) in &self.headers {
                    request = request.header(name, value);
                }
            }
            let response = request.call().map_err(|error| self.fault(error))?;
            match response.status().as_u16() {
                200 => return Ok(response),
                301 | 302 | 303 | 307 | 308 => {
                    let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
                    let location = location
                        .ok_or_else(|| ServerFault::Protocol("it redirects to nowhere".to_owned()))?;
                    url = redirected(&url, location)?;
                }
                404 | 410 => return Err(ServerFault::NotFound),
                other => return Err(ServerFault::Status(other)),
            }
        }
        Err(ServerFault::Redirects(self.redirects_at_most))
    }

    fn parts(&self, response: Response<Body>, sender: &SyncSender<Message>) -> Result<(), ServerFault> {
        let headers = response.headers();
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            return Err(ServerFault::Protocol("it is encoded, though that was not asked for".to_owned()));
        }
        // What debuginfod says of the file, which it may send without a length.
        let said = [size(headers, "x-debuginfod-size"), size(headers, "content-length")];
        if said.iter().flatten().any(|said| *said > self.size_at_most) {
            return Err(ServerFault::TooLarge(self.size_at_most));
        }
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut sent = 0;
        loop {
            let mut part = vec![0; PART];
            let read = match body.read(&mut part) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(match self.fault(error.into()) {
                        ServerFault::Unreachable(_) => ServerFault::Truncated(sent),
                        fault => fault,
                    });
                }
            };
            part.truncate(read);
            sent += read as u64;
            if sender.send(Message::Part(part)).is_err() {
                return Ok(());
            }
        }
        match said.into_iter().flatten().find(|said| *said != sent) {
            Some(said) => Err(ServerFault::OtherSize { sent, said }),
            None => Ok(()),
        }
    }

    fn fault(&self, error: ureq::Error) -> ServerFault {
        let silent = || ServerFault::Silent(self.timeout.unwrap_or_default());
        match error {
            ureq::Error::Timeout(ureq::Timeout::Global) => {
                ServerFault::Late(self.time_a_file.unwrap_or_default())
            }
            ureq::Error::Timeout(_) => silent(),
            ureq::Error::Io(error) => {
                if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
                    return silent();
                }
                let of_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
                of_tls.map_or_else(|| ServerFault::Unreachable(quoted(&error)), of_rustls)
            }
            ureq::Error::Rustls(error) => of_rustls(&error),
            ureq::Error::HostNotFound
            | ureq::Error::ConnectionFailed
            | ureq::Error::ConnectProxyFailed(_)
            | ureq::Error::Tls(_) => ServerFault::Unreachable(quoted(error)),
            error => ServerFault::Protocol(quoted(error)),
        }
    }
}

fn of_rustls(error: &rustls::Error) -> ServerFault {
    match error {
        rustls::Error::InvalidCertificate(reason) => ServerFault::Certificate(quoted(format!("{reason}"))),
        error => ServerFault::Unreachable(quoted(error)),
    }
}

fn size(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
