//! `target/up/env`: what `up` started, as lines for a shell.

use std::fmt::Write as _;
use std::path::Path;

use xtask::cluster::write_private;
use xtask::failure::Result;

/// Writes `export NAME='value'` lines that only their owner may read.
pub fn write(file: &Path, variables: &[(&str, String)]) -> Result<()> {
    let text = variables.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "export {name}={}", quote(value));
        text
    });
    write_private(file, &text)
}

/// Reads the value of one variable from the text of such a file.
pub fn read(text: &str, name: &str) -> Option<String> {
    let value =
        text.lines().find_map(|line| line.strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.strip_prefix('\'')?.strip_suffix('\'')?.replace(r"'\''", "'"))
}

/// A word that a shell takes literally.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn shell_and_we_read_what_was_written() {
        let file = std::env::temp_dir().join(format!("quote-collab-env-{}", std::process::id()));
        let value = r#"it's "$HOME" \ `id` & more"#;
        write(&file, &[("FIRST", "1".to_owned()), ("JWT_SECRET", value.to_owned())]).unwrap();
        let shell = Command::new("sh")
            .arg("-c")
            .arg(format!(". {}; printf %s \"$JWT_SECRET\"", file.display()))
            .output();
        assert_eq!(String::from_utf8(shell.unwrap().stdout).unwrap(), value);
        assert_eq!(read(&std::fs::read_to_string(&file).unwrap(), "JWT_SECRET").as_deref(), Some(value));
        std::fs::remove_file(&file).unwrap();
    }
}
