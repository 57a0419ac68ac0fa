//! The same question to DuckDB, and to a plain Python program.

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{self, Run};
use crate::util;

/// Version of DuckDB.
const DUCKDB: &str = "2.0.0";
/// After this long a join is given up.
const LIMIT: Duration = Duration::from_secs(120);

/// What a join found: all three must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Refusals with a holder; `None` where one cannot tell.
    pub pairs: Option<u64>,
    /// Failures with a holder.
    pub failures: u64,
    /// Sum of the numbers of each failure's first holder.
    pub holders: u64,
}

impl Found {
    /// Whether both found the same, as far as both can tell.
    pub fn agrees(&self, other: &Self) -> bool {
        let pairs = self.pairs.is_none() || other.pairs.is_none() || self.pairs == other.pairs;
        pairs && self.failures == other.failures && self.holders == other.holders
    }
}

/// What a script prints.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(flatten)]
    found: Found,
    load_seconds: f64,
    join_seconds: f64,
    note: String,
}

/// One way to join.
#[derive(Clone, Debug, Serialize)]
pub struct Rival {
    /// Name.
    pub name: String,
    /// Versions and threads; or why it was skipped.
    pub note: String,
    /// What it found, unless it was skipped or took too long.
    pub found: Option<Found>,
    /// The whole process.
    pub run: Option<Run>,
    /// Seconds to read the log, where that can be told apart.
    pub load_seconds: Option<f64>,
    /// Seconds of the join alone, where that can be told apart.
    pub join_seconds: Option<f64>,
}

impl Rival {
    fn without(name: &str, why: String) -> Self {
        Self {
            name: name.to_owned(),
            note: why,
            found: None,
            run: None,
            load_seconds: None,
            join_seconds: None,
        }
    }
}

/// DuckDB and plain Python.
pub struct Rivals {
    scripts: PathBuf,
    /// The interpreter that has DuckDB, or why there is none.
    duckdb: Result<PathBuf, String>,
}

impl Rivals {
    /// Gets both ready below `dir`: DuckDB is fetched from PyPI into a virtual environment, once.
    ///
    /// # Errors
    /// When the scripts cannot be written. Without DuckDB its rows say why.
    pub fn new(dir: &Path, with_duckdb: bool) -> Result<Self> {
        let scripts = dir.join("scripts");
        fs::create_dir_all(&scripts)
            .with_context(|| format!("{} cannot be created", scripts.display()))?;
        for (name, text) in [
            ("load.sql", include_str!("load.sql")),
            ("join.sql", include_str!("join.sql")),
            ("join_duckdb.py", include_str!("join_duckdb.py")),
            ("join_python.py", include_str!("join_python.py")),
        ] {
            let path = scripts.join(name);
            fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        let duckdb = if with_duckdb {
            fetch(&dir.join("venv")).map_err(|error| format!("skipped: {error:#}"))
        } else {
            Err("skipped: --no-duckdb".to_owned())
        };
        Ok(Self { scripts, duckdb })
    }

    /// DuckDB's join of the plain log at `log`.
    pub fn duckdb(&self, log: &Path) -> Rival {
        let python = match &self.duckdb {
            Ok(python) => python,
            Err(why) => return Rival::without("DuckDB", why.clone()),
        };
        let mut command = Command::new(python);
        command.arg(self.scripts.join("join_duckdb.py")).arg(log);
        command.arg(self.scripts.join("load.sql"));
        command.arg(self.scripts.join("join.sql"));
        ask("DuckDB", &mut command)
    }

    /// Plain Python's join of the plain log at `log`.
    pub fn python(&self, log: &Path) -> Rival {
        let mut command = Command::new("python3");
        command.arg(self.scripts.join("join_python.py")).arg(log);
        ask("plain Python", &mut command)
    }
}

/// A virtual environment at `dir` with DuckDB in it.
fn fetch(dir: &Path) -> Result<PathBuf> {
    let python = dir.join("bin/python");
    let version = "import duckdb; print(duckdb.__version__)";
    let installed = |python: &Path| util::output(Command::new(python).args(["-c", version]));
    if !installed(&python).is_ok_and(|version| version == DUCKDB) {
        eprintln!("fetching DuckDB {DUCKDB} from PyPI");
        let mut venv = Command::new("python3");
        util::output(venv.args(["-m", "venv", "--clear"]).arg(dir))?;
        let wanted = format!("duckdb=={DUCKDB}");
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]);
        pip.args(["--only-binary", ":all:", &wanted]);
        util::output(&mut pip)?;
        installed(&python)?;
    }
    Ok(python)
}

fn ask(name: &str, command: &mut Command) -> Rival {
    asked(name, command).unwrap_or_else(|error| Rival::without(name, format!("failed: {error:#}")))
}

fn asked(name: &str, command: &mut Command) -> Result<Rival> {
    let mut said = None;
    let run = process::run_lines(command, LIMIT, |line| said = Some(line.to_owned()))?;
    let Some(run) = run else {
        let why = format!("given up after {} s", LIMIT.as_secs());
        return Ok(Rival::without(name, why));
    };
    let said = said.ok_or_else(|| anyhow!("it said nothing"))?;
    let said: Said = serde_json::from_str(&said).context("it did not print what it should")?;
    Ok(Rival {
        name: name.to_owned(),
        note: said.note,
        found: Some(said.found),
        run: Some(run),
        load_seconds: Some(said.load_seconds),
        join_seconds: Some(said.join_seconds),
    })
}

/// What this program's verdicts say, a line of `report --format json` at a time.
pub fn count(found: &mut Found, line: &str) {
    #[derive(Deserialize)]
    struct Verdict {
        holders: Vec<u64>,
    }
    if line.starts_with(r#"{"type":"verdict""#)
        && let Ok(verdict) = serde_json::from_str::<Verdict>(line)
        && let Some(first) = verdict.holders.first()
    {
        found.failures += 1;
        found.holders += first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_that_name_a_holder_are_counted() {
        let mut found = Found::default();
        for line in [
            r#"{"type":"verdict","failure":1,"holders":[31],"cause":"ordered-io"}"#,
            r#"{"type":"verdict","failure":2,"holders":[],"cause":"redirtied"}"#,
            r#"{"type":"verdict","failure":3,"holders":[7,9]}"#,
            r#"{"type":"holder","id":31}"#,
        ] {
            count(&mut found, line);
        }
        assert_eq!((found.failures, found.holders), (2, 38));
    }

    #[test]
    fn who_cannot_tell_the_pairs_agrees_on_them() {
        let all = Found {
            pairs: Some(9),
            failures: 4,
            holders: 10,
        };
        let some = Found { pairs: None, ..all };
        assert!(all.agrees(&some) && some.agrees(&all) && all.agrees(&all));
        assert!(!all.agrees(&Found {
            pairs: Some(8),
            ..all
        }));
        assert!(!some.agrees(&Found { holders: 11, ..all }));
    }
}
