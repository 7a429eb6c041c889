//! Output for programs: one JSON object a line.

use std::io;

use super::hist::{Histogram, histogram};
use super::series::{self, series};
use super::value::{Item, Leaf, Shape, Show, buffer, parts_div, shape};
use super::writer::Writer;
use super::{
    Bytes, Entry, Message, MessageKind, Names, Outcome, Output, Trial, format_to, helper_error, shown,
};
use crate::format::Format;
use crate::image::Map;
use crate::types::{Agg, Type};

pub(super) struct Json {
    out: Writer,
    /// Texts before they are escaped.
    scratch: Vec<u8>,
}

impl Json {
    pub fn new(out: Writer) -> Json {
        Json { out, scratch: vec![] }
    }

    /// `{"type": "…", "data": …}`
    fn record(&mut self, kind: &str, data: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> io::Result<()> {
        let out = &mut self.out.buffer;
        out.extend_from_slice(b"{\"type\": ");
        string(out, kind.as_bytes());
        out.extend_from_slice(b", \"data\": ");
        self.scratch.clear();
        data(out, &mut self.scratch);
        out.extend_from_slice(b"}\n");
        self.out.commit()
    }

    /// `{"type": "…", "count": 3, "data": {"…": 3}}`
    fn counted(&mut self, kind: &str, name: &str, count: u64) -> io::Result<()> {
        let line =
            format!("{{\"type\": \"{kind}\", \"count\": {count}, \"data\": {{\"{name}\": {count}}}}}\n");
        self.out.buffer.extend_from_slice(line.as_bytes());
        self.out.commit()
    }
}

impl Output for Json {
    fn attached(&mut self, probes: usize) -> io::Result<()> {
        self.counted("attached_probes", "probes", probes as u64)
    }

    fn printf(&mut self, format: &Format, args: &[Bytes<'_>], names: &mut Names<'_>) -> io::Result<()> {
        self.record("printf", |out, scratch| {
            format_to(scratch, format, args, names);
            string(out, scratch);
        })
    }

    fn value(&mut self, value: Bytes<'_>, names: &mut Names<'_>) -> io::Result<()> {
        self.record("value", |out, scratch| Emit { names, div: 1, last: None, scratch }.value(out, value))
    }

    fn map(
        &mut self,
        map: &Map,
        entries: &[Entry<'_>],
        top: Option<u32>,
        div: Option<u32>,
        names: &mut Names<'_>,
    ) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let kind = match map.value {
            Type::Agg(Agg::Hist { .. } | Agg::LHist { .. }) => "hist",
            Type::Agg(Agg::TSeries { .. }) => "tseries",
            Type::Agg(Agg::Avg { .. } | Agg::Stats { .. }) => "stats",
            _ => "map",
        };
        let div = u64::from(div.unwrap_or(1).max(1));
        self.record(kind, |out, scratch| {
            let last = series::last(&map.value, entries);
            let mut emit = Emit { names, div, last, scratch };
            out.push(b'{');
            string(out, map.name.as_bytes());
            out.extend_from_slice(b": ");
            match &map.key {
                None => {
                    if let Some(entry) = entries.first() {
                        emit.value(out, Bytes::new(&map.value, &entry.value));
                    }
                }
                Some(key) => {
                    out.push(b'{');
                    for (n, entry) in shown(entries, top).iter().enumerate() {
                        if n > 0 {
                            out.extend_from_slice(b", ");
                        }
                        emit.key(out, Bytes::new(key, &entry.key));
                        out.extend_from_slice(b": ");
                        emit.value(out, Bytes::new(&map.value, &entry.value));
                    }
                    out.push(b'}');
                }
            }
            out.push(b'}');
        })
    }

    fn entry(&mut self, map: &Map, entry: &Entry<'_>, names: &mut Names<'_>) -> io::Result<()> {
        self.value(Bytes::new(&map.value, &entry.value), names)
    }

    fn text(&mut self, kind: &str, text: &[u8]) -> io::Result<()> {
        self.record(kind, |out, _| string(out, text))
    }

    fn lost_events(&mut self, count: u64) -> io::Result<()> {
        self.counted("lost_events", "events", count)
    }

    fn message(&mut self, message: &Message<'_>) -> io::Result<()> {
        let (kind, text) = match message.kind {
            MessageKind::Error => ("errorf", message.text.to_owned()),
            MessageKind::Warning => ("warnf", message.text.to_owned()),
            MessageKind::Helper { code, .. } => ("helper_error", helper_error(code)),
            MessageKind::Runtime => ("runtime_error", message.text.to_owned()),
        };
        let out = &mut self.out.buffer;
        out.extend_from_slice(format!("{{\"type\": \"{kind}\", \"msg\": ").as_bytes());
        string(out, text.as_bytes());
        if let MessageKind::Helper { name, code } = message.kind {
            out.extend_from_slice(b", \"helper\": ");
            string(out, name.as_bytes());
            out.extend_from_slice(format!(", \"retcode\": {code}").as_bytes());
        }
        let position = message.sources.position(message.span);
        out.extend_from_slice(b", \"filename\": ");
        string(out, message.sources.get(message.span.file).map_or("", |s| &s.name).as_bytes());
        out.extend_from_slice(
            format!(", \"line\": {}, \"col\": {}}}\n", position.line, position.start).as_bytes(),
        );
        self.out.commit()
    }

    fn trial(&mut self, trial: &Trial<'_>) -> io::Result<()> {
        let name = trial.names.get(trial.index).copied().unwrap_or_default();
        let kind = match trial.outcome {
            Outcome::Test { .. } => "test_result",
            Outcome::Bench { .. } => "benchmark_result",
        };
        self.record(kind, |out, _| {
            out.push(b'{');
            string(out, name.as_bytes());
            match trial.outcome {
                Outcome::Test { took, passed, output } => {
                    let passed = passed.get(trial.index) == Some(&true);
                    let head =
                        format!(": {{\"duration\": {}, \"passed\": {passed}, \"output\": ", took.as_nanos());
                    out.extend_from_slice(head.as_bytes());
                    string(out, output);
                }
                Outcome::Bench { nanoseconds, runs } => {
                    let text = format!(": {{\"average\": {nanoseconds}, \"iters\": {runs}");
                    out.extend_from_slice(text.as_bytes());
                }
            }
            out.extend_from_slice(b"}}");
        })
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.write()
    }
}

/// Appends a string with its quotes. JSON is Unicode: other bytes become the replacement character.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, &String::from_utf8_lossy(text)).is_err() {
        // Writing to memory does not fail; if it did, the line would still be JSON.
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}

/// Appends an integer, as a string where readers that know only floating point would get another number.
fn integer(out: &mut Vec<u8>, value: i128) {
    let exact = value as f64 as i128 == value;
    let text = if exact { value.to_string() } else { format!("\"{value}\"") };
    out.extend_from_slice(text.as_bytes());
}

/// Values as JSON.
struct Emit<'s, 'n> {
    names: &'s mut Names<'n>,
    div: u64,
    /// The last interval of a map of time series.
    last: Option<u64>,
    scratch: &'s mut Vec<u8>,
}

impl Emit<'_, '_> {
    fn value(&mut self, out: &mut Vec<u8>, value: Bytes<'_>) {
        if let Type::Agg(agg) = value.ty
            && let Some(found) = histogram(agg, value.bytes, self.div)
        {
            return buckets(out, &found);
        }
        if let Type::Agg(agg) = value.ty
            && let Some(found) = series(agg, value.bytes, self.last)
        {
            return found.json(out, self.names, integer);
        }
        let manifest = self.names.manifest;
        let shape = shape(value, &manifest.layouts, self.div);
        let div = parts_div(value.ty, self.div);
        let mut parts = Emit { names: &mut *self.names, div, last: None, scratch: &mut *self.scratch };
        match shape {
            Shape::Leaf => self.leaf(out, value),
            Shape::Array(items) | Shape::Tuple(items) => parts.items(out, &items),
            Shape::Record(members) => {
                out.push(b'{');
                for (n, (name, item)) in members.iter().enumerate() {
                    if n > 0 {
                        out.extend_from_slice(b", ");
                    }
                    string(out, name.as_bytes());
                    out.extend_from_slice(b": ");
                    parts.value(out, item.bytes());
                }
                out.push(b'}');
            }
        }
    }

    fn items(&mut self, out: &mut Vec<u8>, items: &[Item<'_>]) {
        out.push(b'[');
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            self.value(out, item.bytes());
        }
        out.push(b']');
    }

    /// Names of symbols and enumerators are for people; numbers stay numbers.
    fn leaf(&mut self, out: &mut Vec<u8>, value: Bytes<'_>) {
        self.scratch.clear();
        let leaf = Show { names: self.names, div: self.div }.leaf(self.scratch, value);
        match leaf {
            Leaf::Null | Leaf::Bool(_) => out.extend_from_slice(self.scratch),
            Leaf::Signed(n) => integer(out, n.into()),
            Leaf::Unsigned(n) | Leaf::Named(n) => integer(out, n.into()),
            // JSON has no infinity, nor what is no number.
            Leaf::Float(n) if n.is_finite() => out.extend_from_slice(self.scratch),
            Leaf::Float(_) | Leaf::Text => string(out, self.scratch),
            Leaf::Buffer => {
                out.push(b'[');
                for (n, byte) in buffer(value).iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    // Signed, as readers of this output know it.
                    integer(out, i128::from(*byte as i8));
                }
                out.push(b']');
            }
        }
    }

    /// A key is the text of one, without spaces.
    fn key(&mut self, out: &mut Vec<u8>, key: Bytes<'_>) {
        self.scratch.clear();
        Show { names: self.names, div: 1 }.key(self.scratch, key);
        self.scratch.retain(|byte| *byte != b' ');
        string(out, self.scratch);
    }
}

/// A list of buckets; here both bounds belong to the bucket.
fn buckets(out: &mut Vec<u8>, histogram: &Histogram) {
    out.push(b'[');
    for (n, bucket) in histogram.buckets.iter().enumerate() {
        out.extend_from_slice(if n > 0 { b",{" } else { b"{" });
        if let Some(low) = &bucket.low {
            out.extend_from_slice(b"\"min\": ");
            integer(out, low.value);
            out.extend_from_slice(b", ");
        }
        if let Some(high) = &bucket.high {
            out.extend_from_slice(b"\"max\": ");
            integer(out, high.value - 1);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(b"\"count\": ");
        integer(out, bucket.count.into());
        out.push(b'}');
    }
    out.push(b']');
}
