//! Scripts of `tests/clients`: the npm packages and the browser that users have. A script prints one JSON value a line.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use xtask::process::Identity;

use crate::built;
use crate::patience::within;
use crate::scratch::Scratch;

/// A script that was asked to end closes its browser first.
const CLOSING: Duration = Duration::from_secs(5);

/// A running script, ended when dropped.
#[derive(Debug)]
pub struct Node {
    script: String,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    scratch: Scratch,
}

/// Starts a script of `tests/clients` with arguments and further variables in its environment.
#[must_use]
pub fn node(script: &str, args: &[&str], env: &[(&str, &str)]) -> Node {
    let scratch = Scratch::make("node");
    let errors = std::fs::File::create(scratch.path().join("stderr"))
        .expect("a file for what the script complains about");
    let mut command = Command::new("node");
    command.arg(built::clients().join(script)).args(args).envs(env.iter().copied());
    command.env("CHROMIUM", built::chromium()).current_dir(built::clients()).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
    let mut child = command.spawn().expect("node starts");
    let stdin = child.stdin.take().expect("its input is a pipe");
    let stdout = child.stdout.take().expect("its output is a pipe");
    Node { script: script.to_owned(), child, stdin, lines: BufReader::new(stdout).lines(), scratch }
}

impl Node {
    /// The next value that the script prints; `None` when it ended.
    pub async fn try_next(&mut self) -> Option<Value> {
        let what = format!("a line from {}", self.script);
        let line = within(&what, self.lines.next_line()).await.expect("the script's output is text")?;
        Some(
            serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{} printed {line:?}: {error}", self.script)),
        )
    }

    /// The next value that the script prints.
    pub async fn next(&mut self) -> Value {
        match self.try_next().await {
            Some(value) => value,
            None => panic!("{} ended:\n{}", self.script, self.complaints()),
        }
    }

    /// The next value that satisfies a condition; those before it are passed over.
    pub async fn next_where(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = self.next().await;
            if is_wanted(&value) {
                return value;
            }
        }
    }

    /// Writes one JSON value as a line to the script.
    pub async fn tell(&mut self, value: &Value) {
        let line = format!("{value}\n");
        within("the script reads", self.stdin.write_all(line.as_bytes()))
            .await
            .expect("the script reads its input");
    }

    /// What the script wrote to its error output.
    #[must_use]
    pub fn complaints(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = std::fs::File::open(self.scratch.path().join("stderr")) {
            let _ = file.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} said:\n{}", self.script, self.complaints());
        }
        let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
        if let Some(process) = Identity::of(pid) {
            process.signal(Signal::TERM);
            let _ = process.wait_gone(CLOSING, &|| false);
        }
        if let Some(group) = Pid::from_raw(pid) {
            // Fails when nobody of the group is left, which is what we want.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
