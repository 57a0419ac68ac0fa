//! NDJSON of the tracer: a live run's, a log's or a report's.

use serde_json::Value;
use std::collections::HashMap;

/// Records in their order.
#[derive(Debug)]
pub struct Log {
    pub records: Vec<Value>,
}

/// A failure and its verdict.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub failure: &'a Value,
    pub verdict: &'a Value,
}

impl Log {
    /// Parses NDJSON.
    pub fn parse(bytes: &[u8]) -> Self {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
        let records = lines
            .map(|line| {
                serde_json::from_slice(line)
                    .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(line)))
            })
            .collect();
        Self { records }
    }

    /// Records of a type.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.records.iter().filter(move |r| r["type"] == kind)
    }

    /// All failures with their verdicts. Each must have exactly one.
    pub fn all(&self) -> Vec<Found<'_>> {
        let mut verdicts = HashMap::new();
        for verdict in self.of("verdict") {
            let again = verdicts.insert(verdict["failure"].as_u64().unwrap(), verdict);
            assert!(again.is_none(), "two verdicts: {verdict}");
        }
        self.of("failure")
            .map(|failure| Found {
                failure,
                verdict: verdicts
                    .get(&failure["id"].as_u64().unwrap())
                    .unwrap_or_else(|| panic!("no verdict for {failure}")),
            })
            .collect()
    }

    /// Failures that were not withdrawn.
    pub fn found(&self) -> Vec<Found<'_>> {
        let mut found = self.all();
        found.retain(|f| f.verdict["withdrawn"].is_null());
        found
    }

    /// As [`Log::found`], of one phase.
    pub fn phase(&self, phase: &str) -> Vec<Found<'_>> {
        let mut found = self.found();
        found.retain(|f| f.failure["phase"] == phase);
        found
    }

    /// The last record.
    pub fn summary(&self) -> &Value {
        let last = self.records.last().expect("there are records");
        assert_eq!(last["type"], "summary");
        last
    }

    /// Nothing may have been lost.
    pub fn assert_no_losses(&self) {
        let summary = self.summary();
        assert_eq!(summary["losses"]["total"], 0, "{}", summary["losses"]);
        assert_eq!(summary["unended"], 0);
    }
}

impl<'a> Found<'a> {
    /// A number of the failure record.
    pub fn number(&self, key: &str) -> u64 {
        self.failure[key]
            .as_u64()
            .unwrap_or_else(|| panic!("no {key} in {}", self.failure))
    }

    /// A text of the failure record.
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.failure[key].as_str()
    }

    /// Whether the failure record has a flag.
    pub fn has(&self, flag: &str) -> bool {
        self.failure["flags"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f == flag)
    }

    /// The verdict's cause.
    pub fn cause(&self) -> &'a str {
        self.verdict["cause"].as_str().unwrap()
    }

    /// Thread of the other party.
    pub fn party_tid(&self) -> Option<u64> {
        self.verdict["party"]["tid"].as_u64()
    }
}
