//! Events without names. Every field is named here, so that a new one cannot be forgotten.

use super::names::{Kind, Names};
use crate::event::{
    Event, Failure, FileRecord, Filesystem, Holder, HookReport, KernelInfo, Mount, ProgramReport,
    Start, Text, Touched,
};

/// Values of these mount options name nothing; those of others become pseudonyms.
const PLAIN_OPTIONS: &[&str] = &[
    "agcount",
    "allocsize",
    "barrier",
    "block_validity",
    "commit",
    "compress",
    "compress-force",
    "data",
    "codepage",
    "delalloc",
    "device_discard",
    "discard",
    "dmask",
    "errors",
    "fmask",
    "fragment",
    "inode_readahead_blks",
    "iocharset",
    "jqfmt",
    "journal_ioprio",
    "logbsize",
    "logbufs",
    "max_batch_time",
    "max_inline",
    "max_dir_size_kb",
    "metadata_ratio",
    "min_batch_time",
    "ratio",
    "rescue",
    "resgid",
    "resuid",
    "shortname",
    "space_cache",
    "stripe",
    "subvolid",
    "sunit",
    "swidth",
    "thread_pool",
];

/// Commands of ours, which a command line may show.
const COMMANDS: &[&str] = &["trace", "record", "exec", "audit", "bundle", "report"];

/// Options of ours whose values are numbers or words of ours.
const PLAIN_ARGUMENTS: &[&str] = &[
    "--count",
    "--dev",
    "--duration",
    "--fail-on",
    "--format",
    "--probes",
];

/// Replaces paths, command names, arguments, cgroups and the boot id by pseudonyms.
pub fn redact(event: &mut Event, names: &mut Names) {
    match event {
        Event::Start(start) => redact_start(start, names),
        Event::Failure(failure) => redact_failure(failure, names),
        Event::Holder(holder) => redact_holder(holder, names),
        Event::Dirtied(touched) | Event::Cached(touched) => {
            let Touched {
                failure: _,
                index: _,
                ts_ns: _,
                pid: _,
                tid: _,
                comm,
                how: _,
            } = touched;
            redact_comm(comm, names);
        }
        // Numbers, and words of the kernel and of this program.
        Event::File(file) => {
            let FileRecord {
                ts_ns: _,
                dev: _,
                ino: _,
                root: _,
                size: _,
                allocated: _,
                flags: _,
                extent_size: _,
                compression,
                missing,
            } = &**file;
            compression.iter().for_each(|text| names.public(text));
            missing.iter().for_each(|text| names.public(text));
        }
        // Numbers, and names of flags, hooks and counters.
        Event::Refusal(_) | Event::Outcome(_) | Event::Loss(_) | Event::Mark(_) | Event::End(_) => {
        }
    }
}

fn redact_comm(comm: &mut Text, names: &mut Names) {
    *comm = names.comm(comm).into();
}

fn redact_start(start: &mut Start, names: &mut Names) {
    let Start {
        schema: _,
        version: _,
        command,
        kernel,
        hostname,
        page_size: _,
        boot_id,
        clock: _,
        mounts: of_filesystems,
        filesystems,
        plan: _,
        hooks,
        programs,
        facts: _,
        layout: _,
        limits: _,
        part: _,
    } = start;
    redact_command(command, names);
    let KernelInfo {
        release,
        build,
        arch,
    } = kernel;
    for text in [release, build, arch] {
        names.public(text);
    }
    *boot_id = names.boot(boot_id);
    if let Some(hostname) = hostname {
        *hostname = names.of(Kind::Host, hostname);
    }
    mounts(of_filesystems, names);
    // Words of the kernel and of this program.
    for Filesystem {
        dev: _,
        features,
        data_profiles,
        metadata_profiles,
        sector_size: _,
        node_size: _,
        checksum,
        data_mode,
        missing,
    } in filesystems
    {
        let lists = [features, data_profiles, metadata_profiles];
        let words = lists.into_iter().flatten().chain(checksum).chain(data_mode);
        words.for_each(|word| names.public(word));
        missing.values().for_each(|why| names.public(why));
    }
    for hook in hooks {
        let HookReport {
            hook,
            state: _,
            via,
            symbol,
            reason,
            rejected,
        } = hook;
        names.public(hook);
        let rejected = rejected.iter().flat_map(|r| [&r.via, &r.why]);
        let texts = [via, symbol, reason].into_iter().flatten();
        texts
            .map(|text| &*text)
            .chain(rejected)
            .for_each(|text| names.public(text));
    }
    for ProgramReport { name, .. } in programs {
        names.public(name);
    }
}

/// Options keep their names, their values only where they are commands; from `--` on nothing is kept.
fn redact_command(command: &mut [String], names: &mut Names) {
    let mut own = true;
    let mut plain = false;
    for (at, argument) in command.iter_mut().enumerate() {
        let option = own && argument.starts_with('-') && at > 0;
        if option && argument == "--" {
            own = false;
        } else if option && let Some((option, value)) = argument.split_once('=') {
            let value = names.of(Kind::Argument, value);
            *argument = format!("{option}={value}");
        } else if own && std::mem::take(&mut plain) {
            names.public(argument);
        } else if at == 0 {
            names.path(argument);
            *argument = "iomap-trace".to_owned();
        } else if !(is_option(argument, option) || at == 1 && COMMANDS.contains(&argument.as_str()))
        {
            *argument = names.of(Kind::Argument, argument);
        } else {
            plain = PLAIN_ARGUMENTS.contains(&argument.as_str());
        }
    }
}

/// `--long` or `-s`; a value may be stuck to a longer `-sVALUE`.
fn is_option(argument: &str, option: bool) -> bool {
    option && (argument.starts_with("--") || argument.len() == 2)
}

/// Replaces mount points, and values of options that can name something.
pub fn mounts(mounts: &mut [Mount], names: &mut Names) {
    for mount in mounts {
        let Mount {
            dev: _,
            fs,
            at,
            options,
            block_size: _,
        } = mount;
        names.public(fs);
        *at = names.path(at);
        let redacted: Vec<_> = options
            .split(',')
            .map(|option| match option.split_once('=') {
                None => option.to_owned(),
                Some((name, _)) if PLAIN_OPTIONS.contains(&name) => option.to_owned(),
                Some((name, value)) => format!("{name}={}", names.path(value)),
            })
            .collect();
        *options = redacted.join(",");
    }
}

fn redact_failure(failure: &mut Failure, names: &mut Names) {
    let Failure {
        id: _,
        ts_ns: _,
        duration_ns: _,
        phase: _,
        pid: _,
        tid: _,
        comm,
        worker: _,
        completed_by: _,
        cgroup,
        dev: _,
        ino: _,
        root: _,
        fs,
        path,
        pos: _,
        len: _,
        size: _,
        errno: _,
        wb_err_begin: _,
        wb_err_now: _,
        wb_error_ns: _,
        refusals: _,
        dirtied: _,
        cached: _,
        flags: _,
        stack,
    } = failure;
    redact_comm(comm, names);
    *cgroup = names.cgroup(*cgroup);
    names.public(fs);
    if let Some(path) = path {
        *path = names.path(path);
    }
    stack.iter().for_each(|frame| names.public(frame));
}

fn redact_holder(holder: &mut Holder, names: &mut Names) {
    let Holder {
        id: _,
        kind: _,
        dev: _,
        ino: _,
        root: _,
        pos: _,
        len: _,
        start_ns: _,
        locked_ns: _,
        unlocked_ns: _,
        end_ns: _,
        pid: _,
        tid: _,
        comm,
        unlocked_by: _,
        created_ns: _,
        created_by: _,
        function,
        ordered_flags: _,
        stack,
    } = holder;
    redact_comm(comm, names);
    if let Some(function) = function {
        names.public(function);
    }
    stack.iter().for_each(|frame| names.public(frame));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_ours_stay_and_their_values_go() {
        let mut names = Names::default();
        let line = "/opt/acme/iomap-trace exec --comm=acmed --count 5 --stacks -o acme.jsonl -- acmed --acme";
        let mut command: Vec<_> = line.split(' ').map(str::to_owned).collect();
        redact_command(&mut command, &mut names);
        let line = command.join(" ");
        assert!(line.starts_with("iomap-trace exec --comm=a-"), "{line}");
        assert!(
            line.contains(" --count 5 --stacks -o a-") && line.contains(" -- a-"),
            "{line}"
        );
        assert!(!line.contains("acme"), "{line}");
    }

    #[test]
    fn a_host_loses_its_name_and_keeps_its_filesystems() {
        let json = serde_json::json!({
            "type": "start", "schema": 1, "version": "1", "command": [], "boot_id": "b",
            "kernel": KernelInfo::default(), "hostname": "db7.acme.example", "page_size": 4096,
            "clock": {"boot_ns": 0, "wall_ns": 0}, "mounts": [], "plan": "fexit", "hooks": [],
            "facts": {"ordered_blocks_release": null}, "layout": {},
            "filesystems": [{"dev": "0:35", "features": ["acme_holes"], "data_mode": "ordered"}],
        });
        let mut event: Event = serde_json::from_value(json).unwrap();
        let mut names = Names::default();
        redact(&mut event, &mut names);
        let Event::Start(start) = &event else {
            panic!("{event:?}")
        };
        assert!(start.hostname.as_ref().unwrap().starts_with("h-"));
        assert_eq!(start.filesystems[0].features, ["acme_holes"]);
        assert!(names.betrays(b"db7.acme.example"));
        assert!(!names.betrays(b"acme_holes"), "a word of the kernel");
    }

    #[test]
    fn mount_options_keep_what_names_nothing() {
        let mut names = Names::default();
        let mut list = [Mount {
            dev: crate::event::Dev::default(),
            fs: "btrfs".into(),
            at: "/srv/acme".into(),
            options: "rw,compress=zstd:3,subvolid=5,subvol=/@acme,logdev=/dev/acme".into(),
            block_size: 4096,
        }];
        mounts(&mut list, &mut names);
        let options = &list[0].options;
        assert!(
            options.starts_with("rw,compress=zstd:3,subvolid=5,subvol=/p-"),
            "{options}"
        );
        assert!(!format!("{list:?}").contains("acme"));
    }
}
