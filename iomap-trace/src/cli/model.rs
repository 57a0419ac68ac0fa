//! `iomap-trace model`

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::output;
use crate::correlate::{Confidence, Engine, Judged, Verdict};
use crate::event::{OutcomeKind, Phase};
use crate::reference::Policy;
use crate::reference::model::{Culprit, Degrade, Reason, Run, Scenario, Truth};
use crate::report::{DEFAULT_WIDTH, Row, Timeline, wrapped};

/// Arguments of `model`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without arguments: the interleaving of the mail that iomap-trace started from
(linux-fsdevel, May 2020), with the patch that it is about: a btrfs ordered
extent that the direct write's own flush made, and a fallback on EBUSY.
The times are the model's own; --seed N gives others.")]
pub struct Args {
    /// Who stands in the way of the direct write
    #[arg(long, value_enum, value_name = "KIND", default_value = "ordered-io")]
    culprit: Culprit,
    /// What the write path makes of it
    #[arg(long, value_enum, value_name = "P", default_value = "fallback")]
    policy: Policy,
    /// Seed of how long each step takes
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print the records that a tracer would have made, and the truth, as NDJSON
    #[arg(long)]
    json: bool,
}

/// Runs `model`.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let scenario = Scenario::directed(args.culprit, args.policy, args.seed);
    let run = scenario.play_in_words();
    let text = if args.json {
        json(&run)?
    } else {
        text(args, &scenario, &run)
    };
    output::write_all(io::stdout(), text.as_bytes())
        .context("cannot write the timeline to stdout")?;
    Ok(ExitCode::SUCCESS)
}

/// The records and the truths, an object a line.
fn json(run: &Run) -> Result<String> {
    let mut out = String::new();
    for event in run.events(Degrade::default()) {
        out.push_str(&serde_json::to_string(&event)?);
        out.push('\n');
    }
    for truth in &run.truths {
        out.push_str(&serde_json::to_string(truth)?);
        out.push('\n');
    }
    Ok(out)
}

fn text(args: &Args, scenario: &Scenario, run: &Run) -> String {
    let mut out = String::new();
    let mut say = |text: &str| {
        out.push_str(&wrapped(text, DEFAULT_WIDTH));
        out.push('\n');
    };
    let (culprit, policy) = (args.culprit, args.policy);
    say(&format!(
        "{} on {}, as Linux {} does it; policy {}: {}.",
        culprit.name(),
        scenario.fs().name(),
        scenario.kernel.name(),
        policy.name(),
        policy.source(),
    ));
    say(culprit.story());
    out.push('\n');
    out.push_str(&timeline(scenario, run).text());
    out.push('\n');
    let judged = judge(run);
    if run.truths.is_empty() {
        out.push_str("No invalidation failed that a tracer could tell of.\n");
    }
    for truth in &run.truths {
        let said = judged.iter().find(|j| j.failure.id == truth.failure);
        conclude(&mut out, truth, said);
    }
    out
}

fn timeline(scenario: &Scenario, run: &Run) -> Timeline {
    let used = |column| run.lines.iter().any(|line| line.column == column);
    let name = |column, name: &str| match used(column) {
        true => name.to_owned(),
        false => String::new(),
    };
    Timeline {
        parties: vec![
            name(0, "direct write"),
            name(1, "writeback"),
            name(2, "ordered I/O"),
            name(3, scenario.other()),
        ],
        rows: run
            .lines
            .iter()
            .map(|line| Row {
                ns: line.ns,
                column: line.column,
                text: line.text.clone(),
                marked: line.refused,
            })
            .collect(),
    }
}

fn judge(run: &Run) -> Vec<Judged> {
    let mut engine = Engine::new(&run.start);
    let mut judged = Vec::new();
    for event in run.events(Degrade::default()) {
        engine.push(event, &mut judged);
    }
    engine.finish(&mut judged);
    judged
}

/// The truth beside the verdict, and what became of the write.
fn conclude(out: &mut String, truth: &Truth, said: Option<&Judged>) {
    let mut line = |head: &str, text: &str| {
        let text = wrapped(text, DEFAULT_WIDTH - 9);
        for (number, text) in text.lines().enumerate() {
            let head = if number == 0 { head } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{head:<8} {text}");
        }
    };
    let phase = match truth.phase {
        Phase::Pre => "before it is submitted",
        Phase::Map => "while its range is mapped",
        Phase::Post => "after it completed",
    };
    line("failure", &format!("{}, {phase}", truth.failure));
    line("truth", &reasons(&truth.reasons));
    line(
        "engine",
        &said.map_or_else(|| "nothing".to_owned(), |j| verdict(&j.verdict)),
    );
    line("so", &outcome(truth));
}

fn reasons(reasons: &[Reason]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for reason in reasons {
        let mut text = reason.cause.name().to_owned();
        if let Some(tid) = reason.tid {
            let _ = write!(text, " by {}/{tid}", reason.comm);
        }
        if reason.self_inflicted {
            text.push_str(", self-inflicted");
        }
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts.join("; ")
}

fn verdict(verdict: &Verdict) -> String {
    let mut text = verdict.cause.name().to_owned();
    if let Some(party) = &verdict.party {
        let _ = write!(text, " by {}/{}", party.comm, party.tid);
    }
    if verdict.self_inflicted {
        text.push_str(", self-inflicted");
    }
    let sure = match verdict.confidence {
        Confidence::Exact => "exact",
        Confidence::Window => "window",
        Confidence::None => "none",
    };
    let _ = write!(text, " ({sure})");
    if let Some(reason) = &verdict.reason {
        let _ = write!(text, ": {reason}");
    }
    text
}

fn outcome(truth: &Truth) -> String {
    let what = match truth.outcome {
        OutcomeKind::BufferedFallback => "buffered-fallback: the write goes through the page cache",
        OutcomeKind::StaleCache => "stale-cache: the kernel warns, and the next fsync returns EIO",
        OutcomeKind::Error => "error: the write is not done",
        OutcomeKind::Unknown => "unknown",
    };
    let stale = if truth.stale {
        "; the page cache holds older data than the disk"
    } else {
        "; nothing in the page cache is older than the disk"
    };
    format!("{what}; it returns {}{stale}", truth.ret)
}
