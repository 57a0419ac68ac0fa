//! Whether all hooks that a plan must have on a kernel have a probe.

use super::super::log::Start;

/// The hooks that must have a probe.
fn expected(plan: &str, series: &str) -> Vec<&'static str> {
    let mut hooks = vec![
        "invalidate",
        "writeback-error",
        "cached",
        "dirty",
        "ordered",
        "extent-lock",
    ];
    if plan != "tracepoint" {
        hooks.extend(["release", "stale-warn"]);
    }
    // There were no tracepoints for direct I/O before.
    if plan != "tracepoint" || !["5.10", "6.1"].contains(&series) {
        hooks.push("dio");
    }
    hooks
}

/// What is wrong with the hooks of a run.
pub fn wrong(start: &Start, plan: &str, series: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !start.kernel.release.starts_with(&format!("{series}.")) {
        wrong.push(format!("the kernel calls itself {}", start.kernel.release));
    }
    if start.plan != plan {
        wrong.push(format!("the plan is {}", start.plan));
    }
    let expected = expected(plan, series);
    for hook in start.hooks.iter().filter(|hook| hook.state != "attached") {
        let why = hook.reason.as_deref().unwrap_or("no reason given");
        if expected.contains(&&*hook.hook) || why.contains("verifier") {
            wrong.push(format!("{} is not attached: {why}", hook.hook));
        }
    }
    for name in expected {
        if !start.hooks.iter().any(|hook| hook.hook == name) {
            wrong.push(format!("there is no hook {name}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::super::super::log::{Hook, KernelInfo};
    use super::*;

    fn start(hooks: &[(&str, &str, &str)]) -> Start {
        let hooks = hooks.iter().map(|(hook, state, reason)| Hook {
            hook: (*hook).to_owned(),
            state: (*state).to_owned(),
            reason: Some((*reason).to_owned()),
        });
        Start {
            kernel: KernelInfo {
                release: "5.10.0-32-cloud-amd64".to_owned(),
            },
            plan: "tracepoint".to_owned(),
            hooks: hooks.collect(),
            ..Start::default()
        }
    }

    #[test]
    fn what_is_missing_or_refused_is_named() {
        let mut hooks: Vec<_> = expected("tracepoint", "5.10")
            .into_iter()
            .map(|hook| (hook, "attached", ""))
            .collect();
        hooks.push(("dio", "skipped", "no such tracepoint"));
        assert!(wrong(&start(&hooks), "tracepoint", "5.10").is_empty());
        hooks[0] = ("invalidate", "skipped", "no such tracepoint");
        hooks[1].0 = "another";
        hooks.push(("release", "skipped", "the verifier refuses it: R1"));
        assert_eq!(
            wrong(&start(&hooks), "tracepoint", "5.10"),
            [
                "invalidate is not attached: no such tracepoint",
                "release is not attached: the verifier refuses it: R1",
                "there is no hook writeback-error"
            ]
        );
    }

    #[test]
    fn another_kernel_or_plan_proves_nothing() {
        let said = wrong(&start(&[]), "fexit", "5.1");
        assert!(said[0].contains("5.10.0-32") && said[1].contains("tracepoint"));
    }
}
