//! The man pages: one for each command, with all sections, and nothing that a formatter minds.

use crate::dist::{Dist, files_in};
use crate::util;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// What every page has.
const SECTIONS: &[&str] = &[
    "NAME",
    "SYNOPSIS",
    "DESCRIPTION",
    "EXIT STATUS",
    "EXAMPLES",
    "SEE ALSO",
];
/// Formatters that know what is wrong with a page, as shell commands. Warnings go to standard output.
const FORMATTERS: &[(&str, &str)] = &[
    ("groff", "groff -man -Tutf8 -ww -z 2>&1"),
    // Its warnings are about empty lines that clap_mangen sets twice.
    ("mandoc", "mandoc -T lint -W error"),
];

/// Checks all pages, and gives the formatters that are not installed.
///
/// # Errors
/// When a page or a section is missing, or a formatter warns.
pub fn check(dist: &Dist) -> Result<Vec<&'static str>> {
    let pages = files_in(&dist.stage.join("man8"))?;
    let mut help = Command::new(&dist.packages.program);
    let help = util::output(help.arg("--help"))?;
    for command in commands(&help) {
        let page = format!("iomap-trace-{command}.8.gz");
        ensure!(
            pages.iter().any(|path| path.ends_with(&page)),
            "there is no man page {page}"
        );
    }
    for page in &pages {
        let text = through("cat", page)?;
        for section in SECTIONS {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            ensure!(
                heading.iter().any(|heading| text.contains(heading)),
                "{} has no section {section}: see iomap-trace/examples/manual/extra.rs",
                page.display()
            );
        }
    }
    let (there, missing): (Vec<_>, Vec<_>) = FORMATTERS
        .iter()
        .partition(|(name, _)| util::which(name).is_some());
    for (_, formatter) in there {
        for page in &pages {
            let warnings = through(formatter, page)?;
            ensure!(warnings.is_empty(), "{}: {warnings}", page.display());
        }
    }
    Ok(missing.iter().map(|(name, _)| *name).collect())
}

/// The commands in the output of `--help`, but for clap's `help`.
fn commands(help: &str) -> impl Iterator<Item = &str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .filter_map(|line| {
            line.strip_prefix("  ")
                .filter(|rest| !rest.starts_with(' '))
        })
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "help")
}

/// What the filter makes of the unpacked page.
fn through(filter: &str, page: &Path) -> Result<String> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("gzip -dc \"$0\" | {{ {filter}; }} || :")])
        .arg(page);
    util::output(&mut shell).with_context(|| format!("cannot format {}", page.display()))
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn commands_are_read_from_the_help() {
        let help = "\
Says why.

Commands:
  trace   Show each failure
  record  Write the event log, which has a long
          text
  help    Print this message

Options:
  -h  Print help";
        assert_eq!(commands(help).collect::<Vec<_>>(), ["trace", "record"]);
    }
}
