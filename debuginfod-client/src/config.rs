//! What is asked, of whom, and how much of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use crate::server::Server;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// The file that is run: a program, a library, a module, an uncompressed kernel.
    Executable,
    /// The file that has its debug information: the same one, or what was taken out of it.
    DebugInfo,
}

impl ArtifactKind {
    /// Its name in URLs and in the cache.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::DebugInfo => "debuginfo",
        }
    }
}

impl fmt::Display for ArtifactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a [`Client`](crate::Client) asks. The variables are those of elfutils' client, which this crate does not read.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The servers, in the order in which they are asked ([`parse_servers`](crate::parse_servers) reads `DEBUGINFOD_URLS`).
    pub servers: Vec<Server>,
    /// The cache's folder (`DEBUGINFOD_CACHE_PATH`). It is made where it is not there.
    pub cache: PathBuf,
    /// The time: what the cache has of files that no server had is forgotten by it.
    pub now: SystemTime,
    /// A server is given up that sends nothing for this long, or less than 100 KiB in it (`DEBUGINFOD_TIMEOUT`); `None`
    /// waits for ever.
    pub timeout: Option<Duration>,
    /// How long a server may take for a file (`DEBUGINFOD_MAXTIME`).
    pub time_a_file: Option<Duration>,
    /// How long all fetches of a client may take together, from when it was made.
    pub time_for_all: Option<Duration>,
    /// The most bytes of a file (`DEBUGINFOD_MAXSIZE`).
    pub size_at_most: u64,
    /// How many redirects are followed for a file.
    pub redirects_at_most: u32,
    /// How often a server is asked again whose fault may be a passing one (`DEBUGINFOD_RETRY_LIMIT`).
    pub retries: u32,
    /// Headers that are sent along (`DEBUGINFOD_HEADERS_FILE`), but not to where a server redirects to.
    pub headers: Vec<(String, String)>,
    /// What the client calls itself, if `headers` has no `User-Agent`.
    pub user_agent: String,
    /// The certificates that servers of `https` are checked against, in DER.
    pub root_certificates: Vec<Vec<u8>>,
    /// Whether proxies are taken from the environment (`http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`, in lower or
    /// upper case).
    pub proxies_of_environment: bool,
    /// Fetches end soon after it is set.
    pub stop: Arc<AtomicBool>,
}

impl ClientConfig {
    /// Asks these servers, and keeps files in this folder, with the values that elfutils' client has by default: 90 s
    /// without 100 KiB, two retries, and no other bounds. Redirects are bounded; certificates there are none.
    #[must_use]
    pub fn new(servers: Vec<Server>, cache: PathBuf, now: SystemTime) -> Self {
        Self {
            servers,
            cache,
            now,
            timeout: Some(Duration::from_secs(90)),
            time_a_file: None,
            time_for_all: None,
            size_at_most: u64::MAX,
            redirects_at_most: 5,
            retries: 2,
            headers: Vec::new(),
            user_agent: concat!("debuginfod-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            root_certificates: Vec::new(),
            proxies_of_environment: true,
            stop: Arc::default(),
        }
    }
}
