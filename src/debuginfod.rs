//! debuginfod for bundles: what the environment says of servers, cache and bounds, by the names and meanings of elfutils'
//! client (debuginfod-client-config(7)), and the check that a file is the one that was asked for.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use debuginfod_client::{ArtifactKind, Client, ClientConfig, Server, parse_servers};
use perf_bundle::{FileRole, RemoteFiles};
use perf_format::BuildId;
use perf_session::build_id::{build_id_of, elf_extent};

use crate::progress::{Meter, ProgressStderr, Watch};
use crate::report::{UsageError, one_line};

/// What stands behind the options of who asks.
pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[
    ("DEBUGINFOD_URLS", "The debuginfod servers that are asked, with blanks between them."),
    (
        "DEBUGINFOD_CACHE_PATH",
        "Where fetched files are kept; by default debuginfod_client in XDG_CACHE_HOME or ~/.cache.",
    ),
    (
        "DEBUGINFOD_TIMEOUT",
        "Seconds in which a server has to send 100 KiB; by default 90, and 0 is for ever.",
    ),
    ("DEBUGINFOD_MAXTIME", "Seconds in which a file has to come; by default 1200, and 0 is for ever."),
    ("DEBUGINFOD_MAXSIZE", "The most bytes of a file; by default 4 GiB, and 0 is any size."),
    ("DEBUGINFOD_RETRY_LIMIT", "How often a server is asked again that failed; by default 2."),
    ("DEBUGINFOD_HEADERS_FILE", "A file with headers that servers are sent, a line each."),
    (
        "http_proxy",
        "The proxy; so do https_proxy and all_proxy name it, and no_proxy the hosts asked without it.",
    ),
];

/// Where systems say which servers they trust.
const OF_SYSTEM: &str = "/etc/debuginfod";

/// How long a server may take for a file. elfutils' client waits for ever.
const TIME_A_FILE: u64 = 20 * 60;
/// How long all files may take.
const TIME_FOR_ALL: Duration = Duration::from_secs(60 * 60);
/// The most bytes of a file. elfutils' client takes any.
const SIZE_AT_MOST: u64 = 4 << 30;

type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// Asks debuginfod servers, or their cache alone.
#[derive(Debug)]
pub(crate) struct Debuginfod {
    client: Client,
    /// Whether servers are asked, and not the cache alone.
    is_asked: bool,
    meter: Meter,
    quiet: bool,
    said: Once,
}

impl Debuginfod {
    /// What the option and the environment say; `None` where nobody is to be asked. `option` is the option's value, if it
    /// was given, and that may have none.
    ///
    /// # Errors
    /// Where the option was given, and there are no servers; where a value of the environment is none.
    pub(crate) fn of(
        option: Option<&Option<String>>,
        is_asked: bool,
        watch: &Watch,
    ) -> anyhow::Result<Option<Self>> {
        let environment: Environment<'_> = &|name| env::var_os(name);
        let servers = servers(option.map(Option::as_deref), environment, Path::new(OF_SYSTEM))?;
        if servers.is_empty() {
            return Ok(None);
        }
        let mut config = config(servers, environment, SystemTime::now())?;
        config.stop = watch.stop.clone();
        if is_asked {
            config.root_certificates = root_certificates();
        }
        let (client, meter) = (Client::new(config), watch.fetching());
        Ok(Some(Self { client, is_asked, meter, quiet: watch.quiet, said: Once::new() }))
    }

    /// Says once who is asked: these learn which builds are here.
    fn say(&self) {
        self.said.call_once(|| {
            let servers: Vec<_> = self.client.servers().iter().map(Server::to_string).collect();
            if !self.quiet {
                let line = one_line(servers.join(", "));
                // Where that cannot be written there is nowhere to report it.
                writeln!(ProgressStderr, "perftool: asking debuginfod for what is missing here: {line}").ok();
            }
        });
    }
}

impl RemoteFiles for Debuginfod {
    fn fetch(&self, build_id: BuildId, role: FileRole) -> Result<File, String> {
        let kind = if role == FileRole::Debug { ArtifactKind::DebugInfo } else { ArtifactKind::Executable };
        let check = |file: &File| is_build(file, build_id);
        let because = |error| format!("debuginfod: {error}");
        if let Some(file) = self.client.cached(build_id.as_bytes(), kind, &check).map_err(because)? {
            return Ok(file);
        }
        if !self.is_asked {
            return Err("debuginfod would be asked".to_owned());
        }
        self.say();
        // An interrupt ends the fetch by the flag that the meter looks at, too.
        let progress = |bytes| drop(self.meter.add(bytes));
        let fetched = self.client.fetch(build_id.as_bytes(), kind, &check, &progress).map_err(because)?;
        log::debug!("{build_id}: {kind} from {:?}", fetched.source);
        Ok(fetched.file)
    }
}

/// Whether a file is whole and of this build.
fn is_build(file: &File, wanted: BuildId) -> Result<(), String> {
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    let extent = elf_extent(file).map_err(|error| error.to_string())?;
    if extent.bytes > size {
        return Err(format!("it was cut off after {size} bytes of {}", extent.bytes));
    }
    let here = file.try_clone().map_err(|error| error.to_string())?;
    match build_id_of(here).map_err(|error| error.to_string())? {
        Some(here) if here.padded() == wanted.padded() => Ok(()),
        Some(here) => Err(format!("it is the build {here}")),
        None => Err("it has no build-id".to_owned()),
    }
}

fn servers(
    option: Option<Option<&str>>,
    environment: Environment<'_>,
    of_system: &Path,
) -> anyhow::Result<Vec<Server>> {
    let of_environment = || {
        environment("DEBUGINFOD_URLS").map_or_else(Vec::new, |list| parse_servers(&list.to_string_lossy()))
    };
    match option {
        Some(Some(list)) => Ok(parse_servers(list)),
        None => Ok(of_environment()),
        Some(None) => {
            let servers = Some(of_environment()).filter(|servers| !servers.is_empty());
            let servers = servers.unwrap_or_else(|| parse_servers(&lists_in(of_system)));
            if servers.is_empty() {
                bail!(UsageError(format!(
                    "--debuginfod has no server to ask: name one behind it (--debuginfod=URL), or in DEBUGINFOD_URLS; {} \
                     has none",
                    of_system.display()
                )));
            }
            Ok(servers)
        }
    }
}

/// The lists of a folder, in the order of their names.
fn lists_in(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "urls"));
    paths.sort();
    let lists: Vec<_> = paths.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    lists.join(" ")
}

fn config(
    servers: Vec<Server>,
    environment: Environment<'_>,
    now: SystemTime,
) -> anyhow::Result<ClientConfig> {
    let seconds =
        |name, default| anyhow::Ok(Some(number(environment, name, default)?).filter(|seconds| *seconds > 0));
    let size = number(environment, "DEBUGINFOD_MAXSIZE", SIZE_AT_MOST)?;
    let retries = number(environment, "DEBUGINFOD_RETRY_LIMIT", 2)?;
    let headers = match environment("DEBUGINFOD_HEADERS_FILE").filter(|file| !file.is_empty()) {
        Some(file) => headers_of(Path::new(&file))?,
        None => Vec::new(),
    };
    let config = ClientConfig::new(servers, cache(environment), now);
    Ok(ClientConfig {
        timeout: seconds("DEBUGINFOD_TIMEOUT", 90)?.map(Duration::from_secs),
        time_a_file: seconds("DEBUGINFOD_MAXTIME", TIME_A_FILE)?.map(Duration::from_secs),
        time_for_all: Some(TIME_FOR_ALL),
        size_at_most: if size == 0 { u64::MAX } else { size },
        retries: u32::try_from(retries).unwrap_or(u32::MAX),
        headers,
        user_agent: concat!("perftool/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..config
    })
}

/// A number of the environment; one below 0 is 0, which stands for no bound.
fn number(environment: Environment<'_>, name: &str, default: u64) -> anyhow::Result<u64> {
    let Some(text) = environment(name).filter(|text| !text.is_empty()) else { return Ok(default) };
    let number = text.to_str().and_then(|text| text.trim().parse::<i64>().ok());
    let number = number.with_context(|| format!("{name} is no number: {}", text.display()))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// The cache's folder, where elfutils' client has it.
fn cache(environment: Environment<'_>) -> PathBuf {
    let folder = |name| environment(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    if let Some(cache) = folder("DEBUGINFOD_CACHE_PATH") {
        return cache;
    }
    let home = folder("HOME").unwrap_or_else(|| PathBuf::from("/"));
    let old = home.join(".debuginfod_client_cache");
    if old.exists() {
        return old;
    }
    folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache")).join("debuginfod_client")
}

/// The headers in a file, a line each. What is wrong with one is said without it, since it may be a secret.
fn headers_of(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read DEBUGINFOD_HEADERS_FILE {}", file.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header = |(number, line): (usize, &str)| {
        let header = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let (name, value) = header
            .filter(|(name, value)| is_name(name) && !value.chars().any(char::is_control))
            .with_context(|| format!("{}: line {} is no header", file.display(), number + 1))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    lines.map(header).collect()
}

/// What this system trusts. Without any, no server of https is.
fn root_certificates() -> Vec<Vec<u8>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::debug!("{error}");
    }
    found.certs.into_iter().map(|certificate| certificate.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    }

    fn shown(
        option: Option<Option<&str>>,
        variables: &'static [(&str, &str)],
        of_system: &Path,
    ) -> Vec<String> {
        let servers = servers(option, &environment(variables), of_system).expect("servers");
        servers.iter().map(Server::to_string).collect()
    }

    #[test]
    fn the_option_decides_who_is_asked_then_the_environment_and_then_the_system() {
        let dir = tempfile::tempdir().expect("a directory");
        let nobody = [""; 0];
        assert_eq!(shown(None, &[], dir.path()), nobody);
        assert_eq!(shown(None, &[("DEBUGINFOD_URLS", "")], dir.path()), nobody);
        assert_eq!(
            shown(None, &[("DEBUGINFOD_URLS", "http://a http://b")], dir.path()),
            ["http://a", "http://b"]
        );
        assert_eq!(shown(Some(Some("")), &[("DEBUGINFOD_URLS", "http://a")], dir.path()), nobody);
        assert_eq!(
            shown(Some(Some("http://c")), &[("DEBUGINFOD_URLS", "http://a")], dir.path()),
            ["http://c"]
        );
        for missing in [dir.path(), Path::new("/nonexistent")] {
            let error = servers(Some(None), &environment(&[]), missing).expect_err("there are none");
            assert!(
                error.is::<UsageError>() && error.to_string().contains("has no server to ask"),
                "{error}"
            );
        }
        fs::write(dir.path().join("b.urls"), "http://2\n").expect("written");
        fs::write(dir.path().join("a.urls"), "http://1\n").expect("written");
        fs::write(dir.path().join("a.certpath"), "/etc\n").expect("written");
        assert_eq!(shown(Some(None), &[], dir.path()), ["http://1", "http://2"]);
        assert_eq!(shown(Some(None), &[("DEBUGINFOD_URLS", "http://a")], dir.path()), ["http://a"]);
        assert_eq!(shown(None, &[], dir.path()), nobody);
    }

    #[test]
    fn the_cache_is_where_elfutils_has_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let of = |variables: &[(&str, &Path)]| {
            let variables: Vec<_> = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.as_os_str().to_owned()))
                .collect();
            cache(&move |name| Some(variables.iter().find(|(known, _)| known == name)?.1.clone()))
        };
        let home = ("HOME", dir.path());
        let (x, c, none) = (Path::new("/x"), Path::new("/c"), Path::new(""));
        assert_eq!(of(&[home]), dir.path().join(".cache/debuginfod_client"));
        assert_eq!(of(&[home, ("XDG_CACHE_HOME", x)]), Path::new("/x/debuginfod_client"));
        assert_eq!(of(&[home, ("XDG_CACHE_HOME", x), ("DEBUGINFOD_CACHE_PATH", c)]), c);
        assert_eq!(of(&[("DEBUGINFOD_CACHE_PATH", none)]), Path::new("/.cache/debuginfod_client"));
        fs::create_dir(dir.path().join(".debuginfod_client_cache")).expect("made");
        assert_eq!(of(&[home, ("XDG_CACHE_HOME", x)]), dir.path().join(".debuginfod_client_cache"));
    }

    #[test]
    fn bounds_are_those_of_the_environment_and_0_is_none() {
        let of = |variables| config(Vec::new(), &environment(variables), SystemTime::UNIX_EPOCH);
        let default = of(&[]).expect("a config");
        assert_eq!(default.timeout, Some(Duration::from_secs(90)));
        assert_eq!((default.time_a_file, default.size_at_most), (Some(Duration::from_secs(1200)), 4 << 30));
        let set = of(&[
            ("DEBUGINFOD_TIMEOUT", "5"),
            ("DEBUGINFOD_MAXTIME", "6"),
            ("DEBUGINFOD_MAXSIZE", "7"),
            ("DEBUGINFOD_RETRY_LIMIT", "8"),
        ]);
        let set = set.expect("a config");
        assert_eq!(
            (set.timeout, set.time_a_file),
            (Some(Duration::from_secs(5)), Some(Duration::from_secs(6)))
        );
        assert_eq!((set.size_at_most, set.retries), (7, 8));
        let none =
            of(&[("DEBUGINFOD_TIMEOUT", "-1"), ("DEBUGINFOD_MAXTIME", "0"), ("DEBUGINFOD_MAXSIZE", "0")]);
        let none = none.expect("a config");
        assert_eq!((none.timeout, none.time_a_file, none.size_at_most), (None, None, u64::MAX));
        let error = of(&[("DEBUGINFOD_TIMEOUT", "soon")]).expect_err("it is no number");
        assert_eq!(error.to_string(), "DEBUGINFOD_TIMEOUT is no number: soon");
    }

    #[test]
    fn headers_are_lines_and_a_bad_one_is_not_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("headers");
        fs::write(&file, "Authorization: Bearer abc:d\n  \nUser-Agent:x\n").expect("written");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("Authorization", "Bearer abc:d"), pair("User-Agent", "x")];
        assert_eq!(headers_of(&file).expect("headers"), expected);
        for bad in ["secret", ": secret", "a secret: x"] {
            fs::write(&file, format!("A: b\n{bad}\n")).expect("written");
            let error = headers_of(&file).expect_err("it is no header").to_string();
            assert!(error.ends_with("headers: line 2 is no header"), "{error}");
        }
        assert!(headers_of(Path::new("/nonexistent")).is_err());
    }
}
