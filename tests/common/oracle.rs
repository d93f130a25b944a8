//! Real perf: whether it is here, and what is said where it is not.
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

use std::ffi::OsString;
use std::process::Command;

/// Whether perf is here. Where it is not, a test that needs it says that it was left out; in CI that is a failure.
pub fn perf_is_here(test: &str) -> bool {
    let here = Command::new("perf").arg("version").output().is_ok_and(|output| output.status.success());
    assert!(here || std::env::var_os("CI").is_none(), "perf is missing: CI has to install linux-perf");
    if !here {
        eprintln!("left out, since perf is missing: {test}");
    }
    here
}

/// A perf whose lists are sorted by name and in which call chains hit, as those of 7.3 are: the one that the environment
/// variable `PERF73` names, or the one of the PATH if it is as new. Where there is none, a test that wants it says so.
pub fn perf_from_7_on(test: &str) -> Option<OsString> {
    let named = std::env::var_os("PERF73");
    if named.is_none() && major_version().is_none_or(|version| version < 7) {
        eprintln!("left out, since perf is older than 7 and PERF73 names no other: {test}");
        return None;
    }
    Some(named.unwrap_or_else(|| "perf".into()))
}

/// The first number of the version of the PATH's perf.
fn major_version() -> Option<u32> {
    let output = Command::new("perf").arg("version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.strip_prefix("perf version ")?.split('.').next()?.parse().ok()
}

/// Whether readelf and addr2line are here. Where they are not, a test that needs them says that it was left out; in CI
/// that is a failure.
pub fn binutils_are_here(test: &str) -> bool {
    let is_here =
        |name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let here = is_here("readelf") && is_here("addr2line");
    assert!(here || std::env::var_os("CI").is_none(), "binutils are missing: CI has to install them");
    if !here {
        eprintln!("left out, since binutils are missing: {test}");
    }
    here
}

/// Says that a test was left out, since perf may not record; in CI that is a failure.
pub fn cannot_record(said: &str) {
    assert!(std::env::var_os("CI").is_none(), "perf cannot record here: {said}");
    eprintln!("left out, since perf cannot record here: {said}");
}

/// Says that a case was left out, since this machine does not let it be set up (mounts, namespaces); in CI that is a
/// failure.
pub fn cannot_set_up(case: &str, said: &str) {
    assert!(std::env::var_os("CI").is_none(), "{case}: it cannot be set up here: {said}");
    eprintln!("left out, since it cannot be set up here: {case}: {}", said.trim_end());
}
