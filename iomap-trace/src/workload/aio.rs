//! Linux AIO through its system calls, as `io_submit(2)` describes them.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use super::inflight::{Done, Queue};

const IOCB_CMD_PWRITE: u16 = 1;

/// `struct iocb` of `linux/aio_abi.h`. Key and rw_flags stay 0, so their order, which depends on
/// the byte order, does not matter.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Iocb {
    data: u64,
    key_and_flags: u64,
    opcode: u16,
    reqprio: i16,
    fd: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: u32,
}

/// `struct io_event` of `linux/aio_abi.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Event {
    data: u64,
    obj: u64,
    res: i64,
    res2: i64,
}

const _: () = assert!(size_of::<Iocb>() == 64 && size_of::<Event>() == 32);

/// An AIO context. Dropping it waits for what is in flight.
pub(super) struct Aio {
    context: libc::c_ulong,
    fd: u32,
    events: Vec<Event>,
}

impl Aio {
    /// A context for `depth` writes to `file`, which must outlive it.
    ///
    /// Fails with `ENOSYS` where the kernel is built without AIO, and with `EAGAIN` when
    /// `fs.aio-max-nr` is used up.
    pub(super) fn new(file: &File, depth: u32) -> io::Result<Self> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes the new context to `context`, which is 0 as it must be.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_io_setup,
                libc::c_long::from(depth),
                &raw mut context,
            )
        };
        if ret < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            context,
            fd: file.as_raw_fd() as u32,
            events: vec![Event::default(); depth as usize],
        })
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: destroys this context once; the kernel waits for its writes first.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context) };
    }
}

impl Queue for Aio {
    unsafe fn start(&mut self, slot: usize, buf: &[u8], pos: u64) -> io::Result<()> {
        let mut iocb = Iocb {
            data: slot as u64,
            opcode: IOCB_CMD_PWRITE,
            fd: self.fd,
            buf: buf.as_ptr() as u64,
            nbytes: buf.len() as u64,
            offset: pos as i64,
            ..Iocb::default()
        };
        let mut list: [*mut Iocb; 1] = [&raw mut iocb];
        // SAFETY: one iocb, which the kernel copies before it returns; the caller keeps the buffer.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_io_submit,
                self.context,
                1 as libc::c_long,
                list.as_mut_ptr(),
            )
        };
        if ret == 1 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn reap(&mut self, done: &mut Vec<Done>) -> io::Result<()> {
        // SAFETY: `events` has room for the number given; without a timeout the last argument is null.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_io_getevents,
                self.context,
                1 as libc::c_long,
                self.events.len() as libc::c_long,
                self.events.as_mut_ptr(),
                ptr::null_mut::<libc::timespec>(),
            )
        };
        let Ok(count) = usize::try_from(ret) else {
            return Err(io::Error::last_os_error());
        };
        done.extend(self.events.iter().take(count).map(|event| Done {
            slot: event.data as usize,
            result: event.res,
        }));
        Ok(())
    }
}

/// What stands in the way of AIO, as one line.
pub(super) fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => "this kernel has no AIO (CONFIG_AIO): use another mode".to_owned(),
        Some(libc::EAGAIN) => {
            "no AIO contexts are left: raise fs.aio-max-nr or use a smaller --depth".to_owned()
        }
        _ => format!("cannot set up AIO: {error}"),
    }
}
