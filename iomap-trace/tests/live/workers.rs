//! The writer is a worker, of the kernel or of io_uring.

use crate::harness::{
    Busy, Direct, FAIL, Fs, Image, KernelTrace, Tracer, direct_writer, dirtier, skip, sleep_ms,
    tool,
};
use io_uring::{IoUring, opcode, squeue, types};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A loop device with direct I/O, detached with this value.
struct Loop(PathBuf);

impl Loop {
    fn over(file: &Path) -> Self {
        let device = tool("losetup", &[&"--direct-io=on", &"--find", &"--show", &file]);
        let device = Self(device.trim().into());
        let name = device.0.file_name().unwrap();
        let dio = Path::new("/sys/block").join(name).join("loop/dio");
        assert_eq!(
            std::fs::read_to_string(dio).unwrap().trim(),
            "1",
            "direct I/O is on"
        );
        device
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = std::process::Command::new("losetup")
            .arg("-d")
            .arg(&self.0)
            .status();
    }
}

fn written_file(path: &Path, len: usize) -> u64 {
    std::fs::write(path, vec![1; len]).unwrap();
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    file.metadata().unwrap().ino()
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_worker_of_the_loop_driver() {
    for fs in [Fs::Ext4, Fs::Xfs] {
        let image = Image::new(fs);
        let file = image.mnt().join("backing file");
        let ino = written_file(&file, 16 << 20);
        let device = Loop::over(&file);
        let kernel = KernelTrace::start(image.dev(), &[FAIL]);
        let tracer = Tracer::start(&[&"trace", &"--format", &"json", &"--dev", &image.dev()]);
        let dirtier = dirtier(&file);
        let writers = [direct_writer(&device.0), direct_writer(&device.0)];
        sleep_ms(1500);
        drop(writers);
        let dirtier_tid = dirtier.tid;
        drop(dirtier);
        let log = tracer.stop().log();
        let hits = kernel.stop();
        let found = log.found();
        eprintln!("{fs:?} loop: {} failures", found.len());
        assert!(found.len() > 20, "{} failures", found.len());
        assert_eq!(log.phase("pre").len(), hits.len());
        for found in &found {
            assert_eq!(found.text("worker"), Some("kernel"), "{}", found.failure);
            assert!(
                found.text("comm").unwrap().starts_with("kworker/"),
                "{}",
                found.failure
            );
            assert_eq!(found.text("path"), file.to_str(), "{}", found.failure);
            assert_eq!(found.number("ino"), ino);
            if found.cause() == "redirtied" && found.failure["phase"] == "pre" {
                assert_eq!(found.party_tid(), Some(dirtier_tid), "{}", found.verdict);
            }
        }
        log.assert_no_losses();
    }
}

/// Direct writes that io_uring hands to its workers.
fn uring_writer(mut ring: IoUring, path: &Path) -> Busy {
    let direct = Direct::open(path);
    Busy::new("live-uring", move |number| {
        let block = direct.block();
        let fd = types::Fd(direct.file.as_raw_fd());
        let entry = opcode::Write::new(fd, block.as_ptr(), block.len() as u32)
            .offset(Direct::pos(number))
            .build()
            .flags(squeue::Flags::ASYNC);
        // SAFETY: file and block outlive the write, whose end is waited for below.
        unsafe { ring.submission().push(&entry) }.unwrap();
        ring.submit_and_wait(1).unwrap();
        let done = ring.completion().next().unwrap();
        assert_eq!(done.result(), block.len() as i32);
    })
}

#[test]
#[ignore = "needs root and BPF: cargo xtask test"]
fn a_worker_of_io_uring() {
    let ring = match IoUring::new(4) {
        Ok(ring) => ring,
        Err(e) => return skip(&format!("io_uring is not available: {e}")),
    };
    let image = Image::new(Fs::Ext4);
    let file = image.mnt().join("file");
    let ino = written_file(&file, 1 << 20);
    let kernel = KernelTrace::start(image.dev(), &[FAIL]);
    let tracer = Tracer::start(&[&"trace", &"--format", &"json", &"--dev", &image.dev()]);
    let dirtier = dirtier(&file);
    let writer = uring_writer(ring, &file);
    sleep_ms(1500);
    let (submitter, dirtier_tid) = (writer.tid, dirtier.tid);
    drop(writer);
    drop(dirtier);
    let log = tracer.stop().log();
    let hits = kernel.stop();
    let pre = log.phase("pre");
    eprintln!("io_uring: {} pre failures", pre.len());
    assert!(pre.len() > 20, "{} failures", pre.len());
    assert_eq!(pre.len(), hits.len());
    for found in log.found() {
        assert_eq!(found.text("worker"), Some("io-uring"), "{}", found.failure);
        assert_eq!(found.number("pid"), u64::from(std::process::id()));
        assert_ne!(found.number("tid"), submitter);
        assert_eq!(found.text("comm"), Some(&*format!("iou-wrk-{submitter}")));
        assert_eq!(found.text("path"), file.to_str(), "{}", found.failure);
        assert_eq!(found.number("ino"), ino);
    }
    for found in pre.iter().filter(|f| f.cause() == "redirtied") {
        assert_eq!(found.party_tid(), Some(dirtier_tid), "{}", found.verdict);
    }
}
