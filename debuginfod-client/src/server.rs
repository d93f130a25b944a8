//! The servers and the URLs that they redirect to.

use std::fmt;

use ureq::http::Uri;

use crate::config::ArtifactKind;
use crate::error::{ServerFault, quoted};

/// A server: the URL in front of `/buildid`, or what stands in a list in the place of one. `Display` leaves out its user and
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    url: String,
    needs_signatures: bool,
}

/// Reads a list as `DEBUGINFOD_URLS` has it: URLs with white space between them, and tags that say whether files of the
/// servers behind them must be signed.
#[must_use]
pub fn parse_servers(list: &str) -> Vec<Server> {
    let mut needs_signatures = false;
    let mut servers = Vec::new();
    for word in list.split_ascii_whitespace() {
        match word.strip_prefix("ima:") {
            Some(policy) => needs_signatures = policy == "enforcing",
            None => servers.push(Server { needs_signatures, ..Server::new(word) }),
        }
    }
    servers
}

impl Server {
    /// A server at an URL. One that is none is a fault each time that it is asked.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), needs_signatures: false }
    }

    /// The URL of a file.
    pub(crate) fn url_of(&self, build_id: &str, kind: ArtifactKind) -> Result<Uri, ServerFault> {
        let url: Uri =
            format!("{}/buildid/{build_id}/{kind}", self.url).parse().map_err(|_| ServerFault::BadUrl)?;
        if !is_asked(&url) || self.url.contains(['?', '#']) {
            return Err(ServerFault::BadUrl);
        }
        if self.needs_signatures { Err(ServerFault::NeedsSignatures) } else { Ok(url) }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(without_user(&self.url)))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

/// An URL without what stands in front of the host, which may be a password.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn is_asked(url: &Uri) -> bool {
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    is_http && url.host().is_some_and(|host| !host.is_empty())
}

/// Whether two URLs are of the same server.
pub(crate) fn is_same_origin(a: &Uri, b: &Uri) -> bool {
    (a.scheme(), a.host(), a.port_u16()) == (b.scheme(), b.host(), b.port_u16())
}

/// Where a response at `from` redirects to.
pub(crate) fn redirected(from: &Uri, location: &str) -> Result<Uri, ServerFault> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme_end = location.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
    let has_scheme = scheme_end
        .is_some_and(|end| end > 0 && location.get(end..).is_some_and(|rest| rest.starts_with(':')));
    let scheme = from.scheme_str().unwrap_or_default();
    let authority = from.authority().map(|authority| authority.as_str()).unwrap_or_default();
    let whole = if has_scheme {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let to: Uri = match whole.parse() {
        Ok(to) if is_asked(&to) => to,
        // Queries may have secrets in them.
        _ => {
            let shown = without_user(whole.split('?').next().unwrap_or_default());
            return Err(ServerFault::RedirectScheme(quoted(shown)));
        }
    };
    if scheme == "https" && to.scheme_str() == Some("http") {
        Err(ServerFault::RedirectToPlain)
    } else {
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn a_list_is_urls_with_white_space_between_them_and_tags_that_ask_for_signatures() {
        let list =
            parse_servers(" http://a/  https://u:secret@b:8/x\nima:enforcing http://c ima:ignore http://d\t");
        let shown: Vec<_> = list.iter().map(Server::to_string).collect();
        assert_eq!(shown, ["http://a", "https://b:8/x", "http://c", "http://d"]);
        let urls: Vec<_> = list.iter().map(|server| server.url_of("ab", ArtifactKind::Executable)).collect();
        assert_eq!(urls[0].as_ref().unwrap(), "http://a/buildid/ab/executable");
        assert_eq!(urls[1].as_ref().unwrap(), "https://u:secret@b:8/x/buildid/ab/executable");
        assert!(matches!(urls[2], Err(ServerFault::NeedsSignatures)));
        assert!(urls[3].is_ok());
        assert!(parse_servers(" \n").is_empty());
    }

    #[test]
    fn what_is_no_url_of_http_is_not_asked() {
        for bad in [
            "a",
            "/etc",
            "file:///etc",
            "ftp://a",
            "http://",
            "http:///x",
            "http://a?b",
            "http://[::1",
            "http://a\u{7f}",
        ] {
            let asked = Server::new(bad).url_of("ab", ArtifactKind::DebugInfo);
            assert!(matches!(asked, Err(ServerFault::BadUrl)), "{bad}: {asked:?}");
        }
        assert!(Server::new("http://[::1]:80").url_of("ab", ArtifactKind::DebugInfo).is_ok());
    }

    #[test]
    fn redirects_lead_to_http_and_https_alone_and_never_to_less_safety() {
        let from = url("https://u@a:1/x/buildid/ab/executable");
        for (location, to) in [
            ("https://b/y", "https://b/y"),
            ("//b/y?z#w", "https://b/y?z"),
            ("/y", "https://u@a:1/y"),
            ("y", "https://u@a:1/x/buildid/ab/y"),
            ("../y:z", "https://u@a:1/x/buildid/ab/../y:z"),
        ] {
            assert_eq!(redirected(&from, location).unwrap(), to, "{location}");
        }
        for other in ["file:///etc/passwd", "ftp://a/b", "data:x", "gopher:", "https://"] {
            let refused = redirected(&from, other);
            assert!(matches!(refused, Err(ServerFault::RedirectScheme(_))), "{other}: {refused:?}");
        }
        assert!(matches!(redirected(&from, "http://a/y"), Err(ServerFault::RedirectToPlain)));
        assert!(redirected(&url("http://a/x"), "http://b/y").is_ok());
        let shown = redirected(&from, "ftp://u:p@a/b?token").unwrap_err().to_string();
        assert!(shown.contains("ftp://a/b,") && !shown.contains("token"), "{shown}");
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        assert!(is_same_origin(&url("http://u@a/x"), &url("http://a/y")));
        for other in ["https://a/x", "http://b/x", "http://a:81/x"] {
            assert!(!is_same_origin(&url("http://a/x"), &url(other)), "{other}");
        }
    }
}
