//! Entries as a terminal shows them.

use std::fmt::Write;

use super::Entry;

/// The longest line.
const WIDTH: usize = 80;
const INDENT: &str = "    ";

/// The entries, one after the other.
pub fn entries(entries: &[Entry]) -> String {
    entries.iter().map(entry).collect::<Vec<_>>().join("\n")
}

fn entry(entry: &Entry) -> String {
    let mut out = format!("{} ({})\n\n", entry.name, entry.kind.name());
    for form in &entry.forms {
        let _ = writeln!(out, "{INDENT}{form}");
    }
    if !entry.aliases.is_empty() {
        let _ = writeln!(out, "{INDENT}Also: {}", entry.aliases.join(", "));
    }
    let _ = write!(out, "\n{}", wrapped(&format!("{}.", entry.summary)));
    for paragraph in &entry.paragraphs {
        let _ = write!(out, "\n{}", wrapped(paragraph));
    }
    if !entry.example.is_empty() {
        out.push_str("\nExample:\n\n");
        for line in entry.example.lines() {
            let _ = writeln!(out, "{INDENT}{line}");
        }
    }
    out
}

/// Words in lines of at most [`WIDTH`] characters.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > WIDTH {
            out.push('\n');
            width = 0;
        }
        if width > 0 {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
    }
    out.push('\n');
    out
}
