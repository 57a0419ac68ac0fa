use super::super::table::BUILDS;
use super::*;
use iomap_trace_ebpf::FIELDS;

/// A machine that runs the first build of the table.
struct Machine {
    dir: tempfile::TempDir,
    info: KernelInfo,
    roots: Roots,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots {
            sys: dir.path().join("sys"),
            ..Roots::default()
        };
        let build = &BUILDS[0];
        let machine = Self {
            info: KernelInfo {
                release: build.release.to_owned(),
                build: format!("#1 SMP Debian {} (2024-08-10)", build.version),
                arch: build.arch.to_owned(),
            },
            dir,
            roots,
        };
        machine.module(build.build_id);
        for (event, fields) in build.events {
            machine.event(event, fields);
        }
        machine
    }

    fn module(&self, id: &str) {
        let notes = self.roots.sys.join("module/btrfs/notes");
        std::fs::create_dir_all(&notes).unwrap();
        let byte = |at: usize| u8::from_str_radix(&id[at..at + 2], 16).unwrap();
        let id: Vec<u8> = (0..id.len()).step_by(2).map(byte).collect();
        let head = [4, id.len() as u32, 3].map(u32::to_ne_bytes).concat();
        let note = [&head[..], b"GNU\0", &id].concat();
        std::fs::write(notes.join(".note.gnu.build-id"), note).unwrap();
    }

    fn event(&self, name: &str, fields: &[(&str, u32, u32)]) {
        let dir = self.dir.path().join("trace/events/btrfs").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let field = |(name, offset, size): &(&str, u32, u32)| {
            format!("\tfield:u64 {name};\toffset:{offset};\tsize:{size};\tsigned:0;\n")
        };
        let fields: String = fields.iter().map(field).collect();
        let text = format!("name: {name}\nID: 1\nformat:\n{fields}");
        std::fs::write(dir.join("format"), text).unwrap();
    }

    fn tracefs(&self) -> Tracefs {
        Tracefs::at(&self.dir.path().join("trace")).unwrap()
    }

    fn recognise(&self) -> Result<&'static Build, String> {
        recognise(BUILDS, &self.info, &self.roots, Some(&self.tracefs()))
    }
}

#[test]
fn the_build_itself() {
    let machine = Machine::new();
    assert_eq!(machine.recognise(), Ok(&BUILDS[0]));
    let without = recognise(BUILDS, &machine.info, &machine.roots, None);
    assert_eq!(without, Ok(&BUILDS[0]));
    assert_eq!(BUILDS[0].name(), "5.10.0-32-cloud-amd64 (5.10.223-1)");
}

#[test]
fn another_build_is_not_in_the_table() {
    let not_in_the_table = |change: &dyn Fn(&mut KernelInfo)| {
        let mut machine = Machine::new();
        change(&mut machine.info);
        let why = machine.recognise().unwrap_err();
        assert!(why.ends_with("` is not in the table"), "{why}");
        assert!(why.contains(&machine.info.build), "{why}");
    };
    not_in_the_table(&|info| info.release = "5.10.0-32-amd64".to_owned());
    not_in_the_table(&|info| info.arch = "aarch64".to_owned());
    not_in_the_table(&|info| info.build = "#1 SMP Debian 5.10.223-10 (2025-01-01)".to_owned());
    not_in_the_table(&|info| info.build.clear());
}

#[test]
fn another_module_is_refused() {
    let machine = Machine::new();
    machine.module("0123456789abcdef");
    let why = machine.recognise().unwrap_err();
    assert!(why.contains("another one (its build id is 0123456789abcdef)"));
    std::fs::remove_dir_all(&machine.roots.sys).unwrap();
    let why = machine.recognise().unwrap_err();
    assert!(why.contains("build id is not known"), "{why}");
}

#[test]
fn other_events_are_refused() {
    let machine = Machine::new();
    let (event, fields) = BUILDS[0].events[0];
    machine.event(event, &fields[1..]);
    let why = machine.recognise().unwrap_err();
    assert!(why.contains("btrfs_set_extent_bit has no `owner` of 4 bytes at 24"));
    let dir = machine.dir.path().join("trace/events/btrfs");
    std::fs::remove_dir_all(dir).unwrap();
    let why = machine.recognise().unwrap_err();
    assert!(why.contains("No such file"), "{why}");
}

#[test]
fn a_build_has_every_slot_once() {
    for build in BUILDS {
        // Without the place of the tree in the inode its owner and its inode are read instead.
        let ours = |f: &&iomap_trace_ebpf::Field| {
            super::super::is_ours(f.paths[0]) && f.slot != "btrfs_inode_io_tree"
        };
        let mut slots: Vec<_> = FIELDS.iter().filter(ours).map(|f| f.slot).collect();
        let mut given: Vec<_> = build.offsets.iter().map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        given.sort_unstable();
        assert_eq!(given, slots, "{}", build.name());
        assert!(build.extent_locked.is_power_of_two());
        assert_eq!(build.build_id.len(), 40);
    }
}
