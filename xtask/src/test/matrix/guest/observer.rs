//! A program for the guests of the test matrix, which sees what the kernel holds without the help
//! of the program under test. It is compiled alone, static, and needs nothing but `std`.

use std::ffi::{c_int, c_long};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;

const USAGE: &str = "usage: observer objects | observer drain FROM TO";

/// Number of the system call on x86-64.
const SYS_BPF: c_long = 321;
const PROG_GET_NEXT_ID: c_int = 11;
const MAP_GET_NEXT_ID: c_int = 12;
const PROG_GET_FD_BY_ID: c_int = 13;
const MAP_GET_FD_BY_ID: c_int = 14;
const OBJ_GET_INFO_BY_FD: c_int = 15;
const LINK_GET_NEXT_ID: c_int = 31;
const O_NONBLOCK: i32 = 0o4000;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn close(fd: c_int) -> c_int;
}

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["objects"] => objects(),
        ["drain", from, to] => drain(from, to),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("observer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `bpf(2)` with an attribute of up to 32 bytes.
fn bpf(command: c_int, attribute: &mut [u64; 4]) -> io::Result<c_long> {
    // SAFETY: the kernel reads and writes at most the 32 bytes that it is told of; where they hold
    // a pointer (see `info`), it is one to a buffer that lives as long and is as long as said.
    let got = unsafe { syscall(SYS_BPF, command, attribute.as_mut_ptr(), 32_usize) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(got)
}

/// Prints a line for every program (`prog ID NAME`), map (`map ID NAME`) and link (`link ID`).
fn objects() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for id in ids(PROG_GET_NEXT_ID)? {
        if let Some(info) = info(PROG_GET_FD_BY_ID, id) {
            writeln!(out, "prog {id} {}", name(&info, 64))?;
        }
    }
    for id in ids(MAP_GET_NEXT_ID)? {
        if let Some(info) = info(MAP_GET_FD_BY_ID, id) {
            writeln!(out, "map {id} {}", name(&info, 24))?;
        }
    }
    for id in ids(LINK_GET_NEXT_ID)? {
        writeln!(out, "link {id}")?;
    }
    Ok(())
}

/// All numbers that the command gives.
fn ids(command: c_int) -> io::Result<Vec<u32>> {
    let mut all = Vec::new();
    let mut last = 0;
    loop {
        // `start_id` and, behind it, `next_id`.
        let mut attribute = [last, 0, 0, 0];
        match bpf(command, &mut attribute) {
            Ok(_) => last = attribute[0] >> 32,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(all),
            Err(error) => return Err(error),
        }
        all.push(last as u32);
    }
}

/// The kernel's description of an object; `None` when it has gone meanwhile.
fn info(open: c_int, id: u32) -> Option<[u8; 256]> {
    let fd = c_int::try_from(bpf(open, &mut [u64::from(id), 0, 0, 0]).ok()?).ok()?;
    let mut info = [0; 256];
    // File descriptor and length, then where to put it.
    let length = (info.len() as u64) << 32;
    let mut attribute = [length | fd as u64, info.as_mut_ptr() as u64, 0, 0];
    let got = bpf(OBJ_GET_INFO_BY_FD, &mut attribute);
    // SAFETY: the descriptor is ours and used nowhere else.
    unsafe { close(fd) };
    got.ok().map(|_| info)
}

/// A name of at most 15 bytes; `-` when there is none.
fn name(info: &[u8; 256], at: usize) -> String {
    let bytes = info[at..at + 16].iter().take_while(|byte| **byte != 0);
    let name: String = bytes.map(|byte| char::from(*byte)).collect();
    if name.is_empty() {
        return "-".to_owned();
    }
    name.replace(' ', "_")
}

/// Appends what a file holds at this moment to another one. `cat` would wait for more.
fn drain(from: &str, to: &str) -> io::Result<()> {
    let mut from = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(from)?;
    let mut to = File::options().append(true).create(true).open(to)?;
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&buffer[..length])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
