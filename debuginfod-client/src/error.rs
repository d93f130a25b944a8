//! Why a file is not fetched.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a file is not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// There is no server to ask.
    #[error("there is no server to ask")]
    NoServer,
    /// The build-id has no bytes, or more than any.
    #[error("a build-id of {0} bytes is none")]
    InvalidId(usize),
    /// No server had it when it was asked for last, a short while ago, and the cache remembers that.
    #[error(
        "no server had it {} s ago, which the cache remembers for {} s", age.as_secs(), kept_for.as_secs()
    )]
    KnownMiss {
        /// How long ago it was.
        age: Duration,
        /// How long that is remembered (`cache_miss_s`).
        kept_for: Duration,
        /// The file that remembers it.
        path: PathBuf,
    },
    /// The cache cannot be read or written, or something that is not its own stands in it.
    #[error("{}: {source}", path.display())]
    Cache {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The caller stopped it.
    #[error("it was interrupted")]
    Interrupted,
    /// The time for all fetches was over.
    #[error("the time for all files, {} s, was over", .0.as_secs_f64())]
    OutOfTime(Duration),
    /// No server gave it; the last fault of each.
    #[error("{}", listed(.0))]
    Servers(Vec<ServerError>),
}

fn listed(errors: &[ServerError]) -> String {
    errors.iter().map(ServerError::to_string).collect::<Vec<_>>().join("; ")
}

/// Why a server did not give a file.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {fault}")]
pub struct ServerError {
    /// The server's URL, without a password.
    pub url: String,
    /// Why.
    pub fault: ServerFault,
}

/// What is wrong with a server, or with what it sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerFault {
    /// It is no URL of a server that could be asked.
    #[error("it is no http or https URL")]
    BadUrl,
    /// The list of servers says that files of this one must be signed.
    #[error("its files have to be signed (ima:enforcing), and signatures are not checked")]
    NeedsSignatures,
    /// The server says that it does not have the file.
    #[error("it does not have it")]
    NotFound,
    /// Another status of HTTP.
    #[error("it answers with status {0}")]
    Status(u16),
    /// It cannot be reached.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// Nothing proves that it is the server of that name.
    #[error("its certificate is refused: {0}")]
    Certificate(String),
    /// It sent nothing for the timeout.
    #[error("nothing came for {} s", .0.as_secs_f64())]
    Silent(Duration),
    /// It sent less in the timeout than a server has to.
    #[error("it sent only {bytes} bytes in {} s", timeout.as_secs_f64())]
    Slow {
        /// How much it sent.
        bytes: u64,
        /// The timeout.
        timeout: Duration,
    },
    /// The file did not come within the time for it.
    #[error("it did not come within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// The file is larger than what may come.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    /// The connection ended before the file.
    #[error("it ended after {0} bytes")]
    Truncated(u64),
    /// The file has another size than the server said.
    #[error("{sent} bytes came, and it says that there are {said}")]
    OtherSize {
        /// How many came.
        sent: u64,
        /// How many the server said that there are.
        said: u64,
    },
    /// It redirects on and on.
    #[error("it redirects more than {0} times")]
    Redirects(u32),
    /// It redirects to what is not asked.
    #[error("it redirects to {0}, which is no http or https URL")]
    RedirectScheme(String),
    /// It redirects from https to http.
    #[error("it redirects from https to http")]
    RedirectToPlain,
    /// What was sent is not what was asked for.
    #[error("it sent something else: {0}")]
    OtherFile(String),
    /// What was sent is no HTTP.
    #[error("{0}")]
    Protocol(String),
    /// It was unreachable or silent several times in a row, and is not asked any more.
    #[error("it is not asked any more, since {0}")]
    GivenUp(String),
}

impl ServerFault {
    /// Whether it may be gone when the server is asked again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => *status >= 500 || *status == 429,
            Self::Unreachable(_) | Self::Truncated(_) | Self::Protocol(_) => true,
            _ => false,
        }
    }

    /// Whether there was no answer at all.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Certificate(_) | Self::Silent(_))
    }
}

/// A text that somebody else wrote, as a part of a line.
pub(crate) fn quoted(text: impl fmt::Display) -> String {
    text.to_string()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(crate::limits::QUOTED_AT_MOST)
        .collect()
}
