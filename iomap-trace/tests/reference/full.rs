//! A filesystem that is full.

use crate::ground::{PAGE, Sheet, block, pattern};
use crate::harness::{Fs, Image};
use crate::mapped::Mapped;
use iomap_trace::reference::Policy;
use iomap_trace::reference::direct::{Errno, Route, Step};
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::path::Path;
use tempfile::TempDir;

const NOSPC: Errno = Errno::new(libc::ENOSPC);
const CHUNK: u64 = 1 << 20;

/// Takes all the space there is.
fn fill_up(dir: &Path) {
    let file = File::create_new(dir.join("ballast")).unwrap();
    let mut pos = 0;
    for len in [64 * CHUNK, CHUNK, 64 << 10, PAGE as u64] {
        while fallocate(&file, FallocateFlags::empty(), pos, len).is_ok() {
            pos += len;
        }
    }
    file.sync_all().unwrap();
}

#[test]
#[ignore = "needs root and loop devices: cargo xtask test --only direct"]
fn enospc_is_told_and_what_was_acknowledged_is_there() {
    for (fs, size) in [
        (Fs::Ext4, 64 << 20),
        (Fs::Xfs, 300 << 20),
        (Fs::Btrfs, 256 << 20),
    ] {
        let dir = TempDir::with_prefix("iomap-trace-reference-").unwrap();
        let image = Image::in_dir(dir, fs, size, &[], &[]);
        let sheet = Sheet::new(&image.mnt(), fs == Fs::Btrfs);
        fill_up(&image.mnt());
        // A hole, so that both ways of writing need space, and a page of it that stays.
        let far = 1 << 30;
        sheet.buffered.set_len(far + (1 << 20)).unwrap();
        let far = usize::try_from(far).unwrap();
        for policy in Policy::ALL {
            for mapped in [false, true] {
                let file = sheet.open(policy);
                let data = block(11, 64 * PAGE);
                // Reading a hole needs no space.
                let page = mapped.then(|| Mapped::new(&sheet.buffered, far));
                let out = file.write_at(&data, far as u64);
                drop(page);
                eprintln!("{fs:?} {policy:?} mapped {mapped}: {:?}", out.result);
                let by = match out.route {
                    Route::Buffered => Step::BufferedWrite,
                    _ => Step::DirectWrite,
                };
                match out.result {
                    Ok(bytes) => {
                        // Some space was left: what was acknowledged is there.
                        assert!(bytes == data.len() || out.error(by) == Some(NOSPC));
                        file.sync().unwrap();
                        sheet.drop_pages();
                        assert!(sheet.on_disk(far, bytes) == data[..bytes]);
                    }
                    Err(Errno::BUSY) => assert_eq!((policy, mapped), (Policy::Strict, true)),
                    Err(errno) => {
                        assert_eq!(errno, NOSPC);
                        assert_eq!(out.route, Route::None);
                        let failed = out.steps.iter().filter(|step| step.error == Some(NOSPC));
                        assert_eq!(failed.count(), 1);
                    }
                }
            }
            // What is there already can be overwritten, where the filesystem writes in place.
            let file = sheet.open(policy);
            let out = file.write_at(&block(12, PAGE), 0);
            assert_eq!(out.result, Ok(PAGE), "{fs:?}");
            assert!(sheet.on_disk(0, PAGE) == pattern(12, PAGE));
        }
    }
}
