//! Writes the man pages and the shell completions of the program into a directory:
//! `cargo run --example manual -- DIRECTORY YYYY-MM-DD`. A part of `cargo xtask dist`.

mod extra;
mod page;

use anyhow::{Context, Result, bail};
use clap_complete::Shell;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("manual: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(directory), Some(date), None) = (args.next(), args.next(), args.next()) else {
        bail!("usage: manual DIRECTORY YYYY-MM-DD");
    };
    let directory = Path::new(&directory);
    pages(&directory.join("man8"), &date)?;
    completions(&directory.join("completions"))
}

/// A page for the program, and one for each of its commands.
fn pages(directory: &Path, date: &str) -> Result<()> {
    make(directory)?;
    // `help` has nothing to say in a manual.
    let mut root = iomap_trace::cli::command().disable_help_subcommand(true);
    root.build();
    let commands = root
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    for command in commands.chain([&root]) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let file = directory.join(format!("{name}.{}", page::SECTION));
        let others = root
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        write(&file, &page::page(command, others, date)?)?;
    }
    Ok(())
}

/// The files have the names under which the shells look for them.
fn completions(directory: &Path) -> Result<()> {
    make(directory)?;
    for (shell, file) in [
        (Shell::Bash, "iomap-trace"),
        (Shell::Zsh, "_iomap-trace"),
        (Shell::Fish, "iomap-trace.fish"),
    ] {
        let mut script = Vec::new();
        let mut command = iomap_trace::cli::command();
        clap_complete::generate(shell, &mut command, "iomap-trace", &mut script);
        write(&directory.join(file), &script)?;
    }
    Ok(())
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}
