//! The sections that clap knows nothing of: exit status, files and examples of each command.

/// What one page has besides the command line: pairs of a term and its meaning, and for examples of
/// a sentence and a command line.
pub struct Extra {
    /// Section EXIT STATUS.
    pub exit: &'static [(&'static str, &'static str)],
    /// Section FILES.
    pub files: &'static [(&'static str, &'static str)],
    /// Section EXAMPLES.
    pub examples: &'static [(&'static str, &'static str)],
}

/// The licence, as on the last page of a manual.
pub const COPYRIGHT: &str = "\
The program: MIT or Apache-2.0, at your option. The BPF programs in it: GPL-2.0 or MIT.
Of the libraries in it: /usr/share/doc/iomap-trace/THIRD-PARTY.";

/// Of commands that trace.
const TRACING: &[(&str, &str)] = &[
    ("0", "Done, whatever was found."),
    (
        "1",
        "An error; its one line on standard error says what to do.",
    ),
    ("2", "The command line cannot be used."),
    ("3", "Failures were found, and --fail-on asked for it."),
    (
        "4",
        "Not enough privileges: root, or CAP_BPF and CAP_PERFMON.",
    ),
    (
        "5",
        "This kernel offers no usable probe; iomap-trace-doctor(8) says why.",
    ),
];
/// Of commands that run a command.
const PASSING: &[(&str, &str)] = &[
    ("0", "The command succeeded."),
    ("1", "The command cannot be run, or the tracer failed."),
    ("2", "The command line cannot be used."),
    (
        "3",
        "The command succeeded, failures were found, and --fail-on asked for it.",
    ),
    ("4", "Not enough privileges; the command was not run."),
    (
        "5",
        "This kernel offers no usable probe; the command was not run.",
    ),
    (
        "any other",
        "The command's own status, or 128 plus the number of the signal that ended it.",
    ),
];
/// Of commands that need no kernel.
const PLAIN: &[(&str, &str)] = &[
    ("0", "Done."),
    (
        "1",
        "An error; its one line on standard error says what to do.",
    ),
    ("2", "The command line cannot be used."),
];
/// Of `compare`.
const COMPARING: &[(&str, &str)] = &[
    ("0", "Every invariant held."),
    ("1", "One was broken, or an error."),
    ("2", "The command line cannot be used."),
];
/// What is read from the running kernel; all of it is only read.
const KERNEL: &[(&str, &str)] = &[
    (
        "/sys/kernel/btf/",
        "Types of the kernel and of its modules: the offsets of all fields.",
    ),
    (
        "/sys/kernel/tracing/",
        "Which tracepoints there are, and their formats.",
    ),
    (
        "/proc/kallsyms",
        "Names for the addresses on stacks; needs CAP_SYSLOG.",
    ),
    (
        "/proc/self/mountinfo",
        "The mounted filesystems and their devices.",
    ),
];
/// What the commands write and read.
const LOG: &[(&str, &str)] = &[
    (
        "*.jsonl",
        "An event log: one JSON record a line, the format said by its first record.",
    ),
    (
        "*.jsonl.zst",
        "The same, compressed with zstd in frames: one that was cut short is readable.",
    ),
];

/// What there is to say of the command `name`. One that is new here has only its exit status.
pub fn of(name: &str) -> Extra {
    let (exit, files, examples): (_, _, &[_]) = match name {
        "iomap-trace" => (TRACING, KERNEL, ROOT),
        "trace" => (TRACING, KERNEL, TRACE),
        "record" => (TRACING, LOG, RECORD),
        "exec" => (PASSING, LOG, EXEC),
        "audit" => (PASSING, LOG, AUDIT),
        "report" => (PLAIN, LOG, REPORT),
        "bundle" => (TRACING, LOG, BUNDLE),
        "doctor" => (TRACING, KERNEL, DOCTOR),
        "repro" => (PLAIN, &[], REPRO),
        "model" => (PLAIN, &[], MODEL),
        "compare" => (COMPARING, &[], COMPARE),
        _ => (PLAIN, &[], &[]),
    };
    Extra {
        exit,
        files,
        examples,
    }
}

const ROOT: &[(&str, &str)] = &[
    ("What this kernel offers:", "iomap-trace doctor"),
    (
        "Watch a mounted filesystem for a minute:",
        "iomap-trace --path /mnt/data --duration 60",
    ),
    (
        "Keep everything for later, then look:",
        "\
iomap-trace record -o log.jsonl.zst
iomap-trace report log.jsonl.zst",
    ),
];
const TRACE: &[(&str, &str)] = &[
    (
        "One process, as NDJSON for a program:",
        "iomap-trace trace --pid 4711 --format json",
    ),
    (
        "Wait for the first failure anywhere:",
        "iomap-trace trace --count 1 --stacks",
    ),
];
const RECORD: &[(&str, &str)] = &[(
    "Ten minutes of one device:",
    "iomap-trace record --dev 254:0 --duration 600 -o log.jsonl.zst",
)];
const EXEC: &[(&str, &str)] = &[
    (
        "Trace one run of fio, and show rows:",
        "iomap-trace exec --format table -- fio job.fio",
    ),
    (
        "Keep the log, and fail when the page cache may be stale:",
        "iomap-trace exec -o log.jsonl.zst --fail-on stale -- make check",
    ),
];
const AUDIT: &[(&str, &str)] = &[(
    "Each test of a suite, for a continuous integration server:",
    "iomap-trace audit --junit audit.xml -- make check",
)];
const REPORT: &[(&str, &str)] = &[
    (
        "A complete bug report:",
        "iomap-trace report --format markdown log.jsonl.zst -o report.md",
    ),
    (
        "Several hosts at once:",
        "iomap-trace report host1.jsonl.zst host2.jsonl.zst",
    ),
];
const BUNDLE: &[(&str, &str)] = &[(
    "Everything for a bug report, without names:",
    "iomap-trace bundle --redact -o bug.tar.zst log.jsonl.zst",
)];
const DOCTOR: &[(&str, &str)] = &[
    ("For a program:", "iomap-trace doctor --json"),
    (
        "Without fexit and kprobes:",
        "iomap-trace doctor --probes tracepoint",
    ),
];
const REPRO: &[(&str, &str)] = &[(
    "Make failures, and see them:",
    "iomap-trace exec --format table -- iomap-trace repro mmap --dir /mnt/data --seconds 2",
)];
const MODEL: &[(&str, &str)] = &[(
    "An extent lock against iomap since 5.9:",
    "iomap-trace model --culprit extent-lock --policy enotblk",
)];
const COMPARE: &[(&str, &str)] = &[(
    "Two seconds for each policy:",
    "iomap-trace compare --dir /mnt/data --seconds 2",
)];
