//! What the parties do to each other.

use super::locker::Under;
use super::scenario::{File, Role, Scenario};
use super::schedule::Cue;
use super::tree::Span;
use super::world::{Fs, PAGE, Place, Shape};
use super::writer::Write;
use super::{Kernel, Run};
use crate::event::Dev;
use crate::reference::Policy;

const ALL: Span = Span {
    start: 0,
    end: 4 * PAGE,
};

/// Four pages of a file on btrfs, of which `dirty` are dirty and cached at the begin.
fn play(dirty: &[u64], roles: Vec<Role>, script: Vec<Cue>) -> Run {
    let place = Place {
        dev: Dev { major: 0, minor: 1 },
        ino: 257,
        root: Some(5),
        first_page: 0,
        pages: 4,
    };
    let mut file = File::new(Fs::Btrfs, place);
    file.cached = dirty.iter().map(|page| (*page, true)).collect();
    (file.roles, file.script) = (roles, script);
    let scenario = Scenario {
        seed: 1,
        kernel: Kernel::V6_1,
        policy: Policy::Enotblk,
        shape: Shape::Returns,
        files: vec![file],
    };
    let run = scenario.play_in_words();
    assert!(run.finished);
    run
}

fn cue(party: usize, until: &'static str) -> Cue {
    Cue { party, until }
}

/// When a line that begins so happened first.
fn line(run: &Run, text: &str) -> u64 {
    let at = |line: &&super::Line| line.text.starts_with(text);
    let found = run.lines.iter().find(at).map(|line| line.ns);
    found.unwrap_or_else(|| panic!("no {text} in {:#?}", run.lines))
}

/// The flusher makes an ordered extent of all pages; `who` wants to dirty one before a worker has
/// completed it.
fn dirties_after(who: Role) -> Run {
    let roles = vec![Role::Flusher(1), who, Role::Worker(0)];
    let script = vec![cue(0, "done"), cue(1, "never")];
    play(&[0, 1, 2, 3], roles, script)
}

#[test]
fn a_store_waits_for_an_ordered_extent() {
    let run = dirties_after(Role::Dirtier(vec![2]));
    assert!(line(&run, "clear_extent_bit()") < line(&run, "page_mkwrite"));
}

#[test]
fn a_buffered_write_waits_for_an_ordered_extent_and_holds_nothing() {
    let run = dirties_after(Role::Locker(Under::Write, vec![ALL]));
    let completed = line(&run, "btrfs_finish_ordered_io()");
    assert!(line(&run, "clear_extent_bit()") < completed);
    assert!(completed < line(&run, "folio_mark_dirty()"));
}

#[test]
fn writeback_waits_for_a_lock() {
    let locker = Role::Locker(Under::Nothing, vec![ALL]);
    let roles = vec![locker, Role::Flusher(1), Role::Worker(0)];
    let run = play(&[0], roles, vec![cue(0, "locked"), cue(1, "done")]);
    assert!(line(&run, "clear_extent_bit()") < line(&run, "btrfs_run_delalloc_range()"));
}

#[test]
fn a_direct_write_has_its_ordered_extent_while_it_holds_the_range() {
    let write = Write {
        span: ALL,
        queued: false,
    };
    let roles = vec![
        Role::Direct(0, vec![write]),
        Role::Dirtier(vec![0]),
        Role::Worker(0),
    ];
    // The store comes as soon as the range is unlocked.
    let run = play(&[], roles, vec![cue(0, "unlocked"), cue(1, "dirtied")]);
    let submitted = line(&run, "submit_bio()");
    assert!(submitted < line(&run, "page_mkwrite"));
}

#[test]
fn a_write_of_no_byte_touches_no_page() {
    let none = Span { start: 9, end: 9 };
    for under in [Under::Write, Under::Read, Under::DirectRead, Under::Nothing] {
        let run = play(&[], vec![Role::Locker(under, vec![none])], Vec::new());
        assert!(run.lines.is_empty(), "{:#?}", run.lines);
    }
}
