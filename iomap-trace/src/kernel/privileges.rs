//! What this process may do.

use anyhow::Result;
use serde::Serialize;

use super::Roots;
use crate::error::{ExitKind, Fail};

const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_SYSLOG: u32 = 34;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const CAP_CHECKPOINT_RESTORE: u32 = 40;

/// Inode of the first PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Effective capabilities, and the settings that limit BPF and symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Privileges {
    /// Effective user id is 0.
    pub root: bool,
    /// CAP_SYS_ADMIN.
    pub sys_admin: bool,
    /// CAP_BPF (since 5.8).
    pub bpf: bool,
    /// CAP_PERFMON (since 5.8).
    pub perfmon: bool,
    /// CAP_SYS_PTRACE: paths of other users' files, where their descriptors lead.
    pub sys_ptrace: bool,
    /// CAP_DAC_READ_SEARCH: paths of other users' files, the directory of their descriptors.
    pub dac_read_search: bool,
    /// CAP_CHECKPOINT_RESTORE (since 5.9): paths of files that are mapped and no longer open.
    pub checkpoint_restore: bool,
    /// CAP_SYSLOG: addresses of kernel symbols.
    pub syslog: bool,
    /// The process is in a user namespace of its own: its capabilities do not reach the kernel.
    pub user_namespace: bool,
    /// The process is in a PID namespace of its own: numbers of processes are not the kernel's.
    pub pid_namespace: bool,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged_bpf_disabled: Option<u32>,
    /// `kernel.kptr_restrict`.
    pub kptr_restrict: Option<u32>,
    /// `kernel.perf_event_paranoid`.
    pub perf_event_paranoid: Option<i32>,
    /// Kernel lockdown: `none`, `integrity`, `confidentiality`; absent without it.
    pub lockdown: Option<String>,
}

impl Privileges {
    /// Reads them for this process.
    pub fn read(roots: &Roots) -> Self {
        let status = roots.proc_text("self/status").unwrap_or_default();
        let line = |key: &str| status.lines().find_map(|l| l.strip_prefix(key));
        let effective = line("CapEff:").and_then(|v| u64::from_str_radix(v.trim(), 16).ok());
        let effective = effective.unwrap_or(0);
        let has = |capability: u32| effective >> capability & 1 == 1;
        let setting = |name: &str| roots.proc_text(&format!("sys/kernel/{name}"));
        let number = |name: &str| setting(name)?.parse().ok();
        Self {
            root: line("Uid:").and_then(|v| v.split_whitespace().nth(1)) == Some("0"),
            sys_admin: has(CAP_SYS_ADMIN),
            bpf: has(CAP_BPF),
            perfmon: has(CAP_PERFMON),
            sys_ptrace: has(CAP_SYS_PTRACE),
            dac_read_search: has(CAP_DAC_READ_SEARCH),
            checkpoint_restore: has(CAP_CHECKPOINT_RESTORE),
            syslog: has(CAP_SYSLOG),
            user_namespace: roots.proc_text("self/uid_map").is_some_and(|map| {
                map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
            }),
            pid_namespace: std::fs::read_link(roots.proc.join("self/ns/pid"))
                .is_ok_and(|namespace| namespace.as_os_str() != FIRST_PID_NAMESPACE),
            unprivileged_bpf_disabled: number("unprivileged_bpf_disabled"),
            kptr_restrict: number("kptr_restrict"),
            perf_event_paranoid: setting("perf_event_paranoid").and_then(|v| v.parse().ok()),
            lockdown: roots
                .sys_text("kernel/security/lockdown")
                .and_then(|text| selected(&text)),
        }
    }

    /// Whether tracing programs may be loaded; the error is one line with the remedy.
    pub fn check(&self) -> Result<()> {
        let fail = |kind, message| Err(Fail::error(kind, message));
        if !(self.sys_admin || self.bpf && self.perfmon) {
            let message = "iomap-trace needs root, or CAP_BPF and CAP_PERFMON: run it with sudo";
            return fail(ExitKind::Privileges, message);
        }
        if self.user_namespace {
            let message = "this is a user namespace, whose root may not load tracing programs: \
                run iomap-trace on the host";
            return fail(ExitKind::Privileges, message);
        }
        if self.lockdown.as_deref() == Some("confidentiality") {
            let message = "kernel lockdown is `confidentiality`, so BPF may not read kernel \
                memory: boot with lockdown=integrity or without it";
            return fail(ExitKind::NoProbe, message);
        }
        Ok(())
    }

    /// Whether this host lets nobody but `CAP_SYS_ADMIN` attach kprobes: Debian and Android have a level
    /// 3 of `kernel.perf_event_paranoid`, above those of the kernel itself.
    pub fn kprobes_want_admin(&self) -> bool {
        self.perf_event_paranoid.is_some_and(|level| level > 2)
    }

    /// What this process will not see although it may trace, a line each.
    pub fn limits(&self) -> Vec<String> {
        let lacking = |caps: &[(bool, &str)]| -> Vec<String> {
            let missing = caps.iter().filter(|(has, _)| !has);
            missing.map(|(_, name)| (*name).to_owned()).collect()
        };
        let mut limits = Vec::new();
        let paths = lacking(&[
            (self.sys_ptrace, "CAP_SYS_PTRACE"),
            (self.dac_read_search, "CAP_DAC_READ_SEARCH"),
        ]);
        if !paths.is_empty() {
            limits.push(format!(
                "no {}: paths of files that other users have open are not found",
                paths.join(", no ")
            ));
        }
        if !self.checkpoint_restore && !self.sys_admin {
            limits.push(
                "no CAP_CHECKPOINT_RESTORE: nor are those of files that are only mapped".to_owned(),
            );
        }
        if !self.syslog {
            limits.push(
                "no CAP_SYSLOG: kernel symbols may have no addresses, so functions that locked are \
                 not named, and the kernel's own warnings may not be counted"
                    .to_owned(),
            );
        }
        if self.pid_namespace {
            limits.push(
                "in a PID namespace: numbers of processes in the log are those of the first \
                 namespace, as on the host, and paths are not found"
                    .to_owned(),
            );
        }
        limits
    }

    /// The capabilities held that matter here, by name.
    pub fn held(&self) -> Vec<&'static str> {
        let all = [
            (self.sys_admin, "CAP_SYS_ADMIN"),
            (self.bpf, "CAP_BPF"),
            (self.perfmon, "CAP_PERFMON"),
            (self.sys_ptrace, "CAP_SYS_PTRACE"),
            (self.dac_read_search, "CAP_DAC_READ_SEARCH"),
            (self.checkpoint_restore, "CAP_CHECKPOINT_RESTORE"),
            (self.syslog, "CAP_SYSLOG"),
        ];
        let held = all.into_iter().filter(|(has, _)| *has);
        held.map(|(_, name)| name).collect()
    }
}

/// `none [integrity] confidentiality` is `integrity`.
fn selected(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(capabilities: u64, uid_map: &str, lockdown: &str) -> Privileges {
        read_in(FIRST_PID_NAMESPACE, capabilities, uid_map, lockdown)
    }

    fn read_in(
        pid_namespace: &str,
        capabilities: u64,
        uid_map: &str,
        lockdown: &str,
    ) -> Privileges {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots {
            btf: dir.path().join("btf"),
            proc: dir.path().join("proc"),
            sys: dir.path().join("sys"),
        };
        let write = |path: std::path::PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let status = format!("Name:\tx\nUid:\t1000\t0\t0\t0\nCapEff:\t{capabilities:016x}\n");
        write(roots.proc.join("self/status"), &status);
        write(roots.proc.join("self/uid_map"), uid_map);
        std::fs::create_dir(roots.proc.join("self/ns")).unwrap();
        let namespace = roots.proc.join("self/ns/pid");
        std::os::unix::fs::symlink(pid_namespace, namespace).unwrap();
        write(roots.proc.join("sys/kernel/kptr_restrict"), "1\n");
        write(roots.proc.join("sys/kernel/perf_event_paranoid"), "3\n");
        write(roots.sys.join("kernel/security/lockdown"), lockdown);
        Privileges::read(&roots)
    }

    const HOST: &str = "         0          0 4294967295\n";

    fn code(privileges: &Privileges) -> u8 {
        privileges.check().map_or_else(|e| Fail::code(&e), |()| 0)
    }

    #[test]
    fn who_may_trace() {
        assert_eq!(
            code(&read(u64::MAX, HOST, "[none] integrity confidentiality")),
            0
        );
        let some = 1 << CAP_BPF | 1 << CAP_PERFMON;
        let p = read(some, HOST, "none [integrity] confidentiality");
        assert_eq!((code(&p), p.lockdown.as_deref()), (0, Some("integrity")));
        assert_eq!(p.held(), ["CAP_BPF", "CAP_PERFMON"]);
        let limits = p.limits();
        assert_eq!(limits.len(), 3, "{limits:?}");
        assert!(limits[0].starts_with("no CAP_SYS_PTRACE, no CAP_DAC_READ_SEARCH: paths"));
        let all = read(u64::MAX, HOST, "");
        assert!(all.limits().is_empty() && all.checkpoint_restore);
        // As the kernel writes them for the three that tracing asks for.
        let three = read(0x0000_00c0_0008_0000, HOST, "");
        assert_eq!(three.held(), ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"]);
        assert!(three.limits()[0].starts_with("no CAP_DAC_READ_SEARCH: paths"));
        assert_eq!((p.root, p.kptr_restrict), (true, Some(1)));
        assert!(p.kprobes_want_admin() && !Privileges::default().kprobes_want_admin());
        assert_eq!(code(&read(1 << CAP_BPF, HOST, "")), 4);
        assert_eq!(code(&read(0, HOST, "")), 4);
        assert_eq!(code(&read(u64::MAX, "0 1000 1\n", "")), 4);
        assert_eq!(
            code(&read(u64::MAX, HOST, "none integrity [confidentiality]")),
            5
        );
        assert_eq!(code(&Privileges::default()), 4);
    }
    #[test]
    fn another_pid_namespace_is_said() {
        let host = read(u64::MAX, HOST, "");
        let container = read_in("pid:[4026532201]", u64::MAX, HOST, "");
        assert!(!host.pid_namespace && container.pid_namespace);
        assert_eq!(code(&container), 0, "it may trace all the same");
        assert!(container.limits()[0].starts_with("in a PID namespace"));
    }
}
