//! The queries of `docs/fleet.md`, run by DuckDB over the recorded logs, give what `report` gives.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Version of DuckDB, fetched from PyPI into a virtual environment.
const DUCKDB: &str = "2.0.0";

/// Runs what stands in `queries.json` and prints the rows of each query as a line of JSON.
const SCRIPT: &str = "
import duckdb, json
connection = duckdb.connect()
for query in json.load(open('queries.json')):
    print(json.dumps(connection.execute(query).fetchall(), default=str))
";

/// Recorded logs, one for each host: btrfs and others, all phases, several causes.
const LOGS: [&str; 5] = [
    "5.10-btrfs-buffered-fexit",
    "6.1-btrfs-lockers-fexit",
    "6.1-xfs-mmap-fexit",
    "6.12-ext4-aio-fexit",
    "7.3-btrfs-lockers-fexit",
];

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Python that has DuckDB, or why there is none.
fn duckdb() -> Result<PathBuf, String> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("duckdb");
    let python = dir.join("bin/python");
    let ok = |command: &mut Command| {
        let output = command.output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    };
    let version = |python: &Path| {
        ok(Command::new(python).args(["-c", "import duckdb; print(duckdb.__version__)"]))
    };
    if version(&python).as_deref() != Ok(DUCKDB) {
        ok(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&dir))?;
        let wanted = format!("duckdb=={DUCKDB}");
        ok(Command::new(&python)
            .args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
            .args(["--only-binary", ":all:", &wanted]))?;
        version(&python)?;
    }
    Ok(python)
}

/// The statements of the page's blocks of SQL.
fn statements(page: &str) -> Vec<String> {
    let blocks = page.split("```sql\n").skip(1);
    let blocks = blocks.map(|block| block.split("```").next().unwrap());
    let statements = blocks.flat_map(|block| block.split(';'));
    let statements = statements.map(str::trim).filter(|text| !text.is_empty());
    statements.map(str::to_owned).collect()
}

/// What `report --format json` prints.
fn report(log: &Path) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_iomap-trace"))
        .args(["report", "--format", "json"])
        .arg(log)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

type Counts = BTreeMap<(String, String), u64>;

/// Counts of a summary's object, by host and name, without zeros.
fn add(counts: &mut Counts, host: &str, object: &Value) {
    let object = object.as_object().unwrap().iter();
    let rows = object.map(|(name, n)| ((host.to_owned(), name.clone()), n.as_u64().unwrap()));
    counts.extend(rows.filter(|(_, n)| *n > 0));
}

/// Rows of host, name and count.
fn counted(rows: &Value) -> Counts {
    let rows = rows.as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| ((text(&row[0]), text(&row[1])), row[2].as_u64().unwrap()))
        .collect()
}

#[test]
fn duckdb_counts_as_the_report_does() {
    let python = match duckdb() {
        Ok(python) => python,
        Err(why) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "in CI nothing is skipped: {why}"
            );
            eprintln!("skipped: DuckDB cannot be had: {why}");
            return;
        }
    };
    let dir = tempfile::tempdir().unwrap();
    for name in ["logs", "verdicts"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let (mut causes, mut phases, mut outcomes) = Default::default();
    let (mut failures, mut locks) = (0, 0);
    for host in LOGS {
        let file = format!("{host}.jsonl.zst");
        let log = package().join("tests/fixtures").join(&file);
        fs::copy(&log, dir.path().join("logs").join(&file)).unwrap();
        let json = report(&log);
        let verdicts = zstd::encode_all(&*json, 1).unwrap();
        fs::write(dir.path().join("verdicts").join(&file), verdicts).unwrap();
        let records = json.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
        let records = records.map(|line| serde_json::from_slice::<Value>(line).unwrap());
        let records: Vec<_> = records.collect();
        let summary = records.last().unwrap();
        add(&mut causes, host, &summary["causes"]);
        add(&mut phases, host, &summary["failures"]);
        add(&mut outcomes, host, &summary["outcomes"]);
        let files = summary["files"].as_array().unwrap();
        let of_file = |file: &Value| ["pre", "map", "post"].map(|phase| file[phase].as_u64());
        failures += files.iter().flat_map(of_file).flatten().sum::<u64>();
        let held = |record: &&Value| {
            record["type"] == "holder"
                && record["locked_ns"].is_u64()
                && record["unlocked_ns"].is_u64()
        };
        locks += records.iter().filter(held).count() as u64;
    }
    let page = fs::read_to_string(package().join("docs/fleet.md")).unwrap();
    let statements = statements(&page);
    fs::write(
        dir.path().join("queries.json"),
        serde_json::to_vec(&statements).unwrap(),
    )
    .unwrap();
    let output = Command::new(python)
        .args(["-c", SCRIPT])
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let rows: Vec<Value> = lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(rows.len(), statements.len());
    // Two views, then the queries in the order of the page.
    assert_eq!(counted(&rows[2]), causes);
    assert_eq!(counted(&rows[3]), phases);
    assert_eq!(counted(&rows[4]), outcomes);
    let sum = |rows: &Value, column: usize| -> u64 {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row[column].as_u64().unwrap()).sum()
    };
    assert_eq!(
        sum(&rows[5], 5),
        failures,
        "no fixture has so many files that some are left out"
    );
    assert_eq!(sum(&rows[6], 1), locks);
    assert!(
        failures > 40 && locks > 100,
        "{failures} failures, {locks} locks"
    );
}
