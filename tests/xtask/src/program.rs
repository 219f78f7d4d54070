//! Running other people's programs.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use crate::failure::{Failure, Result};

/// Lines of a failed program's output that are repeated in the failure.
const TAIL: usize = 40;

/// Runs a program that talks to the reader itself.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(Failure::io(format!("run `{}`", line(command))))?;
    judge(command, status)
}

/// Runs a program beside others and puts this mark before each of its lines, so that the reader can tell them apart.
pub fn run_marked(command: &mut Command, mark: &str) -> Result<()> {
    let failure = |command: &Command| Failure::io(format!("run `{}`", line(command)));
    let (said, saying) = io::pipe().map_err(failure(command))?;
    let also_saying = saying.try_clone().map_err(failure(command))?;
    let mut child = command.stdout(saying).stderr(also_saying).spawn().map_err(failure(command))?;
    // What the command holds of the pipe would keep it open for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for text in BufReader::new(said).split(b'\n') {
        println!("{mark}{}", String::from_utf8_lossy(&text.map_err(failure(command))?));
    }
    let status = child.wait().map_err(failure(command))?;
    judge(command, status)
}

/// Runs a program and repeats the lines of its error output that the reader wants to see.
pub fn run_showing(command: &mut Command, is_wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    let failure = |command: &Command| Failure::io(format!("run `{}`", line(command)));
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(failure(command))?;
    for text in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let text = text.map_err(failure(command))?;
        if is_wanted(&text) {
            eprintln!("{text}");
        }
    }
    let status = child.wait().map_err(failure(command))?;
    judge(command, status)
}

/// Fails where a program did that has told the reader why.
fn judge(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::Program { line: line(command), status: status.to_string(), output: String::new() })
}

/// Runs a program quietly and returns what it printed, without surrounding white space.
pub fn capture(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(Failure::io(format!("run `{}`", line(command))))?;
    let said = String::from_utf8_lossy(&stdout).trim().to_owned();
    if status.success() {
        return Ok(said);
    }
    let output = tail(&format!("{said}\n{}", String::from_utf8_lossy(&stderr)), TAIL);
    Err(Failure::Program { line: line(command), status: status.to_string(), output })
}

/// The last lines of a text.
#[must_use]
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Where a program is: on the path, or where Debian puts servers, which an ordinary user's path leaves out.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// A cargo command that sees the environment the reader gave, not what `cargo run` added for this program:
/// build scripts that watch those variables would rebuild each time.
#[must_use]
pub fn cargo(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = text.starts_with("CARGO_PKG_")
            || matches!(
                &*text,
                "CARGO_MANIFEST_DIR"
                    | "CARGO_MANIFEST_PATH"
                    | "CARGO_CRATE_NAME"
                    | "CARGO_BIN_NAME"
                    | "CARGO"
            );
        if ours {
            command.env_remove(&name);
        }
    }
    command
}

/// The command line as a reader would type it. Secrets go through the environment, never through arguments.
fn line(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_repeats_the_end_of_what_the_program_said() {
        let failed = capture(Command::new("sh").args(["-c", "echo first; echo last >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(failed.contains("last") && failed.contains('3'), "{failed}");
    }

    #[test]
    fn what_is_marked_ends_and_may_fail() {
        let mut script = Command::new("sh");
        assert!(run_marked(script.args(["-c", "echo first; echo last >&2"]), "a | ").is_ok());
        let failed = run_marked(Command::new("sh").args(["-c", "exit 3"]), "b | ").unwrap_err().to_string();
        assert!(failed.contains('3'), "{failed}");
    }

    #[test]
    fn tail_keeps_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
    }
}
