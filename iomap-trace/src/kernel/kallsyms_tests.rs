use super::*;
use proptest::prelude::*;

const TEXT: &str = "\
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000100 t btrfs_finish_ordered_io.isra.0
ffffffff81000200 t drop_buffers.constprop.0.isra.12
ffffffff81000300 t piece.part.0
ffffffff81000380 t piece.cold
ffffffff81000400 t twice
ffffffff81000500 t twice
ffffffff82000000 D __tracepoint_iomap_dio_rw_begin
ffffffff82000100 D some_data
ffffffff81000600 t split.constprop.0
ffffffff81000700 t split.constprop.1
ffffffff81000800 t split.isra.0.cold
ffffffff81000900 t whole
ffffffff81000a00 t whole.isra.0
ffffffffc0000010 t finish_ordered_fn\t[btrfs]
nonsense
zz T bad
";

#[test]
fn names_to_addresses() {
    let s = Symbols::parse(TEXT.as_bytes());
    assert_eq!(s.len(), 15);
    let address = |name| s.function(name).map(|f| f.address);
    assert_eq!(
        address("btrfs_finish_ordered_io"),
        Ok(0xffff_ffff_8100_0100)
    );
    assert_eq!(address("drop_buffers"), Ok(0xffff_ffff_8100_0200));
    assert_eq!(address("piece"), Err("no function `piece`".to_owned()));
    assert_eq!(
        address("twice"),
        Err("2 functions are called `twice`".to_owned())
    );
    assert_eq!(
        s.function("finish_ordered_fn").unwrap().module,
        Some("btrfs")
    );
    assert!(!s.has("some_data") && !s.hidden());
    assert_eq!(s.has_tracepoint("iomap_dio_rw_begin"), Some(true));
    assert_eq!(s.has_tracepoint("other"), Some(false));
    assert_eq!(Symbols::parse(b"0 T x\n").has_tracepoint("other"), None);
}

#[test]
fn a_clone_stands_for_its_function() {
    let s = Symbols::parse(TEXT.as_bytes());
    let name = |of| s.function_with_suffix(of).map(|f| f.name);
    assert_eq!(
        name("btrfs_finish_ordered_io"),
        Ok("btrfs_finish_ordered_io.isra.0")
    );
    assert_eq!(name("drop_buffers"), Ok("drop_buffers.constprop.0.isra.12"));
    assert_eq!(name("whole"), Ok("whole"));
    let why = "`split` has several clones: split.constprop.0, split.constprop.1";
    assert_eq!(name("split"), Err(why.to_owned()));
    assert_eq!(name("piece"), Err("no function `piece`".to_owned()));
    assert_eq!(name("drop"), Err("no function `drop`".to_owned()));
}

#[test]
fn addresses_to_names() {
    let s = Symbols::parse(TEXT.as_bytes());
    assert_eq!(s.names().name(0xffff_ffff_8100_001a), "_text+0x1a");
    assert_eq!(
        s.names().name(0xffff_ffff_c000_0011),
        "finish_ordered_fn+0x1 [btrfs]"
    );
    assert_eq!(s.names().name(0xffff_ffff_d000_0000), "0xffffffffd0000000");
    assert_eq!(s.names().name(1), "0x1");
    assert_eq!(s.names().name(u64::MAX), "0xffffffffffffffff");
}

#[test]
fn hidden_addresses_are_a_reason() {
    let s = Symbols::parse(b"0000000000000000 T _text\n0000000000000000 T schedule\n");
    assert!(s.hidden() && s.has("schedule"));
    assert!(
        s.function("schedule")
            .unwrap_err()
            .contains("kptr_restrict")
    );
    assert_eq!(s.function_with_suffix("schedule").unwrap().address, 0);
    assert_eq!(s.names().name(0x10), "0x10");
    assert_eq!(Symbols::parse(b"").function("x").unwrap_err(), EMPTY);
}

#[test]
fn a_file_is_read_across_buffers() {
    let dir = tempfile::tempdir().unwrap();
    let lines = (0..20_000_u64).map(|i| format!("{:016x} T function_{i}\n", 0x1000 + i * 16));
    std::fs::write(dir.path().join("kallsyms"), lines.collect::<String>()).unwrap();
    let roots = Roots {
        proc: dir.path().to_owned(),
        ..Roots::default()
    };
    let s = Symbols::read(&roots).unwrap();
    assert_eq!(s.len(), 20_000);
    assert_eq!(
        s.names().name(0x1000 + 19_999 * 16 + 3),
        "function_19999+0x3"
    );
    assert_eq!(
        s.function("function_777").unwrap().address,
        0x1000 + 777 * 16
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(text: Vec<u8>, name: String, address: u64) {
        let s = Symbols::parse(&text);
        _ = (s.function(&name), s.names().name(address), s.has_tracepoint(&name), s.hidden());
    }

    #[test]
    fn symbol_like_lines_never_panic(
        lines in prop::collection::vec(
            "[0-9a-f]{0,17} [tTDw]? ?[a-z_.]{0,9}(\\.isra\\.0)?(\t\\[[a-z]{0,3}\\]?)?", 0..40),
        address: u64,
    ) {
        let text = lines.join("\n");
        let s = Symbols::parse(text.as_bytes());
        for symbol in s.iter() {
            prop_assert!(s.has(symbol.name));
        }
        _ = s.names().name(address);
    }
}
