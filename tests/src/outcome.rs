//! What a command came to.

use serde_json::Value;

/// Exit code, output and memory of a command that ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was typed.
    pub typed: String,
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// The most memory it had at once, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
}

impl Outcome {
    /// Standard output as text.
    ///
    /// # Panics
    ///
    /// Where it is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("standard output is UTF-8")
    }

    /// Asserts the exit code, showing everything where it is another.
    #[track_caller]
    #[must_use]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}\n{self}");
        self
    }

    /// Asserts that standard error says something.
    #[track_caller]
    #[must_use]
    pub fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "standard error does not say `{words}`\n{self}");
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is not JSON: {error}\n{self}"))
    }

    /// Standard output as one JSON value a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self}"))
        };
        self.text().lines().map(parse).collect()
    }

    /// Everything it printed.
    pub fn all(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stdout), self.stderr)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = |text: &str| -> String {
            let mut short: String = text.chars().take(6000).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            short
        };
        writeln!(f, "$ {}\nexit code: {:?}", self.typed, self.code)?;
        writeln!(f, "--- standard output\n{}", cut(&String::from_utf8_lossy(&self.stdout)))?;
        write!(f, "--- standard error\n{}", cut(&self.stderr))
    }
}
