//! What this kernel will and will not show, one sentence each, with the evidence. What depends on
//! the plan says so: the notes are the kernel's, whichever plan is taken.

use super::Kernel;

/// The notes, most important first.
pub fn notes(kernel: &Kernel) -> Vec<String> {
    let mut notes = kernel.privileges.limits();
    notes.push(post(kernel));
    notes.push(
        "with tracepoints alone, writes through generic_file_direct_write (fuse, vfat, block \
         devices) are not seen"
            .to_owned(),
    );
    notes.push(writeback(kernel));
    if kernel.privileges.kprobes_want_admin() {
        notes.push(
            "kprobes are for CAP_SYS_ADMIN alone here (kernel.perf_event_paranoid above 2): a \
             service without it has none"
                .to_owned(),
        );
    }
    if kernel.page_size != 4096 {
        notes.push(format!(
            "pages have {} bytes here: the page cache is only walked on kernels with 4096, so with \
             tracepoints alone no refused folio is seen, and post failures by wb_err only",
            kernel.page_size
        ));
    }
    if kernel.has_filesystem("btrfs") == Some(false) {
        notes.push(
            "btrfs is not loaded: its hooks are skipped; run `modprobe btrfs` first to have them"
                .to_owned(),
        );
    } else {
        if let Some(build) = kernel.table() {
            notes.push(format!(
                "btrfs offsets: table of {build}, since its modules have no type information"
            ));
        }
        notes.push(ordered(kernel));
        notes.extend(checksums(kernel));
        notes.extend(profiles(kernel));
    }
    if kernel.has_filesystem("xfs") == Some(true) {
        notes.push(
            "xfs never refuses a folio of a single block: its failures are folios that were \
             dirtied again"
                .to_owned(),
        );
    }
    notes
}

fn post(kernel: &Kernel) -> String {
    match kernel.facts.writeback_error_fires {
        Some(false) => "with tracepoints alone, post failures are not seen here: they have no \
            tracepoint, and neither has the completion of a direct write (iomap_dio_complete came \
            with 6.5)"
            .to_owned(),
        _ => "with tracepoints alone, post failures are inferred from folios left in the page \
            cache after the write, and from wb_err: they have no tracepoint"
            .to_owned(),
    }
}

fn writeback(kernel: &Kernel) -> String {
    match kernel.facts.writeback_error_fires {
        Some(true) => "a failed write-back fires iomap_dio_invalidate_fail as well \
            (iomap_dio_rw_begin exists, since 6.5): it is reported as writeback-error"
            .to_owned(),
        Some(false) => "with tracepoints alone, writers and outcomes of a direct write cannot be \
            followed here: iomap_dio_rw_begin and iomap_dio_complete do not exist (before 6.5)"
            .to_owned(),
        None => "whether a failed write-back fires iomap_dio_invalidate_fail is not known: \
            neither types nor symbols could be read"
            .to_owned(),
    }
}

fn ordered(kernel: &Kernel) -> String {
    match (kernel.facts.ordered_blocks_release, kernel.version()) {
        (Some(false), _) => "btrfs: ordered-I/O completion cannot block release here: \
            EXTENT_FINISHING_ORDERED exists (since 6.15)"
            .to_owned(),
        (Some(true), _) => "btrfs: ordered-I/O completion can block release here: there is no \
            EXTENT_FINISHING_ORDERED (before 6.15)"
            .to_owned(),
        (None, Some(v)) => {
            let can = if v < (6, 15, 0) {
                "can probably"
            } else {
                "probably cannot"
            };
            format!(
                "btrfs: ordered-I/O completion {can} block release here (by the release number: \
                 there are no types of btrfs)"
            )
        }
        (None, None) => "btrfs: whether ordered-I/O completion blocks release is not known: \
            there are no types of btrfs"
            .to_owned(),
    }
}

/// Whether files with checksums are ever written directly.
fn checksums(kernel: &Kernel) -> Option<String> {
    let types = kernel.types.as_ref().ok();
    // The member of `iomap_ops` is older: 7.2 has it, and writes buffered all the same.
    let next = types.map(|t| t.has_function("btrfs_dio_iomap_next"));
    let never = "btrfs: checksummed files never go direct here, only NOCOW/nodatasum ones";
    Some(match (next, kernel.version()?) {
        (Some(true), _) => "btrfs: checksummed files go direct, through bounce buffers \
            (btrfs_dio_iomap_next exists, which came with them in 7.3)"
            .to_owned(),
        (_, v) if v >= (7, 3, 0) => return None,
        (_, v) if v >= (6, 15, 0) => format!("{never} (by the release number: 6.15 to 7.2)"),
        (_, (6, 12, 107..)) => format!("{never} (by the release number: 6.12.107 or later)"),
        (_, (6, 12, _)) => "btrfs: checksummed files may never go direct here (by the release \
            number: a stable update of 6.12, 6.12.107 at the latest, ended it)"
            .to_owned(),
        _ => "btrfs: checksummed files go direct here (by the release number: before 6.15)"
            .to_owned(),
    })
}

/// Whether a duplicating data profile turns writes buffered.
fn profiles(kernel: &Kernel) -> Option<String> {
    let buffered = match kernel.version()? {
        v if v >= (7, 3, 0) => false,
        v if v >= (6, 19, 0) => true,
        (6, 18, patch) => patch >= 44,
        (6, 12, patch) => patch >= 107,
        _ => false,
    };
    buffered.then(|| {
        "btrfs: with a data profile other than single or raid0, no file goes direct here (by the \
         release number: 6.19 to 7.2, and late 6.18 and 6.12)"
            .to_owned()
    })
}
