//! Whole outputs, from bytes to lines.

use super::writer::Writer;
use super::*;
use crate::config::Config;
use crate::image::MapKind;
use crate::symbols::Symbols;
use crate::types::{
    Agg, Bits, Enum, EnumId, Field, Int, Layouts, Space, StackFormat, StackMode, Struct, StructId,
};

/// What was written, as text.
fn text_of(kept: &Kept) -> String {
    String::from_utf8(kept.take()).unwrap()
}

/// A host without anything to look up, and the types of a small script.
struct Bench {
    manifest: Manifest,
    symbols: Symbols,
    config: Config,
    lookups: Lookups,
}

impl Bench {
    fn new() -> Bench {
        let config = Config::default();
        let manifest = Manifest {
            layouts: layouts(),
            strings: vec!["%Y-%m".into()],
            probe_names: vec!["begin".into(), "kprobe:vfs_read".into()],
            ..Manifest::default()
        };
        Bench { manifest, symbols: Symbols::new(&config, &[]), config, lookups: Lookups::default() }
    }

    fn with<T>(&mut self, run: impl FnOnce(&mut Names<'_>) -> T) -> T {
        // Stack 1 is one that was lost.
        let mut frames =
            |limit: u32, id: u64| (0..u64::from(limit)).filter(|_| id != 1).map(|n| id + n).collect();
        run(&mut Names {
            manifest: &self.manifest,
            symbols: &mut self.symbols,
            frames: &mut frames,
            config: &self.config,
            lookups: &mut self.lookups,
        })
    }

    fn format(&mut self, format: &str, args: &[(&Type, &[u8])]) -> String {
        let args: Vec<_> = args.iter().map(|(ty, bytes)| Bytes::new(ty, bytes)).collect();
        let format = Format::parse(format).unwrap();
        let mut text = vec![];
        self.with(|names| format_to(&mut text, &format, &args, names));
        String::from_utf8(text).unwrap()
    }

    /// What a value shows as text and in JSON.
    fn both(&mut self, ty: &Type, bytes: &[u8]) -> (String, String) {
        let shown = [Form::Text, Form::Json].map(|form| {
            let file = Kept::default();
            let mut output = to(form, Buffering::None, Box::new(file.clone()));
            self.with(|names| output.value(Bytes::new(ty, bytes), names)).unwrap();
            text_of(&file)
        });
        let [text, json] = shown;
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["type"], "value");
        let data =
            json.strip_prefix("{\"type\": \"value\", \"data\": ").unwrap().strip_suffix("}\n").unwrap();
        (text.strip_suffix('\n').unwrap().to_owned(), data.to_owned())
    }

    fn map(&mut self, form: Form, map: &Map, entries: &[Entry<'_>], top: u32, div: u32) -> String {
        let file = Kept::default();
        let mut output = to(form, Buffering::Full, Box::new(file.clone()));
        self.with(|names| output.map(map, entries, Some(top), Some(div), names)).unwrap();
        output.finish().unwrap();
        let text = text_of(&file);
        if form == Form::Json && !text.is_empty() {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
        text
    }
}

fn layouts() -> Layouts {
    let field =
        |name: &str, ty: &Type, offset, bits| Field { name: name.into(), ty: ty.clone(), offset, bits };
    let bits = |shift, width| Some(Bits { shift, width });
    let inner = Struct {
        name: "inner".into(),
        union: false,
        size: 8,
        align: 4,
        fields: vec![
            field("low", &Type::U32, 0, bits(0, 3)),
            field("high", &Type::I32, 0, bits(3, 4)),
            field("", &Type::U32, 4, None),
            field("tail", &Type::U16, 4, None),
        ],
    };
    let outer = Struct {
        name: "outer".into(),
        union: false,
        size: 24,
        align: 8,
        fields: vec![
            field("in", &Type::Struct(StructId(1)), 0, None),
            field("bytes", &Type::Array { elem: Box::new(Type::U8), len: 3 }, 8, None),
            field("name", &Type::Str(4), 11, None),
            field("next", &Type::ptr(Type::Struct(StructId(2)), Space::Kernel), 16, None),
        ],
    };
    let empty = Struct { name: "empty".into(), union: false, size: 0, align: 1, fields: vec![] };
    let colour = Enum {
        name: "colour".into(),
        int: Int::U32,
        values: vec![("RED".into(), 1), ("NONE".into(), -1), ("BLUE".into(), 4)],
    };
    Layouts {
        structs: [(StructId(1), inner), (StructId(2), outer), (StructId(3), empty)].into(),
        enums: [(EnumId(1), colour)].into(),
    }
}

fn map(name: &str, key: Option<Type>, value: Type) -> Map {
    Map {
        name: name.into(),
        symbol: "map".into(),
        kind: MapKind::Hash,
        max_entries: 1,
        declared: false,
        key,
        value,
    }
}

fn words(words: &[i64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn entry(key: &[u8], value: &[u8]) -> Entry<'static> {
    Entry { key: key.to_vec().into(), value: value.to_vec().into() }
}

#[test]
fn scalars() {
    let mut bench = Bench::new();
    let colour = Type::Enum { id: EnumId(1), int: Int::U32 };
    let ptr = Type::ptr(Type::U8, Space::User);
    for (ty, bytes, text, json) in [
        (Type::Int(Int::I8), &(-7i8).to_ne_bytes()[..], "-7", "-7"),
        (Type::U8, &[249], "249", "249"),
        (Type::Int(Int::I16), &(-555i16).to_ne_bytes(), "-555", "-555"),
        (Type::U32, &u32::MAX.to_ne_bytes(), "4294967295", "4294967295"),
        (Type::I64, &i64::MIN.to_ne_bytes(), "-9223372036854775808", "-9223372036854775808"),
        (Type::I64, &i64::MAX.to_ne_bytes(), "9223372036854775807", "\"9223372036854775807\""),
        (Type::U64, &u64::MAX.to_ne_bytes(), "18446744073709551615", "\"18446744073709551615\""),
        (Type::Bool, &[1], "true", "true"),
        (Type::Bool, &[0], "false", "false"),
        (ptr, &0x32u64.to_ne_bytes(), "0x32", "50"),
        (colour.clone(), &4u32.to_ne_bytes(), "BLUE", "4"),
        (colour.clone(), &u32::MAX.to_ne_bytes(), "NONE", "4294967295"),
        (colour, &9u32.to_ne_bytes(), "9", "9"),
        (Type::Void, &[], "null", "null"),
        (Type::ProbeName, &1u32.to_ne_bytes(), "kprobe:vfs_read", "\"kprobe:vfs_read\""),
        (Type::ProbeName, &7u32.to_ne_bytes(), "?", "\"?\""),
        (Type::Username, &0u32.to_ne_bytes(), "root", "\"root\""),
        (Type::KSym, &0x10u64.to_ne_bytes(), "0x10", "\"0x10\""),
        // An image's bytes may be too few: what is missing is zero.
        (Type::U64, &[], "0", "0"),
    ] {
        assert_eq!(bench.both(&ty, bytes), (text.to_owned(), json.to_owned()), "{ty:?}");
    }
}

#[test]
fn strings_buffers_and_addresses() {
    let mut bench = Bench::new();
    assert_eq!(bench.both(&Type::Str(8), b"a\"b\n\0zz\0"), ("a\"b\n".into(), r#""a\"b\n""#.into()));
    assert_eq!(bench.both(&Type::Str(4), b"abcd").0, "abcd", "a field of a struct may be full");
    let mut buf = 3u32.to_ne_bytes().to_vec();
    buf.extend(b"a\x01\xffrest");
    assert_eq!(bench.both(&Type::Buf(7), &buf), ("a\\x01\\xff".into(), "[97,1,-1]".into()));
    let inet = |family: i32, octets: &[u8]| {
        let mut bytes = family.to_ne_bytes().to_vec();
        bytes.extend(octets);
        bytes.resize(20, 0);
        bytes
    };
    assert_eq!(bench.both(&Type::Inet, &inet(libc::AF_INET, &[127, 0, 0, 1])).0, "127.0.0.1");
    let mut loopback = [0; 16];
    loopback[15] = 1;
    assert_eq!(bench.both(&Type::Inet, &inet(libc::AF_INET6, &loopback)).0, "::1");
    assert_eq!(bench.both(&Type::Inet, &inet(1, &loopback)).0, "");
    assert_eq!(bench.both(&Type::Mac, &[0, 1, 0x2a, 0xff, 9, 16]).0, "00:01:2A:FF:09:10");
    let mut stamp = 1_000_000_000_000_000_000u64.to_ne_bytes().to_vec();
    stamp.extend(0u32.to_ne_bytes());
    stamp.extend((libc::CLOCK_REALTIME as u32).to_ne_bytes());
    assert_eq!(bench.both(&Type::Timestamp, &stamp).0, "2001-09");
}

#[test]
fn a_string_as_long_as_strings_may_be_was_cut() {
    let mut bench = Bench::new();
    bench.config.max_strlen = 6;
    assert_eq!(bench.both(&Type::Str(7), b"abcdef\0").0, "abcdef..");
    assert_eq!(bench.both(&Type::Str(7), b"abcde\0f").0, "abcde");
    assert_eq!(bench.both(&Type::Str(6), b"abcde\0").0, "abcde", "as long as the script asked for");
    bench.config.str_trunc_trailer = "_".into();
    let bare = Bytes { ty: &Type::Str(7), bytes: b"abcdef", bare: true };
    let mut text = vec![];
    let format = Format::parse("<%s>").unwrap();
    bench.with(|names| format_to(&mut text, &format, &[bare], names));
    assert_eq!(text, b"<abcdef_>");
    let bare = Bytes { ty: &Type::Buf(6), bytes: b"ab", bare: true };
    text.clear();
    bench.with(|names| format_to(&mut text, &Format::parse("<%rh>").unwrap(), &[bare], names));
    assert_eq!(text, b"<61 62>");
}

#[test]
fn composites() {
    let mut bench = Bench::new();
    let tuple = Type::Tuple(vec![Type::U8, Type::I64, Type::Str(4), Type::Tuple(vec![Type::Bool, Type::U8])]);
    let mut bytes = vec![5, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend((-2i64).to_ne_bytes());
    bytes.extend(b"ab\0\0\x01\x09");
    bytes.resize(24, 0);
    let shown = bench.both(&tuple, &bytes);
    assert_eq!(shown, ("(5, -2, ab, (true, 9))".into(), "[5,-2,\"ab\",[true,9]]".into()));
    let record = Type::Record(vec![("a".into(), Type::U8), ("b".into(), Type::U16)]);
    let shown = bench.both(&record, &[7, 0, 1, 0]);
    assert_eq!(shown, ("{ .a = 7, .b = 1 }".into(), "{\"a\": 7, \"b\": 1}".into()));
    let array = Type::Array { elem: Box::new(Type::Array { elem: Box::new(Type::U8), len: 2 }), len: 2 };
    assert_eq!(bench.both(&array, &[5, 6, 7, 8]), ("[[5,6],[7,8]]".into(), "[[5,6],[7,8]]".into()));
    assert_eq!(bench.both(&Type::Struct(StructId(3)), &[]), ("{}".into(), "{}".into()));
    assert_eq!(bench.both(&Type::Struct(StructId(99)), &[]).0, "{}");
}

#[test]
fn structs_with_bitfields_arrays_and_pointers() {
    let mut bench = Bench::new();
    // low = 5, high = -2
    let mut bytes = (5u32 | 0b1110 << 3).to_ne_bytes().to_vec();
    bytes.extend(0x1_0007u32.to_ne_bytes());
    bytes.extend([1, 2, 3]);
    bytes.extend(b"xy\0zz");
    bytes.extend(0xffff_0000u64.to_ne_bytes());
    let (text, json) = bench.both(&Type::Struct(StructId(2)), &bytes);
    let inner = "{ .low = 5, .high = -2, .tail = 7 }";
    assert_eq!(text, format!("{{ .in = {inner}, .bytes = [1,2,3], .name = xy, .next = 0xffff0000 }}"));
    let inner = r#"{"low": 5, "high": -2, "tail": 7}"#;
    assert_eq!(json, format!(r#"{{"in": {inner}, "bytes": [1,2,3], "name": "xy", "next": 4294901760}}"#));
}

#[test]
fn stacks_without_symbols() {
    let mut bench = Bench::new();
    let stack = |user: bool, mode, frames: u32| {
        let format = StackFormat { mode, limit: 3 };
        let mut bytes = 0xabcu64.to_ne_bytes().to_vec();
        bytes.extend(frames.to_ne_bytes());
        bytes.extend(u32::MAX.to_ne_bytes());
        (if user { Type::UStack(format) } else { Type::KStack(format) }, bytes)
    };
    for (user, mode, frames, text) in [
        (false, StackMode::Bpftrace, 2, "\n        0xabc\n        0xabd\n"),
        (true, StackMode::Bpftrace, 1, "\n        0xabc\n"),
        (false, StackMode::Perf, 1, "\n\tabc 0xabc\n"),
        (true, StackMode::Perf, 1, "\n\tabc 0xabc ([unknown])\n"),
        (true, StackMode::Raw, 2, "\nabc\nabd\n"),
        (false, StackMode::Raw, 1, "\nabc\n"),
        (true, StackMode::BuildId, 1, "\nabc\n"),
        (true, StackMode::Bpftrace, 0, "\n"),
    ] {
        let (ty, bytes) = stack(user, mode, frames);
        assert_eq!(bench.both(&ty, &bytes).0, text);
    }
    let (ty, mut lost) = stack(false, StackMode::Perf, 2);
    lost[..8].copy_from_slice(&1u64.to_ne_bytes());
    assert_eq!(bench.both(&ty, &lost).0, "\n        <stack lost>\n");
    let (ty, bytes) = stack(false, StackMode::Bpftrace, 2);
    let map = map("@s", Some(Type::Tuple(vec![ty, Type::Str(4)])), Type::Agg(Agg::Count));
    let mut key = bytes;
    key.extend(b"ab\0\0");
    key.resize(24, 0);
    let entries = [entry(&key, &words(&[3]))];
    let text = bench.map(Form::Text, &map, &entries, 0, 0);
    assert_eq!(text, "@s[\n        0xabc\n        0xabd\n, ab]: 3\n");
    let json = bench.map(Form::Json, &map, &entries, 0, 0);
    assert_eq!(json, "{\"type\": \"map\", \"data\": {\"@s\": {\"\\n0xabc\\n0xabd\\n,ab\": 3}}}\n");
}

#[test]
fn maps_of_numbers() {
    let mut bench = Bench::new();
    let scalar = map("@x", None, Type::I64);
    assert_eq!(bench.map(Form::Text, &scalar, &[entry(&[], &words(&[5]))], 0, 0), "@x: 5\n");
    let json = bench.map(Form::Json, &scalar, &[entry(&[], &words(&[5]))], 0, 0);
    assert_eq!(json, "{\"type\": \"map\", \"data\": {\"@x\": 5}}\n");
    let keyed = map("@", Some(Type::Tuple(vec![Type::U8, Type::Str(5)])), Type::I64);
    let entries: Vec<_> = (1u8..=4)
        .map(|n| {
            let key = [n, b'a', b' ', b'b', 0, 0];
            entry(&key, &words(&[i64::from(n) * 10]))
        })
        .collect();
    assert_eq!(
        bench.map(Form::Text, &keyed, &entries, 0, 0),
        "@[1, a b]: 10\n@[2, a b]: 20\n@[3, a b]: 30\n@[4, a b]: 40\n"
    );
    assert_eq!(bench.map(Form::Text, &keyed, &entries, 2, 10), "@[3, a b]: 3\n@[4, a b]: 4\n");
    assert_eq!(
        bench.map(Form::Json, &keyed, &entries, 1, 0),
        "{\"type\": \"map\", \"data\": {\"@\": {\"4,ab\": 40}}}\n"
    );
    for form in [Form::Text, Form::Json] {
        assert_eq!(bench.map(form, &keyed, &[], 0, 0), "");
    }
}

#[test]
fn maps_of_aggregations() {
    let mut bench = Bench::new();
    let mut one = |agg: Agg, value: &[i64], div| {
        let map = map("@a", None, Type::Agg(agg));
        let entries = [entry(&[], &words(value))];
        let text = bench.map(Form::Text, &map, &entries, 0, div);
        let json = bench.map(Form::Json, &map, &entries, 0, div);
        (text, json)
    };
    assert_eq!(one(Agg::Count, &[7], 2).0, "@a: 3\n");
    assert_eq!(one(Agg::Sum { signed: true }, &[-7], 2).0, "@a: -3\n");
    assert_eq!(one(Agg::Sum { signed: false }, &[-1], 1).0, "@a: 18446744073709551615\n");
    assert_eq!(one(Agg::Min { signed: true }, &[-3, 1], 1).0, "@a: -3\n");
    assert_eq!(one(Agg::Max { signed: false }, &[9, 1], 1).0, "@a: 9\n");
    let (text, json) = one(Agg::Avg { signed: true }, &[-10, 4], 1);
    assert_eq!((text.as_str(), json.contains("\"stats\"")), ("@a: -2\n", true));
    assert_eq!(one(Agg::Avg { signed: false }, &[0, 0], 1).0, "@a: 0\n");
    let (text, json) = one(Agg::Stats { signed: true }, &[-12, 4], 3);
    assert_eq!(text, "@a: { .count = 4, .average = -1, .total = -12 }\n");
    assert_eq!(
        json,
        "{\"type\": \"stats\", \"data\": {\"@a\": {\"count\": 4, \"average\": -1, \"total\": -12}}}\n"
    );
}

#[test]
fn maps_of_histograms() {
    let mut bench = Bench::new();
    let hist = Agg::Hist { bits: 0 };
    let mut counts = vec![0; 65];
    (counts[0], counts[2], counts[5]) = (1, 3, 2);
    let scalar = map("@h", None, Type::Agg(hist));
    let bar = |n: usize| format!("{:52}", "@".repeat(n));
    let drawn = format!(
        "(..., 0)               1 |{}|\n[0]                    0 |{}|\n[1]                    3 |{}|\n\
         [2, 4)                 0 |{}|\n[4, 8)                 0 |{}|\n[8, 16)                2 |{}|\n",
        bar(17),
        bar(0),
        bar(52),
        bar(0),
        bar(0),
        bar(34)
    );
    let entries = [entry(&[], &words(&counts))];
    assert_eq!(bench.map(Form::Text, &scalar, &entries, 0, 0), format!("@h:\n{drawn}\n"));
    let keyed = map("@h", Some(Type::U8), Type::Agg(hist));
    let entries = [entry(&[3], &words(&counts)), entry(&[4], &words(&counts))];
    assert_eq!(bench.map(Form::Text, &keyed, &entries, 0, 0), format!("@h[3]:\n{drawn}\n@h[4]:\n{drawn}\n"));
    let json = bench.map(Form::Json, &keyed, &entries, 1, 0);
    let expected = concat!(
        r#"{"type": "hist", "data": {"@h": {"4": [{"max": -1, "count": 1},{"min": 0, "max": 0, "count": 0},"#,
        r#"{"min": 1, "max": 1, "count": 3},{"min": 2, "max": 3, "count": 0},"#,
        r#"{"min": 4, "max": 7, "count": 0},{"min": 8, "max": 15, "count": 2}]}}}"#,
        "\n"
    );
    assert_eq!(json, expected);
    let empty = [entry(&[], &words(&[0; 65]))];
    assert_eq!(bench.map(Form::Text, &scalar, &empty, 0, 0), "@h:\n\n");
    assert_eq!(
        bench.map(Form::Json, &scalar, &empty, 0, 0),
        "{\"type\": \"hist\", \"data\": {\"@h\": []}}\n"
    );
    let linear = map("@l", None, Type::Agg(Agg::LHist { min: 0, max: 20, step: 10 }));
    let json = bench.map(Form::Json, &linear, &[entry(&[], &words(&[0, 0, 1, 2]))], 0, 0);
    assert!(json.contains(r#"[{"min": 10, "max": 19, "count": 1},{"min": 20, "count": 2}]"#), "{json}");
}

#[test]
fn the_other_records() {
    let run = |form, calls: &dyn Fn(&mut dyn Output)| {
        let (file, errors) = (Kept::default(), Kept::default());
        let writer = Writer::new(Buffering::Line, Box::new(file.clone()));
        let mut output: Box<dyn Output> = match form {
            Form::Text => Box::new(text::Text::new(writer, Box::new(errors.clone()))),
            Form::Json => Box::new(json::Json::new(writer)),
        };
        calls(output.as_mut());
        output.finish().unwrap();
        let text = text_of(&file);
        if form == Form::Json {
            for line in text.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
        (text, text_of(&errors))
    };
    let calls = |output: &mut dyn Output| {
        output.attached(1).unwrap();
        output.attached(3).unwrap();
        output.text("time", b"12:00\n").unwrap();
        output.text("join", b"a,b").unwrap();
        output.text("cat", b"x\xff\x01").unwrap();
        output.lost_events(7).unwrap();
        output.end().unwrap();
    };
    let file = Kept::default();
    let mut plain = to(Form::Text, Buffering::Full, Box::new(file.clone()));
    plain.text("cat", b"\xff").unwrap();
    plain.finish().unwrap();
    assert_eq!(file.take(), b"\xff", "bytes stay what they are in text");
    let json = concat!(
        r#"{"type": "attached_probes", "count": 1, "data": {"probes": 1}}"#,
        "\n",
        r#"{"type": "attached_probes", "count": 3, "data": {"probes": 3}}"#,
        "\n",
        r#"{"type": "time", "data": "12:00\n"}"#,
        "\n",
        r#"{"type": "join", "data": "a,b"}"#,
        "\n",
        "{\"type\": \"cat\", \"data\": \"x\u{fffd}\\u0001\"}\n",
        r#"{"type": "lost_events", "count": 7, "data": {"events": 7}}"#,
        "\n"
    );
    assert_eq!(run(Form::Json, &calls).0, json);
    let text = run(Form::Text, &|output| {
        output.attached(1).unwrap();
        output.attached(3).unwrap();
        output.text("join", b"a,b").unwrap();
        output.text("time", b"12:00").unwrap();
        output.lost_events(7).unwrap();
        output.end().unwrap();
    });
    assert_eq!(
        text,
        ("a,b\n12:00\n\n".into(), "Attached 1 probe\nAttached 3 probes\nLost 7 events\n".into())
    );
    let sources = Sources::single("stdin", "begin { errorf(\"a\"); }");
    let say = |kind, text: &str| {
        let span = Span::new(Default::default(), 8, 19);
        let message = Message { kind, text, span, sources: &sources };
        [Form::Text, Form::Json].map(|form| run(form, &|output| output.message(&message).unwrap()))
    };
    let [text, json] = say(MessageKind::Error, "a \"b\"");
    assert_eq!(text, (String::new(), "stdin:1:9-20: ERROR: a \"b\"\n".into()));
    assert_eq!(
        json.0,
        "{\"type\": \"errorf\", \"msg\": \"a \\\"b\\\"\", \"filename\": \"stdin\", \"line\": 1, \"col\": 9}\n"
    );
    let [text, json] = say(MessageKind::Helper { name: "probe_read_user", code: -libc::EFAULT }, "");
    assert!(text.1.starts_with("stdin:1:9-20: WARNING: Bad address\n"), "{text:?}");
    assert!(text.1.contains("probe_read_user") && text.1.contains("-14"), "{text:?}");
    assert!(text.1.ends_with("begin { errorf(\"a\"); }\n        ~~~~~~~~~~~\n"), "{text:?}");
    let [text, _] = say(MessageKind::Helper { name: "map_update_elem", code: -libc::E2BIG }, "");
    assert!(text.1.starts_with("stdin:1:9-20: WARNING: Map full; can't update element"), "{text:?}");
    assert!(
        json.0.contains(r#""msg": "Bad address", "helper": "probe_read_user", "retcode": -14,"#),
        "{json:?}"
    );
}

#[test]
fn printf_shows_values() {
    let mut bench = Bench::new();
    let colour = Type::Enum { id: EnumId(1), int: Int::U32 };
    let red = 1u32.to_ne_bytes();
    assert_eq!(
        bench.format(
            "%d %s|%-5s|%5s|\n",
            &[(&colour, &red), (&colour, &red), (&colour, &red), (&colour, &red)]
        ),
        "1 RED|RED  |  RED|\n"
    );
    assert_eq!(bench.format("[%8.2s]", &[(&Type::Str(5), b"abcde")]), "[      ab]");
    assert_eq!(bench.format("%d %s", &[(&Type::Bool, &[1]), (&Type::Bool, &[1])]), "1 true");
    assert_eq!(
        bench.format("%c%5c%-3c|", &[(&Type::U8, b"A"), (&Type::U8, b"B"), (&Type::U8, b"C")]),
        "A    BC  |"
    );
    let ptr = Type::ptr(Type::U8, Space::Kernel);
    assert_eq!(
        bench.format(
            "%p %p %10p",
            &[(&ptr, &0xabcdu64.to_ne_bytes()), (&ptr, &[0; 8]), (&Type::I64, &words(&[16]))]
        ),
        "0xabcd 0       0x10"
    );
    let mut buf = 2u32.to_ne_bytes().to_vec();
    buf.extend(b"a\x00");
    let ty = Type::Buf(2);
    assert_eq!(
        bench.format("%r|%rx|%rh|%8r|%s", &[(&ty, buf.as_slice()); 5]),
        "a\\x00|\\x61\\x00|61 00|   a\\x00|a\\x00"
    );
    assert_eq!(bench.format("%gr %-4d|", &[(&Type::U32, &[1, 0, 0, 0]), (&Type::U8, &[9])]), "GFP_DMA 9   |");
    assert_eq!(bench.format("100%% %s", &[]), "100% (missing)");
    // Sizes: as in C on a 64-bit machine.
    let x = words(&[0x12_3456_78ab_cdef]);
    assert_eq!(
        bench.format("%hhx %hx %x %jx", &[(&Type::I64, x.as_slice()); 4]),
        "ef cdef 78abcdef 12345678abcdef"
    );
}

/// Against the C library, for random formats and values.
#[test]
fn integers_as_the_c_library_prints_them() {
    let mut bench = Bench::new();
    let mut seed = 1u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    for _ in 0..20_000 {
        let mut format = String::from("%");
        for flag in ["-", "+", " ", "#", "0"] {
            if random(3) == 0 {
                format.push_str(flag);
            }
        }
        if random(2) == 0 {
            format.push_str(&(1 + random(25)).to_string());
        }
        if random(3) == 0 {
            format.push_str(&format!(".{}", random(22)));
        }
        format.push_str(["", "hh", "h", "l", "ll", "j", "z", "t"][random(8) as usize]);
        format.push_str(["d", "i", "u", "o", "x", "X"][random(6) as usize]);
        let value = [0, 1, -1, 7, i64::MIN, i64::MAX, random(1 << 20) as i64, -(random(1 << 31) as i64)]
            [random(8) as usize];
        let template = std::ffi::CString::new(format.clone()).unwrap();
        let mut text = [0u8; 128];
        // SAFETY: the buffer is as long as is said, and every conversion takes one integer of at most 64 bits.
        let length =
            unsafe { libc::snprintf(text.as_mut_ptr().cast(), text.len(), template.as_ptr(), value) };
        let expected = std::str::from_utf8(&text[..length as usize]).unwrap();
        let own = bench.format(&format, &[(&Type::I64, &words(&[value]))]);
        assert_eq!(own, expected, "{format} of {value}");
    }
}

#[test]
fn floats_as_the_c_library_prints_them() {
    let mut bench = Bench::new();
    let values = [0.0, -0.0, 1.5, -2.25, 0.1, 1e300, -1e-300, 123_456_789.0, f64::INFINITY, -f64::NAN];
    for flags in ["", "-", "+", " ", "#", "0", "-0+", "+#0"] {
        for size in ["", "12", ".0", ".3", "20.10", "3.1"] {
            for style in ["f", "F", "e", "E", "g", "G", "a", "A"] {
                for value in values {
                    let format = format!("%{flags}{size}{style}");
                    let template = std::ffi::CString::new(format.clone()).unwrap();
                    let mut text = [0u8; 512];
                    // SAFETY: the buffer is as long as is said, and the conversion takes one double.
                    let length = unsafe {
                        libc::snprintf(text.as_mut_ptr().cast(), text.len(), template.as_ptr(), value)
                    };
                    let expected = std::str::from_utf8(&text[..length as usize]).unwrap();
                    let own = bench.format(&format, &[(&Type::DOUBLE, &value.to_ne_bytes())]);
                    assert_eq!(own, expected, "{format} of {value}");
                }
            }
        }
    }
    let short = 0.1f32.to_ne_bytes();
    assert_eq!(bench.format("%s %.9f", &[(&Type::FLOAT, &short), (&Type::FLOAT, &short)]), "0.1 0.100000001");
}

/// How fast lines are made: `cargo test --release --lib output::tests::speed -- --ignored --nocapture`.
#[test]
#[ignore = "a benchmark"]
fn speed_of_printf() {
    let mut bench = Bench::new();
    let format = Format::parse("%-16s %-6d %llu %s ret=%d\n").unwrap();
    let (comm, path) = (Type::Str(16), Type::Str(1024));
    let values = [Type::U32, Type::U64, Type::I32];
    let mut text = Vec::with_capacity(1 << 16);
    const LINES: u32 = 2_000_000;
    let start = std::time::Instant::now();
    bench.with(|names| {
        for n in 0..u64::from(LINES) {
            let number = n.to_ne_bytes();
            let args = [
                Bytes::new(&comm, b"containerd-shim\0"),
                Bytes::new(&values[0], &number[..4]),
                Bytes::new(&values[1], &number),
                Bytes { ty: &path, bytes: b"/usr/lib/x86_64-linux-gnu/libc.so.6", bare: true },
                Bytes::new(&values[2], &number[..4]),
            ];
            format_to(&mut text, &format, &args, names);
            if text.len() > 1 << 15 {
                text.clear();
            }
        }
    });
    let each = start.elapsed() / LINES;
    println!("{each:?} a line");
    assert!(each < std::time::Duration::from_micros(1), "slower than a million lines a second: {each:?}");
}
