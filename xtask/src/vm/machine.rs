//! One guest: QEMU from its start to its end.

use super::disks::Disk;
use super::tail::Tail;
use super::tools::{QEMU, Tools};
use super::watch::{End, Limits, Watch};
use crate::signal;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often the guest's files are looked at.
const POLL: Duration = Duration::from_millis(50);

/// The ports by which a guest reports; each is a file of this name on the host.
const PORTS: &[&str] = &["control", "stdout", "stderr"];

/// The log of the console among the files of the host.
pub const CONSOLE: &str = "console.log";

/// Whose time the guest's is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The host's, with two CPUs.
    #[default]
    Host,
    /// Its own: a nanosecond for each instruction, with one CPU, and none where it would wait. What
    /// the host does meanwhile is not seen.
    Instructions,
}

impl Clock {
    /// How the processors are emulated. Hardware virtualisation is not everywhere, and timing must
    /// not depend on it.
    const fn options(self) -> &'static str {
        match self {
            Self::Host => "-accel tcg,thread=multi -smp 2",
            Self::Instructions => "-accel tcg,thread=single -smp 1 -icount shift=0,sleep=off",
        }
    }
}

/// What a guest is started with.
pub struct Machine<'a> {
    /// The kernel's image.
    pub image: &'a Path,
    /// Its first root directory, a cpio archive.
    pub initramfs: &'a Path,
    /// Its disks.
    pub disks: &'a [Disk],
    /// More words for the kernel's command line.
    pub append: &'a str,
    /// Whose time the guest's is.
    pub clock: Clock,
    /// Where the console and the ports go.
    pub files: &'a Path,
    /// How long it may take.
    pub limits: Limits,
}

impl Machine<'_> {
    /// Runs the guest; hands on what its command says on standard error as it comes.
    ///
    /// # Errors
    /// When QEMU cannot be started, or this program is interrupted.
    pub fn run(&self, tools: &Tools) -> Result<End> {
        let mut command = self.command(tools)?;
        let console = path_option("file:", &self.files.join(CONSOLE));
        command.arg("-serial").arg(console);
        let said = self.files.join("qemu.log");
        let log = File::create(&said).with_context(|| format!("cannot make {}", said.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // A Ctrl-C is for this program, which reports what became of the guest.
        command.process_group(0);
        let start = Instant::now();
        let mut qemu = Running::start(command)?;

        let tail = |name: &str| Tail::new(&self.files.join(name));
        let (mut console, mut control) = (tail(CONSOLE), tail("control"));
        let mut stderr = tail("stderr");
        let mut watch = Watch::new(self.limits);
        let mut was_ready = false;
        loop {
            // First this, so that what the guest said last is still read.
            let ended = qemu.has_ended()?;
            let now = start.elapsed();
            for line in console.lines() {
                watch.console(now, &line);
            }
            for line in control.lines() {
                watch.control(now, &line);
            }
            if let Some((after, release)) = watch.ready()
                && !was_ready
            {
                was_ready = true;
                eprintln!("vm: {release} is up after {:.1} s", after.as_secs_f64());
            }
            std::io::stderr().write_all(&stderr.bytes())?;
            if let Some(end) = watch.end(now) {
                return Ok(end);
            }
            if ended {
                return Ok(watch.emulator_ended(&fs::read_to_string(&said).unwrap_or_default()));
            }
            if signal::interrupted() {
                bail!("interrupted; the virtual machine is stopped");
            }
            std::thread::sleep(POLL);
        }
    }

    /// Runs the guest with its console on this terminal until it is switched off.
    ///
    /// # Errors
    /// When QEMU cannot be started or fails.
    pub fn shell(&self, tools: &Tools) -> Result<()> {
        let mut command = self.command(tools)?;
        command.args(["-serial", "mon:stdio"]);
        let mut qemu = Running::start(command)?;
        while !qemu.has_ended()? {
            if signal::interrupted() {
                bail!("interrupted; the virtual machine is stopped");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// The emulator without a console.
    fn command(&self, tools: &Tools) -> Result<Command> {
        let mut command = tools.command(QEMU)?;
        command.args("-nodefaults -no-user-config -display none -no-reboot".split(' '));
        command.args("-machine q35 -cpu max -m 2G".split(' '));
        command.args(self.clock.options().split(' '));
        command.arg("-kernel").arg(self.image);
        command.arg("-initrd").arg(self.initramfs);
        // An oops ends the guest, and a panic at once.
        let words = format!("console=ttyS0 panic=-1 oops=panic {}", self.append);
        command.arg("-append").arg(words.trim_end());
        for Disk { serial, file } in self.disks {
            // Nothing on these disks outlives the guest: writes need not reach the real one.
            let drive = format!("if=none,format=raw,cache=unsafe,id={serial},file=");
            command.arg("-drive").arg(path_option(&drive, file));
            let device = format!("virtio-blk-pci,drive={serial},serial={serial}");
            command.args(["-device", &device]);
        }
        command.args(["-device", "virtio-serial-pci"]);
        for port in PORTS {
            let chardev = path_option(&format!("file,id={port},path="), &self.files.join(port));
            command.arg("-chardev").arg(chardev);
            let device = format!("virtserialport,chardev={port},name={port}");
            command.args(["-device", &device]);
        }
        Ok(command)
    }
}

/// An option that ends in a path, in which QEMU wants commas doubled.
fn path_option(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    match path.to_str() {
        Some(path) => text.push(path.replace(',', ",,")),
        None => text.push(path),
    }
    text
}

/// A running emulator, which ends with this value, and with this program however that ends.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        // SAFETY: prctl with these arguments takes no pointers and may be called after fork.
        unsafe {
            command.pre_exec(|| {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        command.spawn().map(Self).context("cannot start QEMU")
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The files of the host into which the guest's console and ports go.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let names = [CONSOLE, "qemu.log"].into_iter();
    names
        .chain(PORTS.iter().copied())
        .map(|name| dir.join(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::path_option;
    use std::path::Path;

    #[test]
    fn commas_in_paths_do_not_end_them() {
        let option = path_option("file,path=", Path::new("/a,b/c"));
        assert_eq!(option, "file,path=/a,,b/c");
    }
}
