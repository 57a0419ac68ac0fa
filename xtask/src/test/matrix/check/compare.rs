//! Whether the kernel and the reference were compared, and every invariant held.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Columns: the kernel, and five policies.
const COLUMNS: usize = 6;

/// What `iomap-trace compare --json` printed.
#[derive(Debug, Deserialize)]
pub struct Compared {
    columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
struct Column {
    column: String,
    direct: Direct,
    data: Data,
    violations: Vec<serde_json::Value>,
    traced: Option<Traced>,
    notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Direct {
    writes: u64,
}

#[derive(Debug, Deserialize)]
struct Data {
    acknowledged: u64,
}

#[derive(Debug, Deserialize)]
struct Traced {
    pre: u64,
    map: u64,
    post: u64,
    causes: BTreeMap<String, u64>,
    self_inflicted: u64,
    direct_writes: Option<u64>,
}

/// Reads it.
///
/// # Errors
/// When it is something else.
pub fn read(text: &str) -> Result<Compared> {
    serde_json::from_str(text).context("it printed no comparison")
}

impl Compared {
    /// What is not as it should be.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.columns.len() != COLUMNS {
            wrong.push(format!("{} columns, not {COLUMNS}", self.columns.len()));
        }
        for column in &self.columns {
            let name = &column.column;
            if column.direct.writes == 0 || column.data.acknowledged == 0 {
                wrong.push(format!("{name}: nothing was written"));
            }
            if name == "kernel" && column.traced.is_none() {
                wrong.push(format!("{name}: {}", column.notes.join("; ")));
            }
            let broken = column.violations.iter();
            wrong.extend(broken.map(|violation| format!("{name}: {violation}")));
        }
        wrong
    }

    /// What the kernel's column saw. How often a race is lost in a second is no matter of right or
    /// wrong.
    pub fn told(&self) -> String {
        let traced = self.columns.iter().find_map(|column| {
            let traced = column.traced.as_ref()?;
            Some((column.direct.writes, traced))
        });
        let Some((writes, traced)) = traced else {
            return "the kernel was not traced".to_owned();
        };
        let Traced {
            pre,
            map,
            post,
            self_inflicted,
            ..
        } = traced;
        let causes = traced.causes.iter();
        let causes: Vec<_> = causes.map(|(cause, n)| format!("{cause} {n}")).collect();
        let causes = match causes.as_slice() {
            [] => String::new(),
            some => format!(" ({}; {self_inflicted} self-inflicted)", some.join(", ")),
        };
        let direct = match traced.direct_writes {
            Some(0) => ", all silently buffered",
            _ => "",
        };
        format!("{writes} direct writes{direct}, failures pre {pre} map {map} post {post}{causes}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, traced: &str, violations: &str) -> String {
        format!(
            r#"{{"column":"{name}","direct":{{"writes":7}},"data":{{"acknowledged":9}},
                "violations":{violations},"traced":{traced},"notes":["no BPF"]}}"#
        )
    }

    #[test]
    fn a_broken_invariant_is_a_fault_and_failures_are_told() {
        let traced = r#"{"pre":3,"map":0,"post":1,"causes":{"ordered-io":4},
            "self_inflicted":2,"direct_writes":7}"#;
        let all = |first: String, last: String| {
            let middle: Vec<_> = (0..4).map(|_| column("warn", "null", "[]")).collect();
            let text = format!(r#"{{"columns":[{first},{},{last}]}}"#, middle.join(","));
            read(&text).unwrap()
        };
        let good = all(
            column("kernel", traced, "[]"),
            column("strict", "null", "[]"),
        );
        assert_eq!(good.wrong(), Vec::<String>::new());
        assert_eq!(
            good.told(),
            "7 direct writes, failures pre 3 map 0 post 1 (ordered-io 4; 2 self-inflicted)"
        );
        let bad = all(
            column("kernel", "null", "[]"),
            column("strict", "null", r#"[{"broken":"lost"}]"#),
        );
        let wrong = [r"kernel: no BPF", r#"strict: {"broken":"lost"}"#];
        assert_eq!(bad.wrong(), wrong);
        assert!(read("").is_err());
    }
}
