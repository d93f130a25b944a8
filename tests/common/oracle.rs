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

/// Says that a test was left out, since perf may not record; in CI that is a failure.
pub fn cannot_record(said: &str) {
    assert!(std::env::var_os("CI").is_none(), "perf cannot record here: {said}");
    eprintln!("left out, since perf cannot record here: {said}");
}
