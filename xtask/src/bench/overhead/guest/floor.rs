//! A program for the guests of `cargo xtask bench --overhead`: puts an empty BPF program wherever a
//! tracer has one, so that what its hooks cost is told from what its programs do. It is compiled
//! alone, static, and needs nothing but `std`.
//!
//! Where the tracer's programs are the kernel tells, not the tracer.

use std::ffi::{CString, c_int, c_long, c_ulong};
use std::fs;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

const USAGE: &str = "usage: floor look PID | floor attach FILE";

/// Numbers of the system calls on x86-64.
const SYS_BPF: c_long = 321;
const SYS_PERF_EVENT_OPEN: c_long = 298;

/// Commands of `bpf(2)` (include/uapi/linux/bpf.h).
const PROG_LOAD: c_int = 5;
const OBJ_GET_INFO_BY_FD: c_int = 15;
const RAW_TRACEPOINT_OPEN: c_int = 17;
const TASK_FD_QUERY: c_int = 20;
const LINK_GET_FD_BY_ID: c_int = 30;
const LINK_GET_NEXT_ID: c_int = 31;

/// `BPF_LINK_TYPE_TRACING`.
const LINK_TRACING: u32 = 2;
/// `BPF_FD_TYPE_RAW_TRACEPOINT`.
const FD_RAW_TRACEPOINT: u32 = 0;
/// `BPF_PROG_TYPE_*`.
const TYPE_KPROBE: u32 = 2;
const TYPE_RAW_TRACEPOINT: u32 = 17;
const TYPE_TRACING: u32 = 26;
/// `BPF_TRACE_FENTRY` and `BPF_TRACE_FEXIT`.
const FENTRY: u32 = 24;
const FEXIT: u32 = 25;

/// `PERF_EVENT_IOC_SET_BPF` and `PERF_EVENT_IOC_ENABLE`.
const SET_BPF: c_ulong = 0x4004_2408;
const ENABLE: c_ulong = 0x2400;
/// `PERF_FLAG_FD_CLOEXEC`.
const CLOEXEC: c_ulong = 8;
/// Length of `perf_event_attr` with two words of configuration.
const PERF_ATTR: usize = 112;

/// `r0 = 0; exit`.
static EMPTY: [u64; 2] = [0xb7, 0x95];
static LICENSE: &[u8] = b"GPL\0";

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn pause() -> c_int;
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["look", pid] => look(pid),
        ["attach", file] => attach(file),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Words of the kernel's structures, by their offset in bytes.
struct Words([u8; 128]);

impl Words {
    const fn new() -> Self {
        Self([0; 128])
    }

    fn with_u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn with_u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn u32(&self, at: usize) -> u32 {
        let bytes = [self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]];
        u32::from_ne_bytes(bytes)
    }
}

/// `bpf(2)`. Pointers in the attribute must be valid for what the command does with them.
fn bpf(command: c_int, attribute: &mut Words) -> io::Result<c_int> {
    let length = attribute.0.len();
    // SAFETY: the kernel reads and writes the bytes that it is told of; all pointers in them are to
    // statics, or to values that the caller keeps.
    let got = unsafe { syscall(SYS_BPF, command, attribute.0.as_mut_ptr(), length) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    c_int::try_from(got).map_err(io::Error::other)
}

/// Prints a line for each probe of a process: its kind, and what it is at. No other process has any
/// here.
fn look(pid: &str) -> io::Result<()> {
    let id = pid.parse().map_err(io::Error::other)?;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let name = entry?.file_name();
        let Some(fd) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let mut probe = [0_u8; 64];
        let mut query = Words::new()
            .with_u32(0, id)
            .with_u32(4, fd)
            .with_u32(12, probe.len() as u32)
            .with_u64(16, probe.as_mut_ptr() as u64);
        // Of other descriptors it knows nothing.
        if bpf(TASK_FD_QUERY, &mut query).is_ok() && query.u32(28) == FD_RAW_TRACEPOINT {
            let name = probe.split(|byte| *byte == 0).next().unwrap_or_default();
            println!("raw_tp {}", String::from_utf8_lossy(name));
        }
    }
    look_at_kprobes()?;
    look_at_links()
}

/// Lines of that file: address, `k` or `r`, function and offset, perhaps a module, flags.
fn look_at_kprobes() -> io::Result<()> {
    for line in fs::read_to_string("/sys/kernel/debug/kprobes/list")?.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(kind), Some(at)) = (words.next(), words.next()) else {
            continue;
        };
        let function = at.split('+').next().unwrap_or(at);
        match kind {
            "k" => println!("kprobe {function}"),
            "r" => println!("kretprobe {function}"),
            _ => {}
        }
    }
    Ok(())
}

/// Those at functions by their types are not told by descriptor.
fn look_at_links() -> io::Result<()> {
    let mut last = 0;
    loop {
        let mut next = Words::new().with_u32(0, last);
        match bpf(LINK_GET_NEXT_ID, &mut next) {
            Ok(_) => last = next.u32(4),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        let Ok(fd) = bpf(LINK_GET_FD_BY_ID, &mut Words::new().with_u32(0, last)) else {
            continue; // It has gone meanwhile.
        };
        let mut info = Words::new();
        let mut ask = Words::new()
            .with_u32(0, fd.cast_unsigned())
            .with_u32(4, info.0.len() as u32)
            .with_u64(8, info.0.as_mut_ptr() as u64);
        let told = bpf(OBJ_GET_INFO_BY_FD, &mut ask);
        // SAFETY: the descriptor is ours and used nowhere else.
        unsafe { close(fd) };
        told?;
        let kind = match (info.u32(0), info.u32(16)) {
            (LINK_TRACING, FENTRY) => "fentry",
            (LINK_TRACING, FEXIT) => "fexit",
            _ => continue,
        };
        println!("{kind} {}", info.u32(24));
    }
}

/// Attaches an empty program for each line of what [`look`] has printed, and waits to be killed.
fn attach(file: &str) -> io::Result<()> {
    let mut attached = 0;
    for line in fs::read_to_string(file)?.lines() {
        let (kind, at) = line.split_once(' ').ok_or(ErrorKind::InvalidData)?;
        let done = match kind {
            "raw_tp" => raw_tracepoint(at),
            "kprobe" => kprobe(at, false),
            "kretprobe" => kprobe(at, true),
            "fentry" => tracing(at, FENTRY),
            "fexit" => tracing(at, FEXIT),
            _ => Err(ErrorKind::InvalidData.into()),
        };
        done.map_err(|error| io::Error::other(format!("{line}: {error}")))?;
        attached += 1;
    }
    eprintln!("floor: {attached} empty programs attached");
    loop {
        // SAFETY: takes nothing.
        unsafe { pause() };
    }
}

/// Loads an empty program; it stays loaded until this process ends.
fn load(kind: u32, expected: u32, function: u32) -> io::Result<c_int> {
    let mut attribute = Words::new()
        .with_u32(0, kind)
        .with_u32(4, EMPTY.len() as u32)
        .with_u64(8, EMPTY.as_ptr() as u64)
        .with_u64(16, LICENSE.as_ptr() as u64)
        .with_u32(68, expected)
        .with_u32(108, function);
    bpf(PROG_LOAD, &mut attribute)
}

fn raw_tracepoint(name: &str) -> io::Result<()> {
    let program = load(TYPE_RAW_TRACEPOINT, 0, 0)?;
    let name = CString::new(name)?;
    let mut open = Words::new()
        .with_u64(0, name.as_ptr() as u64)
        .with_u32(8, program.cast_unsigned());
    bpf(RAW_TRACEPOINT_OPEN, &mut open).map(drop)
}

fn tracing(function: &str, expected: u32) -> io::Result<()> {
    let function = function.parse().map_err(io::Error::other)?;
    let program = load(TYPE_TRACING, expected, function)?;
    let mut open = Words::new().with_u32(8, program.cast_unsigned());
    bpf(RAW_TRACEPOINT_OPEN, &mut open).map(drop)
}

fn kprobe(function: &str, returning: bool) -> io::Result<()> {
    let program = load(TYPE_KPROBE, 0, 0)?;
    let kind = fs::read_to_string("/sys/bus/event_source/devices/kprobe/type")?;
    let function = CString::new(function)?;
    let event = Words::new()
        .with_u32(0, kind.trim().parse().map_err(io::Error::other)?)
        .with_u32(4, PERF_ATTR as u32)
        .with_u64(8, u64::from(returning))
        .with_u64(56, function.as_ptr() as u64);
    let attr = event.0.as_ptr();
    // SAFETY: the kernel reads the attribute, and the name that it points to.
    let fd = unsafe { syscall(SYS_PERF_EVENT_OPEN, attr, -1, 0, -1, CLOEXEC) };
    let fd = c_int::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: both take numbers only.
    let failed = fd < 0 || unsafe { ioctl(fd, SET_BPF, program) < 0 || ioctl(fd, ENABLE, 0) < 0 };
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
