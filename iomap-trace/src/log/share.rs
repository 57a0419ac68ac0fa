//! What of a run's sums falls into one part of its log.

use std::collections::BTreeMap;

use crate::event::{End, ProcessCost};

/// The sums of `total` since `base` was taken: those of a part add up to those of the run.
pub(super) fn since(total: &End, base: &End) -> End {
    let differ = |total: &BTreeMap<String, u64>, base: &BTreeMap<String, u64>| {
        let less = |(name, sum): (&String, &u64)| {
            let before = base.get(name).copied().unwrap_or_default();
            (name.clone(), sum.saturating_sub(before))
        };
        total.iter().map(less).collect::<BTreeMap<_, _>>()
    };
    let mut losses = differ(&total.losses, &base.losses);
    losses.retain(|_, lost| *lost > 0);
    let cost = total.cost.iter().map(|(program, (ns, runs))| {
        let (ns_before, runs_before) = base.cost.get(program).copied().unwrap_or_default();
        let share = (
            ns.saturating_sub(ns_before),
            runs.saturating_sub(runs_before),
        );
        (program.clone(), share)
    });
    End {
        ts_ns: total.ts_ns,
        why: total.why.clone(),
        counters: differ(&total.counters, &base.counters),
        losses,
        cost: cost.collect(),
        kernel_printed: total
            .kernel_printed
            .map(|sum| sum.saturating_sub(base.kernel_printed.unwrap_or_default())),
        clock: total.clock,
        process: total.process.map(|process| ProcessCost {
            cpu_ns: process
                .cpu_ns
                .saturating_sub(base.process.unwrap_or_default().cpu_ns),
            ..process
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(n: u64) -> End {
        End {
            ts_ns: n,
            why: "rotated".to_owned(),
            counters: BTreeMap::from([("dio.writes".to_owned(), n)]),
            losses: BTreeMap::from([("lock.lost".to_owned(), n / 100)]),
            cost: BTreeMap::from([("dio_begin".to_owned(), (n * 10, n))]),
            kernel_printed: Some(n / 10),
            clock: None,
            process: Some(ProcessCost {
                cpu_ns: n * 100,
                rss_bytes: 4 * n,
                peak_rss_bytes: 5 * n,
                bpf_measured_ns: None,
            }),
        }
    }

    #[test]
    fn parts_add_up_to_the_run() {
        let (first, second) = (
            since(&sums(120), &End::default()),
            since(&sums(150), &sums(120)),
        );
        assert_eq!(first, sums(120));
        assert_eq!(second.counters["dio.writes"], 30);
        assert!(second.losses.is_empty(), "none were lost in this part");
        assert_eq!(second.cost["dio_begin"], (300, 30));
        assert_eq!(second.kernel_printed, Some(3));
        assert_eq!(second.ts_ns, 150);
        let process = second.process.unwrap();
        assert_eq!((process.cpu_ns, process.peak_rss_bytes), (3000, 750));
    }
}
