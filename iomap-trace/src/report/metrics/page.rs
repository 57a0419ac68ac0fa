//! The counts as OpenMetrics text.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;

use super::counts::{Counts, Sums};
use crate::event::{HookReport, HookState, OutcomeKind, Phase, ProcessCost};
use crate::probe::is_loss;

/// The present state of a live run, which no record has.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// The programs' counters.
    pub counters: BTreeMap<String, u64>,
    /// Run time in nanoseconds and number of runs, by program; empty where it is not measured.
    pub cost: BTreeMap<String, (u64, u64)>,
    /// What the process used.
    pub process: Option<ProcessCost>,
    /// Bytes of the event log on disk, all parts of this run together.
    pub log_bytes: Option<u64>,
    /// Hooks that were shed.
    pub shed: Vec<String>,
    /// Hooks that wait for the first failure.
    pub waiting: Vec<&'static str>,
}

/// The counts and the present state as OpenMetrics text.
///
/// # Errors
/// Never, as long as the encoder takes what it is given.
pub fn page(counts: &Counts, present: Present) -> Result<String, fmt::Error> {
    let mut sums = counts.ended.clone();
    let losses = present.counters.iter().filter(|(name, _)| is_loss(name));
    let losses = losses.map(|(name, n)| (name.clone(), *n)).collect();
    let writes = present.counters.get("dio.writes").copied();
    sums.add(&losses, &present.cost, writes);
    let mut registry = Registry::with_prefix("iomap_trace");
    registry.register_collector(Box::new(Run {
        counts: counts.clone(),
        sums,
        shed: present.shed,
        waiting: present.waiting,
        log_bytes: present.log_bytes,
    }));
    let mut page = String::new();
    text::encode_registry(&mut page, &registry)?;
    // These have the names that every process has.
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process {
        cost: present.process,
        began_wall_ns: counts.began_wall_ns,
    }));
    text::encode(&mut page, &registry)?;
    Ok(page)
}

#[derive(Debug)]
struct Run {
    counts: Counts,
    sums: Sums,
    shed: Vec<String>,
    waiting: Vec<&'static str>,
    log_bytes: Option<u64>,
}

impl Collector for Run {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(&mut encoder);
        self.facts(&mut out)?;
        self.failures(&mut out)?;
        self.holds(&mut out)?;
        self.accounts(&mut out)
    }
}

impl Run {
    fn facts(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let Some(start) = &self.counts.start else {
            return Ok(());
        };
        let build = [
            ("version", start.version.as_str()),
            ("kernel", &start.kernel.release),
            ("arch", &start.kernel.arch),
            ("plan", &start.plan),
        ];
        out.infos("build", "What runs, and where", [build])?;
        let hooks = start.hooks.iter().map(|hook| self.hook(hook));
        let hooks: Vec<_> = hooks.collect();
        out.infos(
            "hook",
            "Hooks, with the probe of each or the reason why it has none",
            hooks.iter().map(|hook| hook.labels),
        )?;
        out.gauges(
            "hook_attached",
            "Whether the hook has a probe now",
            None,
            hooks
                .iter()
                .map(|hook| ([hook.labels[0]], u64::from(hook.attached))),
        )
    }

    fn hook<'a>(&'a self, hook: &'a HookReport) -> Hook<'a> {
        let shed = self.shed.contains(&hook.hook);
        let waits = self.waiting.contains(&hook.hook.as_str());
        let (state, reason) = match hook.state {
            HookState::Attached if shed => ("shed", "--max-overhead"),
            HookState::Attached if waits => ("waiting", "--standby"),
            HookState::Attached => ("attached", hook.reason.as_deref().unwrap_or_default()),
            HookState::Skipped => ("skipped", hook.reason.as_deref().unwrap_or_default()),
        };
        Hook {
            labels: [
                ("hook", &hook.hook),
                ("state", state),
                ("via", hook.via.as_deref().unwrap_or_default()),
                ("symbol", hook.symbol.as_deref().unwrap_or_default()),
                ("reason", reason),
            ],
            attached: state == "attached",
        }
    }

    fn failures(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let other = "other".to_owned();
        let counts = &self.counts;
        let rows = counts.failures.iter().map(|((cause, phase, fs, dev), n)| {
            let dev = dev.map_or_else(|| other.clone(), |dev| dev.to_string());
            let labels = [
                ("cause", cause.name().to_owned()),
                ("phase", phase_name(*phase).to_owned()),
                ("fs", fs.to_string()),
                ("device", dev),
            ];
            (labels, *n)
        });
        out.counters(
            "failures",
            "Failed invalidations by cause; phase post may have left stale data",
            None,
            rows,
        )?;
        let outcomes = OUTCOMES.iter().map(|(outcome, name)| {
            let n = counts.outcomes.get(outcome).copied();
            ([("outcome", *name)], n.unwrap_or_default())
        });
        out.counters("outcomes", "What became of the writes", None, outcomes)?;
        let none: [(&str, &str); 0] = [];
        out.counters(
            "self_inflicted_failures",
            "Failures that were the writer's own doing",
            None,
            [(none, counts.self_inflicted)],
        )?;
        out.counters(
            "withdrawn_failures",
            "Suspected failures that turned out to be none",
            None,
            [(none, counts.withdrawn)],
        )?;
        out.counters(
            "direct_writes",
            "Direct writes seen, failed or not",
            None,
            [(none, self.sums.direct_writes)],
        )
    }

    fn holds(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let mut encoder = out.0.encode_descriptor(
            "lock_hold",
            "How long file ranges were locked by those seen in the way, or near",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (kind, times) in [
            ("ordered-io", &self.counts.ordered_io),
            ("extent-lock", &self.counts.extent_lock),
        ] {
            encoder
                .encode_family(&[("kind", kind)])?
                .encode_histogram::<NoLabelSet>(
                    times.sum(),
                    times.count(),
                    &times.buckets(),
                    None,
                )?;
        }
        Ok(())
    }

    fn accounts(&self, out: &mut Out<'_, '_>) -> fmt::Result {
        let losses = self.sums.losses.iter();
        out.counters(
            "lost",
            "Records lost by probe: verdicts of that moment are not exact",
            None,
            losses.map(|(probe, n)| ([("probe", probe.as_str())], *n)),
        )?;
        let cost = || self.sums.cost.iter();
        out.counters(
            "bpf_run",
            "Run time of the BPF programs",
            Some(&Unit::Seconds),
            cost().map(|(program, (ns, _))| ([("program", program.as_str())], seconds(*ns))),
        )?;
        out.counters(
            "bpf_runs",
            "Runs of the BPF programs",
            None,
            cost().map(|(program, (_, runs))| ([("program", program.as_str())], *runs)),
        )?;
        let none: [(&str, &str); 0] = [];
        let bytes = self.log_bytes.map(|bytes| (none, bytes));
        out.counters(
            "log_written",
            "Bytes of the event log on disk",
            Some(&Unit::Bytes),
            bytes,
        )
    }
}

struct Hook<'a> {
    labels: [(&'static str, &'a str); 5],
    attached: bool,
}

#[derive(Debug)]
struct Process {
    cost: Option<ProcessCost>,
    began_wall_ns: u64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(&mut encoder);
        let none: [(&str, &str); 0] = [];
        out.gauges(
            "process_start_time",
            "When tracing began, since 1970",
            Some(&Unit::Seconds),
            [(none, seconds(self.began_wall_ns))],
        )?;
        let cost = self.cost;
        out.counters(
            "process_cpu",
            "CPU time of the tracer's process",
            Some(&Unit::Seconds),
            cost.map(|cost| (none, seconds(cost.cpu_ns))),
        )?;
        out.gauges(
            "process_resident_memory",
            "Memory of the tracer's process",
            Some(&Unit::Bytes),
            cost.map(|cost| (none, cost.rss_bytes)),
        )
    }
}

const OUTCOMES: [(OutcomeKind, &str); 4] = [
    (OutcomeKind::BufferedFallback, "buffered-fallback"),
    (OutcomeKind::StaleCache, "stale-cache"),
    (OutcomeKind::Error, "error"),
    (OutcomeKind::Unknown, "unknown"),
];

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pre => "pre",
        Phase::Map => "map",
        Phase::Post => "post",
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Writes families of metrics.
struct Out<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Out<'_, '_> {
    fn counters<L: EncodeLabelSet, N: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        rows: impl IntoIterator<Item = (L, N)>,
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, n) in rows {
            let exemplar: Option<&Exemplar<NoLabelSet, u64>> = None;
            encoder
                .encode_family(&labels)?
                .encode_counter(&n, exemplar)?;
        }
        Ok(())
    }

    fn gauges<L: EncodeLabelSet, N: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        rows: impl IntoIterator<Item = (L, N)>,
    ) -> fmt::Result {
        let kind = MetricType::Gauge;
        let mut encoder = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, n) in rows {
            encoder.encode_family(&labels)?.encode_gauge(&n)?;
        }
        Ok(())
    }

    fn infos<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = L>,
    ) -> fmt::Result {
        let kind = MetricType::Info;
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for labels in rows {
            encoder.encode_info(&labels)?;
        }
        Ok(())
    }
}
