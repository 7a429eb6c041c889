//! Output for people.

use std::io::{self, Write};

use super::hist::histogram;
use super::series::{self, series};
use super::value::Show;
use super::writer::Writer;
use super::{
    Bytes, Entry, Message, MessageKind, Names, Output, Trial, format_to, helper_error, shown, trial,
};
use crate::diagnostics::{Diagnostic, render};
use crate::format::Format;
use crate::image::Map;
use crate::types::Type;

/// Data to the file, messages to the error stream.
pub(super) struct Text {
    out: Writer,
    errors: Box<dyn Write>,
}

impl Text {
    pub fn new(out: Writer, errors: Box<dyn Write>) -> Text {
        Text { out, errors }
    }

    /// A message, after all output that came before it.
    fn say(&mut self, text: &str) -> io::Result<()> {
        self.out.write()?;
        writeln!(self.errors, "{}", text.trim_end_matches('\n'))?;
        self.errors.flush()
    }

    /// What follows the colon after a map's name and key: a value on the same line, a drawing on its own.
    fn map_value(&mut self, value: Bytes<'_>, div: u64, last: Option<u64>, names: &mut Names<'_>) {
        let out = &mut self.out.buffer;
        if let Type::Agg(agg) = value.ty
            && let Some(histogram) = histogram(agg, value.bytes, div)
        {
            out.push(b'\n');
            histogram.draw(out);
        } else if let Type::Agg(agg) = value.ty
            && let Some(series) = series(agg, value.bytes, last)
        {
            out.push(b'\n');
            series.draw(out, names);
        } else {
            out.push(b' ');
            Show { names, div }.text(out, value);
        }
        out.push(b'\n');
    }
}

impl Output for Text {
    fn attached(&mut self, probes: usize) -> io::Result<()> {
        self.say(&format!("Attached {probes} probe{}", if probes == 1 { "" } else { "s" }))
    }

    fn printf(&mut self, format: &Format, args: &[Bytes<'_>], names: &mut Names<'_>) -> io::Result<()> {
        format_to(&mut self.out.buffer, format, args, names);
        self.out.commit()
    }

    fn value(&mut self, value: Bytes<'_>, names: &mut Names<'_>) -> io::Result<()> {
        let out = &mut self.out.buffer;
        match value.ty {
            Type::Agg(agg) if let Some(histogram) = histogram(agg, value.bytes, 1) => histogram.draw(out),
            Type::Agg(agg) if let Some(series) = series(agg, value.bytes, None) => series.draw(out, names),
            _ => Show { names, div: 1 }.text(out, value),
        }
        out.push(b'\n');
        self.out.commit()
    }

    fn map(
        &mut self,
        map: &Map,
        entries: &[Entry<'_>],
        top: Option<u32>,
        div: Option<u32>,
        names: &mut Names<'_>,
    ) -> io::Result<()> {
        let last = series::last(&map.value, entries);
        for entry in shown(entries, top) {
            let out = &mut self.out.buffer;
            out.extend_from_slice(map.name.as_bytes());
            if let Some(key) = &map.key {
                out.push(b'[');
                Show { names, div: 1 }.key(out, Bytes::new(key, &entry.key));
                out.push(b']');
            }
            out.push(b':');
            let div = u64::from(div.unwrap_or(1).max(1));
            self.map_value(Bytes::new(&map.value, &entry.value), div, last, names);
            self.out.commit()?;
        }
        Ok(())
    }

    fn entry(&mut self, map: &Map, entry: &Entry<'_>, names: &mut Names<'_>) -> io::Result<()> {
        self.value(Bytes::new(&map.value, &entry.value), names)
    }

    fn text(&mut self, kind: &str, text: &[u8]) -> io::Result<()> {
        let out = &mut self.out.buffer;
        out.extend_from_slice(text);
        // The others' texts end as their authors want them.
        if matches!(kind, "join" | "syscall") {
            out.push(b'\n');
        }
        self.out.commit()
    }

    fn lost_events(&mut self, count: u64) -> io::Result<()> {
        self.say(&format!("Lost {count} events"))
    }

    fn message(&mut self, message: &Message<'_>) -> io::Result<()> {
        let text = message_text(message);
        self.say(&text)
    }

    fn trial(&mut self, trial: &Trial<'_>) -> io::Result<()> {
        trial::text(&mut self.out.buffer, trial);
        self.out.commit()
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.buffer.extend_from_slice(b"\n\n");
        self.out.commit()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.write()
    }
}

/// What the script says itself needs no source text beside it; what happened to it does.
fn message_text(message: &Message<'_>) -> String {
    let diagnostic = |text: &str| Diagnostic::warning("runtime", message.span, text);
    match message.kind {
        MessageKind::Error => {
            render::headline(&Diagnostic::error("errorf", message.span, message.text), message.sources)
        }
        MessageKind::Warning => render::headline(&diagnostic(message.text), message.sources),
        MessageKind::Runtime => render::one(&diagnostic(message.text), message.sources, false),
        MessageKind::Helper { name, code } => {
            let text =
                format!("{}\nAdditional Info - helper: {name}, retcode: {code}", helper_failure(name, code));
            render::one(&diagnostic(&text), message.sources, false)
        }
    }
}

/// What a helper's error means for the script.
fn helper_failure(name: &str, code: i32) -> String {
    let name = name.strip_prefix("bpf_").unwrap_or(name);
    match (name, code.saturating_neg()) {
        ("map_update_elem", libc::E2BIG) => {
            "Map full; can't update element. Raise max_map_keys in the script's \
             config, or give the map its own size: `let @a = hash(5000)`"
                .to_owned()
        }
        ("map_delete_elem", libc::ENOENT) => "Can't delete map element because it does not exist.".to_owned(),
        ("map_lookup_elem", _) => "Can't lookup map element because it does not exist.".to_owned(),
        _ => helper_error(code),
    }
}
