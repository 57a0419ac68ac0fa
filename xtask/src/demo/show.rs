//! One filesystem: the reproducer under the tracer, the first rows of the live table, the report.

use super::root::give_back;
use crate::{signal, util};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Lines of the live table that are shown.
const LINES: usize = 14;

/// What is the same for each filesystem.
pub struct Show<'a> {
    /// The `iomap-trace` program.
    pub program: &'a Path,
    /// Where logs and reports go.
    pub out: &'a Path,
    /// Seconds of work.
    pub seconds: u32,
}

impl Show<'_> {
    /// Runs the reproducer in `dir` under the tracer and leaves `NAME.jsonl.zst` and `NAME.txt`.
    ///
    /// # Errors
    /// When the tracer or the reproducer fails, or the log cannot be reported.
    pub fn filesystem(&self, name: &str, dir: &Path) -> Result<()> {
        println!(
            "\n=== {name}: {} s of mmap dirtiers against direct writers",
            self.seconds
        );
        let log = self.out.join(format!("{name}.jsonl.zst"));
        let said = self.out.join(format!("{name}.repro.txt"));
        let mut tracer = Command::new(self.program);
        tracer
            .args(["exec", "--format", "table", "-o"])
            .arg(&log)
            .arg("--");
        // The reproducer's own words go to a file: this is the tracer's table.
        tracer.args(["sh", "-c", "out=$1; shift; exec \"$@\" >\"$out\"", "sh"]);
        tracer
            .arg(&said)
            .arg(self.program)
            .args(["repro", "mmap", "--dir"])
            .arg(dir);
        tracer.args(["--seconds", &self.seconds.to_string()]);
        let mut child = tracer
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if let Some(table) = child.stdout.take() {
            head(BufReader::new(table), LINES, &mut std::io::stdout())?;
        }
        let status = child.wait()?;
        let report = self.out.join(format!("{name}.txt"));
        if !signal::interrupted() {
            ensure!(
                status.success(),
                "`{}` failed: {status}",
                util::typed(&tracer)
            );
            self.report(&log, &report)?;
        }
        for file in [&log, &said, &report] {
            give_back(file);
        }
        Ok(())
    }

    fn report(&self, log: &Path, report: &Path) -> Result<()> {
        let file =
            File::create(report).with_context(|| format!("cannot make {}", report.display()))?;
        let mut command = Command::new(self.program);
        util::run(command.arg("report").arg(log).stdout(file))?;
        println!("log {}, report {}", log.display(), report.display());
        Ok(())
    }
}

/// Copies the first `lines` of a text, and says when there are more: at once, because the tracer's
/// summary on standard error follows the last. Reads to the end, so that the writer is never held up.
fn head(text: impl BufRead, lines: usize, to: &mut impl Write) -> Result<()> {
    for (at, line) in text.split(b'\n').enumerate() {
        let line = line.context("cannot read the live table")?;
        if at < lines {
            to.write_all(&line)?;
            to.write_all(b"\n")?;
        } else if at == lines {
            writeln!(to, "... (the log has all rows)")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::head;

    fn headed(text: &str) -> String {
        let mut out = Vec::new();
        head(text.as_bytes(), 2, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shows_the_head_and_says_that_there_is_more() {
        assert_eq!(headed("a\nb\nc\nd\n"), "a\nb\n... (the log has all rows)\n");
        assert_eq!(headed("a\n"), "a\n");
        assert_eq!(headed(""), "");
    }
}
