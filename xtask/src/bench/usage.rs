//! The CPU time of a child, to the nanosecond where the kernel tells it. It is read when the child has ended and
//! nobody has waited for it: until then /proc/PID has all of it, and afterwards nothing.

use std::fs;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Whether a child has ended. It can be waited for, and read in /proc, as before.
pub(super) fn has_ended(child: &Child) -> anyhow::Result<bool> {
    Ok(state(child, WaitIdOptions::NOHANG)?.is_some())
}

/// Waits until a child has ended, and returns its user and system time.
pub(super) fn cpu_at_end(child: &Child) -> anyhow::Result<Duration> {
    state(child, WaitIdOptions::empty())?;
    let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", child.id()));
    let all = ticks(&read("stat")?).context("/proc/PID/stat is not as it should be")?;
    let all = Duration::from_secs_f64(all as f64 / clock_ticks_per_second() as f64);
    // Kernels without scheduler statistics have no such file. Where it is, it tells of the first thread alone.
    let first = read("schedstat").ok().and_then(|line| on_cpu(&line)).unwrap_or_default();
    Ok(all.max(first))
}

fn state(child: &Child, options: WaitIdOptions) -> anyhow::Result<Option<()>> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a child without a pid")?;
    let options = options | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(pid), options).context("cannot wait for it")?;
    ensure!(status.is_some() || options.contains(WaitIdOptions::NOHANG), "it was waited for in vain");
    Ok(status.map(|_| ()))
}

/// `utime` and `stime` of all threads in /proc/PID/stat, in ticks of the clock.
fn ticks(stat: &str) -> Option<u64> {
    // The name before them may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|field| field.parse::<u64>().ok());
    times.next()??.checked_add(times.next()??)
}

/// The first number of /proc/PID/schedstat: how long the first thread was on a CPU.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    Some(Duration::from_nanos(schedstat.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_times_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) Z 1 7 7 0 -1 4227084 108 0 0 0 31 12 5 6 20 0 1 0 4711 0 0";
        assert_eq!(ticks(stat), Some(43));
        assert_eq!(ticks("7 (cat) Z 1 7"), None);
        assert_eq!(on_cpu("1500000 23 4\n"), Some(Duration::from_micros(1500)));
        assert_eq!(on_cpu(""), None);
    }

    #[test]
    fn a_child_that_has_worked_has_cpu_time_and_can_still_be_waited_for() {
        let mut seq = Command::new("seq");
        let mut child = seq.arg("1000000").stdout(Stdio::null()).spawn().unwrap();
        assert!(cpu_at_end(&child).unwrap() > Duration::ZERO);
        assert!(has_ended(&child).unwrap());
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_child_that_waits_has_not_ended() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        assert!(!has_ended(&child).unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
