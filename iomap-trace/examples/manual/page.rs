//! One man page: what clap knows of a command, and what it does not.

use clap::Command;
use clap_mangen::Man;
use roff::{Roff, bold, roman};
use std::io;

use crate::extra::{self, COPYRIGHT};

/// Administration: the program is run as root.
pub const SECTION: &str = "8";

/// The page of `command`, in roff. `others` are all the commands, for the references.
///
/// # Errors
/// Those of clap_mangen, which writes to memory only.
pub fn page<'a>(
    command: &Command,
    others: impl Iterator<Item = &'a Command>,
    date: &str,
) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .section(SECTION)
        .date(date)
        .source(format!("iomap-trace {version}"))
        .manual("System Administration");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out)?;
    }
    let mut rest = Roff::new();
    if let Some(help) = command.get_after_help().filter(|_| name != "iomap-trace") {
        rest.control("SH", ["NOTES"]);
        paragraphs(&mut rest, &help.to_string());
    }
    let extra = extra::of(command.get_name());
    definitions(&mut rest, "EXIT STATUS", extra.exit);
    definitions(&mut rest, "FILES", extra.files);
    examples(&mut rest, extra.examples);
    see_also(&mut rest, name, others);
    rest.control("SH", ["COPYRIGHT"]);
    paragraphs(&mut rest, COPYRIGHT);
    rest.to_writer(&mut out)?;
    Ok(out)
}

/// Text whose paragraphs have empty lines between them.
fn paragraphs(roff: &mut Roff, text: &str) {
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        for line in paragraph.lines() {
            roff.text([roman(line.trim())]);
        }
    }
}

fn definitions(roff: &mut Roff, heading: &str, items: &[(&str, &str)]) {
    if items.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for (term, meaning) in items {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
    }
}

fn examples(roff: &mut Roff, examples: &[(&str, &str)]) {
    if examples.is_empty() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]);
    for (number, (what, command)) in examples.iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*what)]);
        roff.control("PP", []);
        roff.control("RS", ["4"]);
        roff.control("nf", []);
        roff.text([bold(*command)]);
        roff.control("fi", []);
        roff.control("RE", []);
    }
}

/// References to the program's own page, or from it to all others.
fn see_also<'a>(roff: &mut Roff, name: &str, others: impl Iterator<Item = &'a Command>) {
    let names: Vec<_> = match name {
        "iomap-trace" => others.filter_map(Command::get_display_name).collect(),
        _ => vec!["iomap-trace"],
    };
    roff.control("SH", ["SEE ALSO"]);
    for (number, name) in names.iter().enumerate() {
        let end = if number + 1 < names.len() { "," } else { "" };
        roff.text([bold(*name), roman(format!("({SECTION}){end}"))]);
    }
}
