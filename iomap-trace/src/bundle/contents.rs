//! What goes into a bundle, and in which order it is made.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::check::check;
use super::messages::messages;
use super::names::Names;
use super::pack::Pack;
use super::redact::redact;
use super::target::{Target, reopened, rewound, scratch};
use crate::event::{Dev, Event, Mount};
use crate::log::{Reader, Writer};
use crate::report::{self, Format};

/// A log that goes into a bundle.
#[derive(Debug)]
pub struct Log {
    /// Its name, for messages and, unless names are replaced, for the bundle's list.
    pub name: String,
    /// Where it can be read, more than once.
    pub path: PathBuf,
}

/// What goes into a bundle beside its reports.
#[derive(Debug)]
pub struct Contents {
    /// Logs, at least one.
    pub logs: Vec<Log>,
    /// What `doctor --json` prints of this machine, or why that is not known.
    pub doctor: Result<String, String>,
    /// Boot id of this machine: its kernel's messages belong to logs of this boot.
    pub boot_id: String,
    /// The pseudonyms, if names are to be replaced; those of `doctor` were.
    pub names: Option<Names>,
}

/// One file of the bundle.
struct Part {
    name: String,
    what: &'static str,
    file: File,
    zstd: bool,
}

/// What the logs say of their machines.
#[derive(Default)]
struct Machines {
    boots: BTreeSet<String>,
    /// Devices with failures.
    devs: BTreeSet<Dev>,
    mounts: Vec<Mount>,
}

/// Makes all parts, looks through them if names were replaced, and packs them.
///
/// # Errors
/// When a log is none, a part cannot be written, or a name is left.
pub fn bundle(mut contents: Contents, target: &Target, status: &mut dyn Write) -> Result<()> {
    let mut maker = Maker {
        beside: target.path(),
        parts: Vec::new(),
        left_out: Vec::new(),
        machines: Machines::default(),
    };
    let logs = maker.logs(&contents.logs, contents.names.as_mut())?;
    maker.reports(&logs, status)?;
    maker.mounts()?;
    maker.doctor(contents.doctor)?;
    maker.messages(&contents.boot_id, contents.names.as_mut())?;
    maker.list(&contents.logs, contents.names.is_some())?;
    let Maker { mut parts, .. } = maker;
    if let Some(names) = &contents.names {
        for part in &mut parts {
            part.file.rewind()?;
            if part.zstd {
                check(&part.name, zstd::Decoder::new(&part.file)?, names)?;
            } else {
                check(&part.name, &part.file, names)?;
            }
        }
    }
    let mut pack = Pack::new(&target.file)?;
    for part in parts.iter_mut().rev() {
        let len = rewound(&mut part.file)?;
        pack.add(&part.name, len, (&part.file).take(len))?;
    }
    pack.finish()
}

struct Maker<'a> {
    beside: &'a Path,
    parts: Vec<Part>,
    left_out: Vec<String>,
    machines: Machines,
}

impl Maker<'_> {
    fn part(&mut self, name: &str, what: &'static str, text: &[u8]) -> Result<()> {
        let mut file = scratch(self.beside)?;
        file.write_all(text)
            .with_context(|| format!("{name} cannot be written"))?;
        self.keep(name, what, file, false);
        Ok(())
    }

    fn keep(&mut self, name: &str, what: &'static str, file: File, zstd: bool) {
        self.parts.push(Part {
            name: name.to_owned(),
            what,
            file,
            zstd,
        });
    }

    /// Copies the logs, record by record: what a damaged one has up to its damage. Returns what the
    /// copies are called in reports, and where they are.
    fn logs(
        &mut self,
        logs: &[Log],
        mut names: Option<&mut Names>,
    ) -> Result<Vec<(String, PathBuf)>> {
        let mut copies = Vec::new();
        for (at, log) in logs.iter().enumerate() {
            let name = format!("log-{}.jsonl.zst", at + 1);
            let mut reader = Reader::open(&log.path)?.ahead();
            let file = scratch(self.beside)?;
            let mut writer = Writer::new(file.try_clone()?, name.clone(), true)?;
            for event in reader.by_ref() {
                match event {
                    Ok(mut event) => {
                        self.machines.boots.extend(boot_of(&event));
                        if let Some(names) = &mut names {
                            redact(&mut event, names);
                        }
                        self.machines.event(&event);
                        writer.append(&event)?;
                    }
                    Err(_) => {
                        let why = format!("the rest of {name}, which is damaged");
                        self.left_out.push(why);
                        break;
                    }
                }
            }
            if reader.unknown() > 0 {
                let why = format!("{} records of kinds not known, of {name}", reader.unknown());
                self.left_out.push(why);
            }
            writer.finish()?;
            // A log is often named after its host.
            let shown = match names.is_some() {
                true => name.clone(),
                false => log.name.clone(),
            };
            copies.push((shown, reopened(&file)));
            self.keep(&name, "an event log", file, true);
        }
        Ok(copies)
    }

    /// All reports are made from the copies: where names were replaced, no report has ever seen them.
    fn reports(&mut self, logs: &[(String, PathBuf)], status: &mut dyn Write) -> Result<()> {
        let width = report::DEFAULT_WIDTH;
        let reports = [
            ("report.md", "the bug report", Format::Markdown),
            (
                "report.html",
                "the same as a page, with a timeline of all failures",
                Format::Html,
            ),
            (
                "timeline.txt",
                "the clearest failure of each kind, step by step",
                Format::Timeline { failure: None },
            ),
            (
                "report.txt",
                "every failure, and the sums",
                Format::Table { width },
            ),
            (
                "report.jsonl",
                "every record with the verdicts among them, and the sums",
                Format::Json,
            ),
        ];
        let mut nowhere = io::sink();
        for (name, what, format) in reports {
            let file = scratch(self.beside)?;
            let mut out = BufWriter::new(&file);
            let status: &mut dyn Write = match format {
                Format::Table { .. } => &mut *status,
                _ => &mut nowhere,
            };
            report::replay_named(logs, format, &mut out, status)
                .and_then(|()| Ok(out.flush()?))
                .with_context(|| format!("{name} cannot be made"))?;
            drop(out);
            self.keep(name, what, file, false);
        }
        Ok(())
    }

    fn mounts(&mut self) -> Result<()> {
        let machines = &self.machines;
        let concerned =
            |mount: &&Mount| machines.devs.is_empty() || machines.devs.contains(&mount.dev);
        let mounts: Vec<_> = machines.mounts.iter().filter(concerned).collect();
        let text = serde_json::to_string_pretty(&mounts)? + "\n";
        let what = "mounts of the filesystems with failures (of all, if there is none)";
        self.part("mounts.json", what, text.as_bytes())
    }

    fn doctor(&mut self, doctor: Result<String, String>) -> Result<()> {
        match doctor {
            Ok(text) => {
                let what = "what the kernel of the machine that packed this offers";
                self.part("doctor.json", what, text.as_bytes())
            }
            Err(why) => {
                self.left_out.push(format!("doctor.json: {why}"));
                Ok(())
            }
        }
    }

    fn messages(&mut self, boot_id: &str, names: Option<&mut Names>) -> Result<()> {
        let said = if self.machines.boots.contains(boot_id) {
            messages(names)
        } else {
            Err("no log is of the present boot of the machine that packed this".to_owned())
        };
        match said {
            Ok(text) => {
                let what = "what the kernel said of the page cache and of filesystems";
                self.part("kernel.txt", what, text.as_bytes())
            }
            Err(why) => {
                self.left_out.push(format!("kernel.txt: {why}"));
                Ok(())
            }
        }
    }

    /// The list of all parts, which comes first.
    fn list(&mut self, logs: &[Log], redacted: bool) -> Result<()> {
        let mut text = format!("Packed by iomap-trace {}.\n\n", env!("CARGO_PKG_VERSION"));
        // Writing to a String cannot fail.
        for part in self.parts.iter().rev() {
            let _ = writeln!(text, "{:<18} {}", part.name, part.what);
        }
        if redacted {
            text.push_str(
                "\nPaths, command names, arguments, cgroup ids and boot ids were replaced by \
                 pseudonyms,\nthe same name by the same one. The key is not kept. Numbers of \
                 processes, devices\nand inodes, times, sizes, and the kernel's release and build \
                 are the real ones.\n",
            );
        } else {
            text.push('\n');
            for (at, log) in logs.iter().enumerate() {
                let name = crate::text::printable(&log.name);
                let _ = writeln!(text, "log-{}: {name}", at + 1);
            }
        }
        if !self.left_out.is_empty() {
            text.push_str("\nLeft out:\n");
            for what in &self.left_out {
                let _ = writeln!(text, "- {what}");
            }
        }
        self.part("README.txt", "this list", text.as_bytes())
    }
}

fn boot_of(event: &Event) -> Option<String> {
    match event {
        Event::Start(start) => Some(start.boot_id.clone()),
        _ => None,
    }
}

impl Machines {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Start(start) => {
                for mount in &start.mounts {
                    if !self.mounts.contains(mount) {
                        self.mounts.push(mount.clone());
                    }
                }
            }
            Event::Failure(failure) => {
                self.devs.insert(failure.dev);
            }
            _ => {}
        }
    }
}
