//! Makes scripts of scripts: what is exchanged, repeated and left out are words and brackets, not bytes, so that much
//! of it still means something.

use std::sync::LazyLock;

use bpftrace::builtins;
use bpftrace::config::VARIABLES;

use crate::random::Random;

/// The words and signs of the language that no table has.
const WORDS: &[&str] = &[
    "if",
    "else",
    "while",
    "unroll",
    "for",
    "let",
    "return",
    "break",
    "continue",
    "import",
    "struct",
    "union",
    "enum",
    "typedef",
    "macro",
    "config",
    "typeof",
    "sizeof",
    "offsetof",
    "typeinfo",
    "true",
    "false",
    "BEGIN",
    "END",
    "begin",
    "end",
    "kprobe:f",
    "kretprobe:f",
    "uprobe:/bin/x:f",
    "interval:s:1",
    "profile:hz:99",
    "tracepoint:a:b",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "string",
    "string[8]",
    "string[64]",
    "buffer",
    "buffer[16]",
    "void",
    "char",
    "int",
    "unsigned",
    "long",
    "int8[4]",
    "uint64[2]",
    "struct task_struct",
    "struct file",
    "struct path",
    "size_t",
    "pid_t",
    "arg0",
    "arg1",
    "args.dfd",
    "args.filename",
    "args.comm",
    "$x",
    "$y",
    "$z",
    "@",
    "@a",
    "@b",
    "@c",
    "@m",
    "@x[1]",
    "@y[pid, comm]",
    "$1",
    "$2",
    "$#",
    "lruhash(10)",
    "percpuhash(10)",
    "percpuarray(4)",
    "hash(100)",
    "lrupercpuhash(7)",
    "0",
    "1",
    "2",
    "3",
    "8",
    "64",
    "-1",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "0x7f",
    "1e6",
    "1_000",
    "10s",
    "5ms",
    "077",
    "\"\"",
    "\"a\"",
    "\"%d %s\\n\"",
    "\"%r\"",
    "\"\\x00\"",
    "\"%-10.3s\"",
    "\"abcdefghijklmnopq\"",
    "// old\n",
    "// unsafe\n",
    "/* */",
    "#define A 1\n",
    "#include <linux/fs.h>\n",
    "#ifdef A\n",
    "#endif\n",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "{ }",
    "()",
    ";",
    ",",
    ":",
    "?",
    ".",
    "..",
    "->",
    "+",
    "-",
    "*",
    "/",
    "%",
    "&",
    "|",
    "^",
    "<<",
    ">>",
    "&&",
    "||",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "!",
    "~",
    "++",
    "--",
    "=",
    "+=",
    "-=",
    "*=",
    "/=",
    "%=",
    "&=",
    "|=",
    "^=",
    "<<=",
    ">>=",
];

/// Pieces that mean something by themselves.
const PIECES: &[&str] = &[
    "@a = count(); ",
    "@b[pid] = sum(1); ",
    "@c = hist(nsecs); ",
    "@d[comm, 1] = lhist(cpu, 0, 10, 1); ",
    "@e = stats(rand); ",
    "@f = avg(-1); @g = min(2); @h = max(3); ",
    "$x = 1; ",
    "$y = \"abc\"; ",
    "$z = (1, \"a\", (uint8)3); ",
    "let $t : uint16 = 2; ",
    "let $v; $v = 5; ",
    "if ($x > 1) { print($x) } else if (pid) { exit() } else { @++; } ",
    "while ($x < 10) { $x++; if ($x == 5) { break } continue } ",
    "unroll (3) { @u++; } ",
    "for ($i : 0..10) { @i[$i] = $i; } ",
    "for ($kv : @a) { print(($kv.0, $kv.1)); } ",
    "printf(\"%d %s %p\\n\", pid, comm, curtask); ",
    "print(@a); clear(@a); zero(@a); delete(@b, pid); ",
    "$r = (a=1, b=\"x\"); print($r.a); ",
    "$w = { let $q = 2; $q * 2 }; ",
    "$k = str(arg0, 8); @[str(arg1)] = 1; ",
    "$s = kstack(3); @[ustack, $s] = count(); ",
    "@[ksym(arg0), usym(arg1)]++; ",
    "print(curtask.comm); print(curtask->parent->pid); ",
    "$p = (uint32 *)arg0; print(*$p); print($p[3]); $p++; ",
    "$f = (struct file *)arg0; print($f.f_path.dentry.d_name.len); ",
    "$b = buf(arg0, 16); print($b); @b2 = $b; ",
    "$ar = (uint8[8])pid; print($ar[2]); ",
    "print(strncmp(comm, \"abc\", 2)); print(strcontains(comm, \"a\")); ",
    "print(ntop(1)); print(macaddr(arg0)); print(strftime(\"%H\", nsecs)); ",
    "print(sizeof(struct path)); print(offsetof(struct file, f_path)); ",
    "return; ",
    "macro m($a, @b, c) { $a = c; @b = c + 1; c } ",
    "let @m = lruhash(10); ",
    "struct s { int a; char b[4]; union { long c; short d : 3; }; struct s *next; } ",
    "enum e { A, B = 5, C } ",
    "config = { max_strlen = 128; stack_mode = perf } ",
    "BEGIN { } ",
    "kprobe:f / arg0 == 1 / { } ",
];

static TABLE: LazyLock<Vec<String>> = LazyLock::new(|| {
    let names = || builtins::all().flat_map(builtins::Builtin::names);
    let mut table: Vec<String> = WORDS.iter().chain(PIECES).map(|w| (*w).to_owned()).collect();
    table.extend(names().map(str::to_owned));
    table.extend(names().map(|name| format!("{name}(")));
    table.extend(VARIABLES.iter().map(|variable| variable.name.to_owned()));
    table
});

/// The words, numbers, strings, signs and blanks of a text: they cover all of it.
fn split(text: &str) -> Vec<&str> {
    let mut parts = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let while_ = |part: &dyn Fn(char) -> bool| rest.find(|c| !part(c)).unwrap_or(rest.len());
        let end = match first {
            '$' | '@' => 1 + rest[1..].find(|c| !word(c)).unwrap_or(rest.len() - 1),
            '"' => rest[1..].find(['"', '\n']).map_or(rest.len(), |end| end + 2),
            c if word(c) => while_(&word),
            c if c.is_ascii_whitespace() => while_(&|c| c.is_ascii_whitespace()),
            c => c.len_utf8(),
        };
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts
}

/// A few changes to a text, which stays below `limit` bytes. `others` are texts to take pieces from.
pub fn mutate(text: &str, others: &[String], limit: usize, random: &mut Random) -> String {
    let mut parts: Vec<String> = split(text).into_iter().map(str::to_owned).collect();
    for _ in 0..1 + random.below(4) {
        change(&mut parts, others, random);
    }
    let mut made = String::new();
    for part in parts {
        if made.len() + part.len() > limit {
            break;
        }
        made.push_str(&part);
    }
    made
}

fn range(parts: &[String], random: &mut Random) -> std::ops::Range<usize> {
    let start = random.below(parts.len() + 1);
    let most = if random.once_in(8) { 64 } else { 6 };
    start..(start + random.below(most)).min(parts.len())
}

fn change(parts: &mut Vec<String>, others: &[String], random: &mut Random) {
    let at = random.below(parts.len() + 1);
    match random.below(12) {
        0 => drop(parts.drain(range(parts, random))),
        1 => {
            let copy = parts[range(parts, random)].to_vec();
            parts.splice(at..at, copy);
        }
        2 => {
            // Deep nesting, long chains.
            let copy = parts[range(parts, random)].to_vec();
            let times = 1 << random.below(9);
            let many = copy.iter().cycle().take(copy.len() * times).cloned().collect::<Vec<_>>();
            parts.splice(at..at, many);
        }
        3 | 4 => {
            let word = random.pick(&TABLE).clone();
            match parts.get_mut(at) {
                Some(part) => *part = word,
                None => parts.push(word),
            }
        }
        5 | 6 => parts.insert(at, random.pick(&TABLE).clone()),
        7 => {
            let other = random.below(parts.len() + 1);
            if at < parts.len() && other < parts.len() {
                parts.swap(at, other);
            }
        }
        8 => {
            let range = range(parts, random);
            let (open, close) =
                *random.pick(&[("(", ")"), ("{", "}"), ("[", "]"), ("-(", ")"), ("if (1) {", "}")]);
            parts.insert(range.end, close.to_owned());
            parts.insert(range.start, open.to_owned());
        }
        9 => {
            // A word or number in the place of another.
            let (from, to) = (random.below(parts.len() + 1), at);
            if from < parts.len() && to < parts.len() {
                parts[to] = parts[from].clone();
            }
        }
        10 if !others.is_empty() => {
            let other: Vec<String> =
                split(random.pick::<String>(others)).into_iter().map(str::to_owned).collect();
            let piece = other[range(&other, random)].to_vec();
            parts.splice(at..at, piece);
        }
        _ => {
            // A character, somewhere.
            if let Some(part) = parts.get_mut(at) {
                let mut chars: Vec<char> = part.chars().collect();
                let c = char::from_u32(random.below(0x180) as u32).unwrap_or('?');
                let at = random.below(chars.len());
                if random.once_in(2) {
                    chars[at] = c
                } else {
                    chars.insert(at, c)
                }
                *part = chars.into_iter().collect();
            }
        }
    }
}
