//! Metrics, as Prometheus scrapes them; the cost, and the hooks that are shed to keep to a limit.

use crate::harness::{Arg, Fs, Image, Repro, Tracer, run, skip, sleep_ms, tool, wait_until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Where a tracer serves its metrics.
pub fn address(tracer: &Tracer) -> String {
    let said = tracer.stderr();
    let line = said.lines().find(|line| line.contains("metrics: http://"));
    let line = line.unwrap_or_else(|| panic!("no address: {said}"));
    let (_, url) = line.split_once("http://").unwrap();
    url.strip_suffix("/metrics").unwrap().to_owned()
}

pub fn get(address: &str, header: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\n{header}\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let (head, page) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    page.to_owned()
}

/// A Prometheus of its own, killed at the end.
struct Prometheus {
    child: Child,
    at: String,
}

impl Prometheus {
    /// Lets it scrape `target` five times a second. `None` where there is none.
    fn scraping(target: &str, dir: &Path) -> Option<Self> {
        let config = format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n\
             - job_name: iomap-trace\n  static_configs:\n  - targets: ['{target}']\n"
        );
        std::fs::write(dir.join("prometheus.yml"), config).unwrap();
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let at = format!("127.0.0.1:{port}");
        let child = Command::new("prometheus")
            .arg(format!("--web.listen-address={at}"))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.join("data").display()
            ))
            .arg(format!(
                "--config.file={}",
                dir.join("prometheus.yml").display()
            ))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("prometheus.log")).unwrap())
            .spawn();
        match child {
            Ok(child) => Some(Self { child, at }),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => panic!("prometheus cannot be run: {error}"),
        }
    }

    /// The result of an instant query, by the value of `label`; `None` while it does not answer.
    fn query(&self, query: &str, label: &str) -> Option<BTreeMap<String, f64>> {
        let mut stream = TcpStream::connect(&self.at).ok()?;
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        write!(
            stream,
            "GET /api/v1/query?query={query} HTTP/1.0\r\nHost: x\r\n\r\n"
        )
        .ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        let (_, body) = said.split_once("\r\n\r\n")?;
        let body: Value = serde_json::from_str(body).ok()?;
        let rows = body["data"]["result"].as_array()?.iter().map(|row| {
            let name = row["metric"][label].as_str().unwrap_or_default();
            let value = row["value"][1].as_str().unwrap().parse().unwrap();
            (name.to_owned(), value)
        });
        Some(rows.collect())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn prometheus_scrapes_what_the_summary_says() {
    let image = Image::new(Fs::Xfs);
    let dir = tempfile::tempdir().unwrap();
    let log = image.beside("log.jsonl.zst");
    let args: [Arg<'_>; 7] = [
        &"record",
        &"-o",
        &log,
        &"--metrics",
        &"0",
        &"--dev",
        &image.dev(),
    ];
    let record = Tracer::start(&args);
    let target = address(&record);
    assert!(
        target.starts_with("127.0.0.1:"),
        "loopback by default: {target}"
    );
    let Some(prometheus) = Prometheus::scraping(&target, dir.path()) else {
        return skip("prometheus is not installed: run `cargo xtask setup`");
    };
    let one = |query: &str| {
        let rows = prometheus.query(query, "")?;
        rows.into_values().next()
    };
    wait_until("prometheus to scrape", || one("up") == Some(1.0));
    let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"30"]);
    sleep_ms(3000);
    drop(repro.stop());
    // What waits is decided, and scraped.
    sleep_ms(6000);
    let mut seen = BTreeMap::new();
    wait_until("prometheus to have scraped failures", || {
        let query = "sum by (cause) (iomap_trace_failures_total)";
        seen = prometheus.query(query, "cause").unwrap_or_default();
        !seen.is_empty()
    });
    assert_eq!(one("up"), Some(1.0), "the last scrape was good");
    let attached = one("iomap_trace_hook_attached{hook=\"invalidate\"}");
    assert_eq!(attached, Some(1.0));
    assert!(one("sum(iomap_trace_bpf_run_seconds_total)").unwrap() > 0.0);
    assert!(one("process_resident_memory_bytes").unwrap() > 1e6);
    assert!(one("process_cpu_seconds_total").unwrap() > 0.0);
    let rate = one("sum(rate(iomap_trace_failures_total[1m]))");
    assert!(rate.unwrap() > 0.0, "{rate:?}");
    let bytes = one("iomap_trace_log_written_bytes_total").unwrap();
    assert!(
        (1.0..=std::fs::metadata(&log).unwrap().len() as f64).contains(&bytes),
        "{bytes}"
    );
    let device = prometheus
        .query("iomap_trace_failures_total", "device")
        .unwrap();
    assert_eq!(
        device.keys().collect::<Vec<_>>(),
        [&image.dev().to_string()]
    );
    let page = include_str!("../../docs/fleet.md");
    let documented = page.split_once("```promql\n").unwrap().1;
    let documented = documented.split_once("```").unwrap().0;
    for query in documented.split("\n\n") {
        let lines = query.lines().filter(|line| !line.starts_with('#'));
        let query = lines.collect::<Vec<_>>().join(" ");
        assert!(prometheus.query(&query, "").is_some(), "{query}");
    }
    record.stop();
    let summary = run(&[&"report", &"--format", &"json", &log])
        .expect(0)
        .log();
    let causes = summary.summary()["causes"].as_object().unwrap();
    let causes: BTreeMap<_, _> = causes
        .iter()
        .map(|(cause, n)| (cause.clone(), n.as_f64().unwrap()))
        .collect();
    assert_eq!(seen, causes);
    assert!(causes.values().sum::<f64>() > 50.0, "{causes:?}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn promtool_finds_no_fault() {
    let tracer = Tracer::start(&[&"trace", &"--metrics", &"127.0.0.1:0"]);
    let page = get(&address(&tracer), "");
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(_) => return skip("promtool is not installed: run `cargo xtask setup`"),
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let said = child.wait_with_output().unwrap();
    let said = (
        said.status.success(),
        String::from_utf8_lossy(&said.stdout).into_owned(),
        String::from_utf8_lossy(&said.stderr).into_owned(),
    );
    assert_eq!(said, (true, String::new(), String::new()), "{page}");
    let open = get(
        &address(&tracer),
        "Accept: application/openmetrics-text\r\n",
    );
    assert!(open.ends_with("# EOF\n"), "{open}");
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn an_address_that_is_taken_is_an_error_before_anything_is_attached() {
    let first = Tracer::start(&[&"trace", &"--metrics", &"0"]);
    let second = run(&[&"trace", &"--metrics", &address(&first)]).expect(1);
    assert!(
        second.stderr.contains("choose another address"),
        "{}",
        second.stderr
    );
    assert!(!second.stderr.contains("hooks:"), "{}", second.stderr);
    assert_eq!(second.stderr.lines().count(), 1);
    let everywhere = run(&[&"trace", &"--metrics", &"0.0.0.0:0", &"--duration", &"0.1"]).expect(0);
    let warned = everywhere.stderr.matches("there is no password").count();
    assert_eq!(warned, 1, "{}", everywhere.stderr);
}

/// A limit that everything is over: hooks are shed one after the other, and what they would have
/// shown is missing in verdicts, which are exact no more.
#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_hook_that_is_shed_is_missing_evidence() {
    let image = Image::new(Fs::Xfs);
    let log = image.beside("log.jsonl");
    let args: [Arg<'_>; 7] = [
        &"record",
        &"-o",
        &log,
        &"--max-overhead",
        &"0.0001",
        &"--dev",
        &image.dev(),
    ];
    let record = Tracer::start(&args);
    let repro = Repro::start(&[&"mmap", &"--dir", &image.mnt(), &"--seconds", &"30"]);
    wait_until("hooks to be shed", || {
        let said = record.stderr();
        said.contains("goes on without dirty") && said.contains("goes on without cached")
    });
    sleep_ms(1500);
    drop(repro.stop());
    sleep_ms(1000);
    record.stop();
    tool("grep", &[&"-c", &"shed", &log]);
    let found = run(&[&"report", &"--format", &"json", &log])
        .expect(0)
        .log();
    let shed_at = |hook: &str| {
        let mut losses = found.of("loss").filter(|loss| loss["hook"] == hook);
        losses.next().unwrap()["since_ns"].as_u64().unwrap()
    };
    let both = shed_at("dirty").max(shed_at("cached"));
    let first = shed_at("dirty").min(shed_at("cached"));
    let (mut before, mut after) = (0, 0);
    for one in found.phase("pre") {
        let missing = one.verdict["evidence_missing"].as_array().unwrap();
        let has = |hook: &str| missing.iter().any(|missing| missing == hook);
        if one.number("ts_ns") > both {
            // A cause that was seen at the folio itself rests on neither.
            assert!(
                has("dirty") || one.cause() == "writeback",
                "{}",
                one.verdict
            );
            // That the folio was dirty was seen; who dirtied it was not.
            let exact = one.verdict["confidence"] == "exact";
            assert!(!exact || one.verdict["party"].is_null(), "{}", one.verdict);
            after += 1;
        } else if one.number("ts_ns") + 500_000_000 < first && one.verdict["confidence"] == "exact"
        {
            assert!(!has("dirty"), "{}", one.verdict);
            before += 1;
        }
    }
    assert!(before > 20 && after > 20, "{before} before, {after} after");
    let summary = found.summary();
    assert_eq!(summary["shed"]["dirty"], 1, "{summary}");
    assert_eq!(summary["losses"]["total"], 0, "{summary}");
    let programs = summary["cost"]["by_program"].as_object().unwrap();
    assert!(
        programs["page_dirtied"]["runs"].as_u64() > Some(0),
        "what it cost stays"
    );
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn each_second_tells_what_it_cost() {
    let live = run(&[&"trace", &"--format", &"json", &"--duration", &"3.5"]).expect(0);
    let log = live.log();
    let seconds: Vec<_> = log.of("cost").collect();
    assert!((2..=4).contains(&seconds.len()), "{seconds:?}");
    for second in seconds {
        assert!(second["bpf_percent"].as_f64() >= Some(0.0), "{second}");
        assert!(second["cpu_percent"].as_f64() < Some(100.0), "{second}");
        assert!(second["rss_bytes"].as_u64() > Some(1 << 20), "{second}");
    }
    let summary = &log.summary()["cost"]["process"];
    assert!(summary["cpu_ns"].as_u64() > Some(0), "{summary}");
}
