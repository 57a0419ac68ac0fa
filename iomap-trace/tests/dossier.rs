//! The long reports of recorded logs: timelines for a mail, and the bug report.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use clap::Parser;
use iomap_trace::cli::report;
use iomap_trace::report::{Format, replay};
use std::fs;
use std::path::{Path, PathBuf};

const CLEAREST: Format = Format::Timeline { failure: None };

/// Logs of five kernels, with most causes between them, all three plans and four filesystems' ways.
const SHOWN: [&str; 6] = [
    "5.10-btrfs-buffered-fexit",
    "6.1-btrfs-lockers-tracepoint",
    "6.1-xfs-mmap-fexit",
    "6.12-ext4-aio-fexit",
    "7.2-btrfs-lockers-fexit",
    "7.3-btrfs-mmap-fexit",
];

fn fixture(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    directory.join(format!("{name}.jsonl.zst"))
}

fn report_of(logs: &[PathBuf], format: Format) -> String {
    let (mut out, mut status) = (Vec::new(), Vec::new());
    replay(logs, format, &mut out, &mut status).unwrap();
    assert_eq!(String::from_utf8(status).unwrap(), "");
    String::from_utf8(out).unwrap()
}

#[test]
fn reports_of_recorded_logs() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("dossier/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        for name in SHOWN {
            let log = [fixture(name)];
            insta::assert_snapshot!(format!("{name}.timeline"), report_of(&log, CLEAREST));
            insta::assert_snapshot!(
                format!("{name}.markdown"),
                report_of(&log, Format::Markdown)
            );
        }
    });
}

/// The number of the first failure of which the report says all of `words`.
fn failure_of(log: &[PathBuf], words: &[&str]) -> u64 {
    let json = report_of(log, Format::Json);
    let mut verdicts = json
        .lines()
        .filter(|line| line.starts_with(r#"{"type":"verdict""#));
    let found = verdicts.find(|line| words.iter().all(|word| line.contains(word)));
    let verdict = found.unwrap_or_else(|| panic!("no verdict of this log has {words:?}"));
    let verdict: serde_json::Value = serde_json::from_str(verdict).unwrap();
    verdict["failure"].as_u64().unwrap()
}

/// The five steps of the mail that iomap-trace started from, of a real failure.
#[test]
fn the_mail_s_five_steps_are_in_the_timeline_of_a_recorded_failure() {
    let log = [fixture("5.10-btrfs-buffered-fexit")];
    let own = [
        r#""cause":"ordered-io""#,
        r#""confidence":"exact""#,
        r#""self_inflicted":true"#,
    ];
    let failure = Some(failure_of(&log, &own));
    let text = report_of(&log, Format::Timeline { failure });
    let steps = [
        // 1. The write flushes the range, which starts delalloc.
        "__iomap_dio_rw() ",
        "filemap_write_and_wait_range()",
        "btrfs_ordered_extent_add: ",
        "by the write's own",
        // 2. Writeback has ended, and a worker completes the ordered extent under the lock.
        "ended by now: ",
        "btrfs_finish_ordered_io() ",
        "lock_extent_bits() [+lock ",
        // 3. Meanwhile the invalidation comes to the folio.
        "invalidate_inode_pages2_range() meets folio ",
        // 4. It is clean, and not released.
        "!! btrfs_releasepage() refuses ",
        ": clean, not under writeback",
        // 5. So the invalidation fails, and the write goes buffered.
        "invalidate_inode_pages2_range() = -EBUSY",
        "__iomap_dio_rw() = -ENOTBLK: goes buffered, through the page cache",
        // What the mail does not say: only then the lock is given up.
        "[-lock ",
        "ordered extent done",
        "the write's own flush had made held the range",
    ];
    let words = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("| ", "");
    let mut rest = words.as_str();
    for step in steps {
        let at = rest
            .find(step)
            .unwrap_or_else(|| panic!("{step} is not in, or not behind:\n{text}"));
        rest = &rest[at + step.len()..];
    }
    assert!(text.lines().all(|line| line.len() < 80), "{text}");
}

#[test]
fn every_recorded_failure_has_a_timeline() {
    for entry in fs::read_dir(fixture("x").parent().unwrap()).unwrap() {
        let log = entry.unwrap().path();
        if !log.to_str().unwrap().ends_with(".jsonl.zst") {
            continue;
        }
        let all = report_of(std::slice::from_ref(&log), CLEAREST);
        assert!(
            all.contains("!! ") && all.contains("Verdict: "),
            "{}",
            log.display()
        );
        for id in 1..=6 {
            let text = report_of(
                std::slice::from_ref(&log),
                Format::Timeline { failure: Some(id) },
            );
            let shown = text.starts_with(&format!("Failure {id},"));
            assert!(shown || text.starts_with("There is no failure"), "{text}");
            assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        }
    }
}

#[test]
fn several_logs_are_one_report() {
    let logs = ["5.10-btrfs-mmap-fexit", "7.3-xfs-mmap-fexit"].map(fixture);
    let text = report_of(&logs, Format::Markdown);
    for part in [
        "### Run 1 on `5.10-btrfs-mmap-fexit`",
        "### Run 2 on `7.3-xfs-mmap-fexit`",
        "`5.10.0-32-cloud-amd64`",
        "`7.3.4+deb13-cloud-amd64`",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let text = report_of(&logs, Format::Timeline { failure: Some(1) });
    assert!(
        text.contains("Failure 1 of run 1 on host 5.10-btrfs-mmap-fexit,")
            && text.contains("Failure 1 of run 2 on host 7.3-xfs-mmap-fexit,"),
        "{text}"
    );
}

/// A log whose names were chosen to become something else.
#[test]
fn hostile_names_stay_text() {
    let log =
        zstd::decode_all(fs::File::open(fixture("5.10-btrfs-buffered-fexit")).unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    let log = log
        .replace(
            "/mnt/btrfs/iomap-trace-repro-295.dat",
            "/x|`<img src=x>`|\\n# y\\u001b[2J\\u202e",
        )
        .replace("repro-buffered", "```\\n<script>")
        .replace("repro-direct", "](http://x)|")
        .replace("lock_and_cleanup_extent_if_need", "**f**`|\\n## z");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.jsonl");
    fs::write(&path, log).unwrap();
    let text = report_of(std::slice::from_ref(&path), CLEAREST);
    assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    let text = report_of(&[path], Format::Markdown);
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    assert!(
        !text
            .lines()
            .any(|line| line.starts_with("# y") || line.starts_with("## z")),
        "{text}"
    );
    // In tables and lists nothing of them is outside of a code span.
    let prose = text.split("```").step_by(2).flat_map(str::lines);
    for line in prose.filter(|line| line.starts_with(['|', '-'])) {
        let outside: String = line.split('`').step_by(2).collect();
        for hostile in ["<img", "<script", "](http", "**f**"] {
            assert!(!outside.contains(hostile), "{line}");
        }
    }
}

#[test]
fn stacks_are_shown_where_they_were_recorded() {
    let log =
        zstd::decode_all(fs::File::open(fixture("5.10-btrfs-buffered-fexit")).unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    let stack = |frames: &str| format!(r#""stack":[{frames}]}}"#);
    let of_failure = stack(r#""btrfs_releasepage+0x1c [btrfs]","__iomap_dio_rw+0x2a1""#);
    let of_holder = stack(r#""lock_extent_bits+0x5a [btrfs]","```","btrfs_work_helper+0xc1""#);
    let lines = log.lines().map(|line| {
        let end = line.len() - 1;
        match line {
            _ if line.starts_with(r#"{"type":"failure""#) => {
                format!("{},{of_failure}", &line[..end])
            }
            _ if line.starts_with(r#"{"type":"holder""#) => format!("{},{of_holder}", &line[..end]),
            _ => line.to_owned(),
        }
    });
    let log: Vec<String> = lines.collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stacks.jsonl");
    fs::write(&path, log.join("\n") + "\n").unwrap();
    let text = report_of(&[path], Format::Markdown);
    let (_, stacks) = text.split_once("\n## Stacks\n").unwrap();
    for part in [
        "the refused write:\n\n```text\nbtrfs_releasepage+0x1c [btrfs]\n__iomap_dio_rw+0x2a1\n```\n",
        "````text\nlock_extent_bits+0x5a [btrfs]\n```\nbtrfs_work_helper+0xc1\n````\n",
    ] {
        assert!(stacks.contains(part), "{part}:\n{stacks}");
    }
}

/// What maintainers asked for in threads about this message; each has its answer in the report.
#[test]
fn the_questions_of_maintainers_have_answers() {
    let text = report_of(&[fixture("5.10-btrfs-buffered-fexit")], Format::Markdown);
    let questions: &[(&str, &[&str])] = &[
        (
            "kernel, arch, page size against block size",
            &[
                "| kernel | `5.10",
                "| architecture | `x86_64` |",
                "| page size | 4096 bytes |",
                "| 4.0K, that of a page |",
            ],
        ),
        (
            "filesystem, options, features, profile, checksums, compression",
            &[
                "`rw,relatime,space_cache=v2",
                "| features | data profile |",
                "| checksums, nocow | compression |",
                "not recorded",
            ],
        ),
        (
            "reproducer and hit rate",
            &[
                "- hit rate: ",
                "- traced with: `",
                "iomap-trace repro buffered",
            ],
        ),
        (
            "-ENOTBLK or a short write",
            &["gave `-ENOTBLK`", "| invalidation returned |"],
        ),
        (
            "submission or completion",
            &["(submit side)", "### ordered-io before submission"],
        ),
        (
            "who locked, finished or in flight",
            &["- holder ", "its I/O was finished", "io-done"],
        ),
        (
            "inode and range",
            &["| inode |", "- file: `", ", inode ", "; bytes "],
        ),
        (
            "iomap type, flags, length",
            &["there are no iomap type and flags", "iomap_iter_dstmap"],
        ),
        (
            "fsync, and did the data differ",
            &["the next fsync", "whether the data differ"],
        ),
        ("stack of the refuser", &["## Stacks", "--stacks"]),
    ];
    for (question, answers) in questions {
        for answer in *answers {
            assert!(text.contains(answer), "{question}: {answer}\n{text}");
        }
    }
}

/// As far as the log holds them: what a filesystem and a file are like.
#[test]
fn what_a_log_says_of_filesystems_and_files_is_in_the_report() {
    let log =
        zstd::decode_all(fs::File::open(fixture("5.10-btrfs-buffered-fexit")).unwrap()).unwrap();
    let log = String::from_utf8(log).unwrap();
    let failure = log.lines().find(|l| l.contains(r#""type":"failure""#));
    let failure: serde_json::Value = serde_json::from_str(failure.unwrap()).unwrap();
    let (dev, ino, root) = (&failure["dev"], &failure["ino"], &failure["root"]);
    let described = |of_filesystem: &str, of_file: &str| {
        let filesystems =
            format!(r#""hostname":"db-7","filesystems":[{{"dev":{dev},{of_filesystem}}}],"plan":"#);
        let file = format!(
            "{{\"type\":\"file\",\"ts_ns\":1,\"dev\":{dev},\"ino\":{ino},\"root\":{root},{of_file}}}\n"
        );
        let log = log.replacen(r#""plan":"#, &filesystems, 1);
        let (start, rest) = log.split_once('\n').unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        fs::write(&path, format!("{start}\n{file}{rest}")).unwrap();
        report_of(&[path], Format::Markdown)
    };
    let known = r#""features":["no_holes","skinny_metadata"],"data_profiles":["raid1"],
        "metadata_profiles":["dup"],"sector_size":4096,"node_size":16384,"checksum":"crc32c (x)""#;
    let known = known.replace('\n', "");
    let nocow = r#""size":8388608,"allocated":4194304,"flags":["nocow","noatime"]"#;
    let cow = r#""size":1,"allocated":0,"flags":["compressed"],"compression":"zstd""#;
    let gone =
        r#""missing":"the file could not be asked (No such file or directory (os error 2))""#;
    let unknown =
        r#""missing":{"features":"its mount | cannot be asked","data_profiles":"no `sysfs`"}"#;
    let cases: [(&str, &str, &[&str]); 3] = [
        (
            &known,
            nocow,
            &[
                "| host | `db-7` |",
                "`no_holes skinny_metadata`; sectors of 4.0K; nodes of 16K; checksum `crc32c (x)` |",
                "| `raid1` (metadata `dup`) |",
                "| nocow, no checksums | none: nocow |",
                "| 8.0M | 4.0M | `nocow noatime` | - |",
                "The btrfs files here are nocow, without checksums: a kernel that writes files with \
                 checksums buffered (commit 968f19c5b1b7) changes nothing for them. ",
            ],
        ),
        (
            &known,
            cow,
            &[
                "| checksums, copy on write | property `zstd` |",
                "On btrfs one of the files is copy on write, so with checksums unless made under \
                 `nodatasum`: a kernel with commit 968f19c5b1b7 writes these always buffered, and \
                 they could not fail there. ",
                "flags do not tell",
            ],
        ),
        (
            unknown,
            gone,
            &[
                "| not recorded: `its mount \\u{7c} cannot be asked` | not recorded: `no \\u{60}sysfs\\u{60}` |",
                "not recorded: `the file could not be asked (No such file",
            ],
        ),
    ];
    for (of_filesystem, of_file, expected) in cases {
        let text = described(of_filesystem, of_file);
        for part in expected {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
    // A log of before says that it does not know, and draws no conclusion.
    let before = report_of(&[fixture("5.10-btrfs-buffered-fexit")], Format::Markdown);
    assert!(!before.contains("| host |") && !before.contains("inode flags"));
    assert!(!before.contains("btrfs files here"), "{before}");
}

/// The arguments of `report`, as the command line has them.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    report: report::Args,
}

fn cli(args: &[&str]) -> anyhow::Result<()> {
    let cli = Cli::try_parse_from([&["report"], args].concat())?;
    report::run(&cli.report).map(drop)
}

#[test]
fn the_command_line_of_the_long_formats() {
    let dir = tempfile::tempdir().unwrap();
    let log = fixture("5.10-btrfs-buffered-fexit");
    let (name, out) = (log.to_str().unwrap(), dir.path().join("out"));
    let to = out.to_str().unwrap();
    cli(&[name, "--format", "markdown", "-o", to]).unwrap();
    let log = [log.clone()];
    assert_eq!(
        fs::read_to_string(&out).unwrap(),
        report_of(&log, Format::Markdown)
    );
    cli(&[name, "--format", "timeline", "-o", to]).unwrap();
    assert_eq!(fs::read_to_string(&out).unwrap(), report_of(&log, CLEAREST));
    cli(&[name, "--format", "timeline", "--failure", "99", "-o", to]).unwrap();
    let text = fs::read_to_string(&out).unwrap();
    assert!(
        text.starts_with("There is no failure 99: the log has "),
        "{text}"
    );
    let error = cli(&[name, "--failure", "3"]).unwrap_err().to_string();
    assert!(error.contains("add --format timeline"), "{error}");
}
