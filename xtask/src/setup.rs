//! `cargo xtask setup`: what the tests and the demonstration need from the system.

use crate::util;
use anyhow::Result;
use std::process::{Command, ExitCode};

/// A program, and the package that has it (the same name on Debian, Fedora, Arch and openSUSE,
/// where not said otherwise).
struct Need {
    program: &'static str,
    package: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        program: "mkfs.ext4",
        package: "e2fsprogs",
    },
    Need {
        program: "mkfs.xfs",
        package: "xfsprogs",
    },
    Need {
        program: "mkfs.btrfs",
        package: "btrfs-progs",
    },
    Need {
        program: "losetup",
        package: "mount",
    },
    Need {
        program: "mount",
        package: "mount",
    },
    Need {
        program: "findmnt",
        package: "util-linux",
    },
    Need {
        program: "strace",
        package: "strace",
    },
    // The packages' test.
    Need {
        program: "groff",
        package: "groff-base",
    },
    Need {
        program: "rpm",
        package: "rpm",
    },
    // The metrics' test.
    Need {
        program: "prometheus",
        package: "prometheus",
    },
    // The HTML report's test.
    Need {
        program: "chromium",
        package: "chromium",
    },
];

/// Installs what is missing. What cannot be installed is named, and is no failure: the tests that
/// need it say so themselves.
pub fn run() -> Result<ExitCode> {
    let missing = missing();
    if missing.is_empty() {
        eprintln!("setup: everything is there");
        return Ok(ExitCode::SUCCESS);
    }
    let packages = missing.join(" ");
    if let Err(why) = install(&missing) {
        eprintln!("setup: {why:#}; please install: {packages} (or what has them here)");
    }
    Ok(ExitCode::SUCCESS)
}

/// The packages of the programs that are missing, each once.
fn missing() -> Vec<&'static str> {
    let mut packages: Vec<_> = NEEDS
        .iter()
        .filter(|need| util::which(need.program).is_none())
        .map(|need| need.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn install(packages: &[&str]) -> Result<()> {
    anyhow::ensure!(
        util::which("apt-get").is_some(),
        "this system has no apt-get"
    );
    eprintln!("setup: installing {} with apt-get", packages.join(" "));
    let install = || {
        util::output(
            apt_get("install")
                .arg("--no-install-recommends")
                .args(packages),
        )
    };
    // The lists may be missing or old: fetch them only then, they are large.
    if install().is_err() {
        eprintln!("setup: updating the package lists");
        util::output(&mut apt_get("update"))?;
        install()?;
    }
    Ok(())
}

fn apt_get(subcommand: &str) -> Command {
    let mut command = if util::is_root() {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        sudo
    };
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "-y",
        subcommand,
    ]);
    command
}
