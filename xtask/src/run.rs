//! Runs programs: those that fail are errors, and the error says which it was.

use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};

/// Runs it, its output shown.
pub(crate) fn run(mut command: Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", line(&command)))?;
    if !status.success() {
        bail!("{}: {status}", line(&command));
    }
    Ok(())
}

/// Runs it, and returns what it wrote to standard output. Standard error is shown if it fails.
pub(crate) fn output(mut command: Command) -> anyhow::Result<Vec<u8>> {
    command.stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {}", line(&command)))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}", line(&command), output.status, messages.trim_end());
    }
    Ok(output.stdout)
}

/// A child's standard output, for the next one in the pipe.
pub(crate) fn stdout_of(child: &mut Child) -> anyhow::Result<Stdio> {
    Ok(child.stdout.take().context("it has no standard output")?.into())
}

/// The command as one would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// The word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_be_pasted_into_a_shell() {
        let mut command = Command::new("perf");
        command.args(["record", "-e", "{a,b}:S", "sh", "-c", "echo 'hi'", ""]);
        assert_eq!(line(&command), r"perf record -e '{a,b}:S' sh -c 'echo '\''hi'\''' ''");
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo oh no >&2; exit 3"]);
        let error = output(command).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("oh no"), "{error}");
    }
}
