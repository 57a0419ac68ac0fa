use super::*;
use serde_json::json;

fn doctor(hooks: &[(&str, &str, &str)]) -> Value {
    let hooks: Vec<_> = hooks
        .iter()
        .map(|(hook, state, why)| json!({"hook": hook, "state": state, "reason": why}))
        .collect();
    json!({"kernel": {"release": "5.10.0-32-cloud-amd64"}, "hooks": hooks})
}

const ON_5_10: &[(&str, &str, &str)] = &[
    ("invalidate", "attached", ""),
    ("dio", "skipped", "a struct member is not known"),
    ("writeback-error", "attached", ""),
    ("cached", "attached", ""),
    ("dirty", "attached", ""),
];

#[test]
fn the_hooks_of_a_kernel_are_all_there() {
    let hooks = attached(&doctor(ON_5_10), "5.10").unwrap();
    assert_eq!(hooks, ["invalidate", "writeback-error", "cached", "dirty"]);
}

#[test]
fn a_hook_that_is_missing_or_refused_is_named() {
    let mut hooks = ON_5_10.to_vec();
    hooks[0] = ("invalidate", "skipped", "no such tracepoint");
    hooks[1].2 = "the verifier refuses it: R1 is no pointer";
    hooks.pop();
    assert_eq!(
        attached(&doctor(&hooks), "5.10").unwrap_err().to_string(),
        "invalidate is not attached (no such tracepoint), \
         dio is not attached (the verifier refuses it: R1 is no pointer), there is no hook dirty"
    );
}

#[test]
fn newer_kernels_have_more_hooks() {
    assert_eq!(expected("6.1").len(), 5);
    assert_eq!(expected("6.12").len(), 7);
    assert_eq!(expected("7.3"), expected("6.12"));
}

#[test]
fn another_kernel_proves_nothing() {
    let error = attached(&doctor(ON_5_10), "5.1").unwrap_err();
    assert!(error.to_string().contains("5.10.0-32"), "{error}");
}

#[test]
fn programs_must_be_gone() {
    assert_eq!(left_behind(1, 9, 1).unwrap(), "no program left");
    assert_eq!(left_behind(0, 0, 0).unwrap(), "programs cannot be counted");
    let error = left_behind(0, 8, 8).unwrap_err().to_string();
    assert_eq!(error, "8 are left in the kernel after the tracer's end");
}

#[test]
fn an_empty_directory_is_no_success() {
    let dir = std::env::temp_dir().join(format!("iomap-trace-judge-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let said = judge(&dir, "6.1").unwrap_err().to_string();
    std::fs::write(dir.join("doctor.status"), "4\n").unwrap();
    std::fs::write(dir.join("doctor.err"), "x\nerror: no BPF\n\n").unwrap();
    let more = judge(&dir, "6.1").unwrap_err().to_string();
    std::fs::remove_dir_all(&dir).unwrap();
    for what in [
        "doctor: cannot read",
        "xfs: ",
        "btrfs: ",
        "programs: cannot read",
    ] {
        assert!(said.contains(what), "{said}");
    }
    assert!(
        more.starts_with("doctor: exit status 4: error: no BPF; "),
        "{more}"
    );
}
