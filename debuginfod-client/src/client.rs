//! The client: the cache first, then one server after the other.

use std::fs::File;
use std::io::Seek as _;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::cache::{Cached, FileCache};
use crate::config::{ArtifactKind, ClientConfig};
use crate::download::{DownloadEnd, Downloader};
use crate::error::{FetchError, ServerError, ServerFault, quoted};
use crate::limits::{BUILD_ID_AT_MOST, SILENT_AT_MOST};
use crate::server::Server;

/// Says of a file whether it is the one that was asked for, or why it is not.
type Check<'c> = &'c dyn Fn(&File) -> Result<(), String>;

/// Fetches files. Threads may share it.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    cache: FileCache,
    downloader: Downloader,
    since: Instant,
    /// How each server fared.
    fared: Vec<Mutex<Fared>>,
}

#[derive(Debug, Default)]
struct Fared {
    /// In how many fetches in a row it gave no answer.
    silences: u32,
    /// Why, in the last of them.
    last: String,
}

/// A file that was fetched.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// The file, open for reading.
    pub file: File,
    /// Where it comes from.
    pub source: FetchSource,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchSource {
    /// The cache.
    Cache,
    /// The server with this URL.
    Server(String),
}

impl Client {
    /// A client; nothing is read or asked yet.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            cache: FileCache::new(config.cache.clone(), config.now),
            downloader: Downloader::new(&config),
            since: Instant::now(),
            fared: config.servers.iter().map(|_| Mutex::default()).collect(),
            config,
        }
    }

    /// The servers that are asked.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.config.servers
    }

    /// A file out of the cache, if it is there and `check` has nothing against it; no server is asked.
    ///
    /// # Errors
    /// [`FetchError::KnownMiss`] where the cache remembers that no server had it, and [`FetchError::Cache`].
    pub fn cached(
        &self,
        build_id: &[u8],
        kind: ArtifactKind,
        check: Check<'_>,
    ) -> Result<Option<File>, FetchError> {
        let hex = hex(build_id)?;
        match self.cache.look_up(&hex, kind)? {
            Cached::File(file) => match check(&file) {
                Ok(()) => Ok(Some(file)),
                Err(reason) => {
                    log::debug!("{}: {}", self.cache.path_of(&hex, kind).display(), quoted(reason));
                    Ok(None)
                }
            },
            Cached::Miss { age, kept_for } => {
                Err(FetchError::KnownMiss { age, kept_for, path: self.cache.path_of(&hex, kind) })
            }
            Cached::Nothing => Ok(None),
        }
    }

    /// Fetches a file: out of the cache, or from the first server that has it. `check` says whether it is the one that was
    /// asked for; `progress` gets how many bytes came.
    ///
    /// # Errors
    /// Why it was not fetched: what each server's last fault was, or what ended it before all were asked.
    pub fn fetch(
        &self,
        build_id: &[u8],
        kind: ArtifactKind,
        check: Check<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<Fetched, FetchError> {
        if let Some(file) = self.cached(build_id, kind, check)? {
            return Ok(Fetched { file, source: FetchSource::Cache });
        }
        let hex = hex(build_id)?;
        let mut faults: Vec<Option<ServerFault>> = self.config.servers.iter().map(|_| None).collect();
        for _ in 0..=self.config.retries {
            for ((server, fared), last) in self.config.servers.iter().zip(&self.fared).zip(&mut faults) {
                if last.as_ref().is_some_and(|fault| !fault.may_pass()) {
                    continue;
                }
                match self.ask(server, &hex, kind, check, progress) {
                    Ok(file) => {
                        *locked(fared) = Fared::default();
                        return Ok(Fetched { file, source: FetchSource::Server(server.to_string()) });
                    }
                    Err(Refusal::Ended(error)) => return Err(error),
                    Err(Refusal::Fault(fault)) => {
                        log::debug!("{server}: {hex} {kind}: {fault}");
                        *last = Some(fault);
                    }
                }
            }
        }
        let errors: Vec<_> = self
            .config
            .servers
            .iter()
            .zip(&self.fared)
            .zip(faults)
            .filter_map(|((server, fared), fault)| {
                let fault = fault?;
                locked(fared).note(&fault);
                Some(ServerError { url: server.to_string(), fault })
            })
            .collect();
        if errors.is_empty() {
            return Err(FetchError::NoServer);
        }
        if errors.iter().all(|error| matches!(error.fault, ServerFault::NotFound)) {
            self.cache.note_miss(&hex, kind);
        }
        Err(FetchError::Servers(errors))
    }

    fn ask(
        &self,
        server: &Server,
        hex: &str,
        kind: ArtifactKind,
        check: Check<'_>,
        progress: &dyn Fn(u64),
    ) -> Result<File, Refusal> {
        let url = server.url_of(hex, kind)?;
        if let Some(reason) = self.given_up(server) {
            return Err(ServerFault::GivenUp(reason).into());
        }
        self.is_over(Duration::ZERO).map_or(Ok(()), |end| Err(self.refusal(end)))?;
        let mut new = self.cache.new_file().map_err(Refusal::Ended)?;
        self.downloader
            .download(url, &mut new, &|took| self.is_over(took), progress)
            .map_err(|end| self.refusal(end))?;
        let cannot = |error| self.refusal(DownloadEnd::Write(error));
        new.file.rewind().map_err(cannot)?;
        check(&new.file).map_err(|reason| ServerFault::OtherFile(quoted(reason)))?;
        new.enter(hex, kind).map_err(cannot)
    }

    /// Whether a download that took this long has to end.
    fn is_over(&self, took: Duration) -> Option<DownloadEnd> {
        let is_over = |time: Option<Duration>, took: Duration| time.filter(|time| took >= *time);
        if self.config.stop.load(Ordering::Relaxed)
            || is_over(self.config.time_for_all, self.since.elapsed()).is_some()
        {
            return Some(DownloadEnd::Stopped);
        }
        is_over(self.config.time_a_file, took).map(|time| DownloadEnd::Fault(ServerFault::Late(time)))
    }

    fn refusal(&self, end: DownloadEnd) -> Refusal {
        Refusal::Ended(match (end, self.config.time_for_all) {
            (DownloadEnd::Fault(fault), _) => return Refusal::Fault(fault),
            (DownloadEnd::Write(source), _) => FetchError::Cache { path: self.config.cache.clone(), source },
            (DownloadEnd::Stopped, Some(time)) if !self.config.stop.load(Ordering::Relaxed) => {
                FetchError::OutOfTime(time)
            }
            (DownloadEnd::Stopped, _) => FetchError::Interrupted,
        })
    }

    fn given_up(&self, server: &Server) -> Option<String> {
        let at = self.config.servers.iter().position(|known| std::ptr::eq(known, server))?;
        let fared = locked(self.fared.get(at)?);
        (fared.silences >= SILENT_AT_MOST).then(|| fared.last.clone())
    }
}

impl Fared {
    fn note(&mut self, fault: &ServerFault) {
        match fault {
            ServerFault::GivenUp(_) => {}
            fault if fault.is_silence() => {
                self.silences += 1;
                self.last = fault.to_string();
            }
            _ => *self = Self::default(),
        }
    }
}

/// Why one server did not give a file.
enum Refusal {
    /// By its fault, and the next one is asked.
    Fault(ServerFault),
    /// None is asked any more.
    Ended(FetchError),
}

impl From<ServerFault> for Refusal {
    fn from(fault: ServerFault) -> Self {
        Self::Fault(fault)
    }
}

fn locked(fared: &Mutex<Fared>) -> std::sync::MutexGuard<'_, Fared> {
    fared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hex(build_id: &[u8]) -> Result<String, FetchError> {
    match build_id.len() {
        1..=BUILD_ID_AT_MOST => Ok(build_id.iter().map(|byte| format!("{byte:02x}")).collect()),
        other => Err(FetchError::InvalidId(other)),
    }
}
