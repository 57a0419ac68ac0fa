use super::*;
use crate::reference::Policy;
use crate::reference::compare::{Column, Direct, Findings, Others, Role, Traced};

fn column(column: Column) -> ColumnReport {
    let policy = column != Column::Kernel;
    ColumnReport {
        column,
        fs: "btrfs".to_owned(),
        seconds: 2.0,
        direct: Direct {
            writes: 9_999_999,
            pre: policy.then_some(12_345),
            post: policy.then_some(67),
            buffered: policy.then_some(12_345),
            mib_per_s: 9999.9,
            ..Direct::default()
        },
        others: Others::default(),
        data: Findings::default(),
        violations: Vec::new(),
        traced: None,
        notes: Vec::new(),
        results: Vec::new(),
    }
}

fn comparison(traced: Option<Traced>) -> Comparison {
    let mut columns: Vec<_> = Column::all().into_iter().map(column).collect();
    columns[0].traced = traced;
    Comparison {
        release: "5.10.0-32-cloud-amd64".to_owned(),
        fs: "btrfs".to_owned(),
        seed: 7,
        file_size: 2 << 20,
        block: 4096,
        serial: false,
        cow: true,
        whole_pages: true,
        threads: vec![Role::DirectWriter, Role::DirectWriter, Role::MmapWriter],
        columns,
        disagreements: Vec::new(),
        interrupted: false,
    }
}

fn traced() -> Traced {
    let outlook = |policy: Policy| {
        let mut outlook = crate::reference::compare::Outlook::default();
        match policy {
            Policy::Warn => outlook.stale_risk = 93,
            Policy::Strict => outlook.errors = 93,
            _ => outlook.buffered = 93,
        }
        (policy.name().to_owned(), outlook)
    };
    Traced {
        release: "5.10.0-32-cloud-amd64".to_owned(),
        direct_writes: Some(9_999_999),
        pre: 93,
        causes: [("ordered-io".to_owned(), 68), ("redirtied".to_owned(), 25)].into(),
        self_inflicted: 60,
        outcomes: [("buffered-fallback".to_owned(), 93)].into(),
        outlook: Policy::ALL.into_iter().map(outlook).collect(),
        behaves_as: ["generic", "fallback", "enotblk"].map(str::to_owned).into(),
        ..Traced::default()
    }
}

#[test]
fn the_table_fits_and_names_the_kernels_policy() {
    let text = compare_text(&comparison(Some(traced())), 80);
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(text.contains("cause ordered-io"), "{text}");
    let flat = text.replace('\n', " ");
    for said in [
        "btrfs with checksums on 5.10.0-32-cloud-amd64: 2 direct-writers, 1 mmap-writer",
        "behaves as `enotblk` on btrfs (`generic` and `fallback` would have done the same)",
        "`warn` would have written 93 over a page that stayed",
        "60 self-inflicted",
        "No acknowledged write was lost in any column",
    ] {
        assert!(flat.contains(said), "{said} is not in {text}");
    }
    let markdown = section(&comparison(Some(traced())));
    assert!(
        markdown.contains("| direct writes | 9999999 |"),
        "{markdown}"
    );
}

#[test]
fn what_is_not_known_is_a_question_mark() {
    let mut comparison = comparison(None);
    comparison.columns[0]
        .notes
        .push("not traced: no BPF".to_owned());
    let text = compare_text(&comparison, 80);
    let row = text
        .lines()
        .find(|l| l.starts_with("page in the way"))
        .unwrap();
    assert_eq!(row.split_whitespace().nth(5), Some("?"), "{row}");
    assert!(text.contains("kernel: not traced: no BPF."), "{text}");
    assert!(!text.contains("behaves as"), "{text}");
}

#[test]
fn a_kernel_that_never_goes_direct_is_told() {
    let none = Traced {
        direct_writes: Some(0),
        release: "6.18.1".to_owned(),
        ..Traced::default()
    };
    let comparison = comparison(Some(none));
    assert_eq!(buffered(&comparison.columns[0]), Some(9_999_999));
    let flat = compare_text(&comparison, 80).replace('\n', " ");
    let said = "Linux 6.18.1 silently writes buffered on files with checksums of btrfs";
    assert!(flat.contains(said), "{flat}");
}
