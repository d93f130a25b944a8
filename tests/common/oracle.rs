//! Real perf: whether it is here, and what is said where it is not.
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

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
