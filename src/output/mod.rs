//! What the user sees: text or JSON behind one trait.

mod cgroups;
mod clocks;
mod gfp;
mod hist;
mod json;
mod lookups;
mod number;
mod pcap;
mod printf;
mod series;
mod stack;
#[cfg(test)]
mod tests;
mod text;
mod trial;
mod value;
mod writer;

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::diagnostics::{Sources, Span, system_words};
use crate::format::Format;
use crate::image::{Manifest, Map};
use crate::types::Type;

pub use lookups::Lookups;
pub use pcap::Capture;
pub use printf::format_to;

/// A value as its bytes lie in an event or a map: see [`crate::types::layout`].
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    pub ty: &'a Type,
    pub bytes: &'a [u8],
    /// For an argument that was [`packed`](crate::image::packed): only the characters of a string (no NUL), or
    /// only the data of a buffer (no length before it).
    pub bare: bool,
}

/// One entry of a map: its key's bytes and its value's; an aggregation's has been summed over the CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub key: Cow<'a, [u8]>,
    pub value: Cow<'a, [u8]>,
}

/// What names and texts a value needs to be shown.
pub struct Names<'a> {
    pub manifest: &'a Manifest,
    pub symbols: &'a mut crate::symbols::Symbols,
    /// Reads the frames of a stack of so many frames at most, by its id.
    pub frames: &'a mut dyn FnMut(u32, u64) -> Vec<u64>,
    pub config: &'a crate::config::Config,
    /// One for the whole run.
    pub lookups: &'a mut Lookups,
}

/// A message about a place in the script, from a running program: on stderr as text, a record like the others in
/// JSON.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub kind: MessageKind<'a>,
    pub text: &'a str,
    pub span: Span,
    pub sources: &'a Sources,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind<'a> {
    /// `errorf`
    Error,
    /// `warnf`
    Warning,
    /// A helper returned an error (`-k`): its name and the negative error number.
    Helper { name: &'a str, code: i32 },
    /// Something else went wrong while the program ran: a division by zero, an index out of bounds.
    Runtime,
}

/// What came of one of several `test` or `bench` probes.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// All of their names.
    pub names: &'a [&'a str],
    /// Which of them this is.
    pub index: usize,
    /// Nothing was said about the others yet.
    pub first: bool,
    pub outcome: Outcome<'a>,
    pub color: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    Test {
        took: Duration,
        /// Of this one and those before it.
        passed: &'a [bool],
        /// What it printed.
        output: &'a [u8],
    },
    /// On average so many nanoseconds, measured in so many runs.
    Bench { nanoseconds: u64, runs: u64 },
}

/// The forms of output: `-f`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Text,
    Json,
}

/// When output is written: `-B`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Buffering {
    /// At [`Output::flush`], which the runtime calls whenever it has no events left.
    #[default]
    Line,
    /// When a buffer is full, and at [`Output::finish`].
    Full,
    /// At once.
    None,
}

/// Output of that form to a file.
pub fn to(form: Form, buffering: Buffering, file: Box<dyn io::Write>) -> Box<dyn Output> {
    let writer = writer::Writer::new(buffering, file);
    match form {
        Form::Text => Box::new(text::Text::new(writer, Box::new(io::stderr()))),
        Form::Json => Box::new(json::Json::new(writer)),
    }
}

/// Text output that is kept.
pub fn kept() -> (Box<dyn Output>, Kept) {
    let kept = Kept::default();
    let writer = writer::Writer::new(Buffering::Line, Box::new(kept.clone()));
    (Box::new(text::Text::new(writer, Box::new(kept.clone()))), kept)
}

/// What was written to [`kept`].
#[derive(Clone, Debug, Default)]
pub struct Kept(Rc<RefCell<Vec<u8>>>);

impl Kept {
    pub fn take(&self) -> Vec<u8> {
        self.0.take()
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Bytes<'a> {
    /// A value that lies there as its layout says.
    pub fn new(ty: &'a Type, bytes: &'a [u8]) -> Bytes<'a> {
        Bytes { ty, bytes, bare: false }
    }
}

/// The entries that `print(@, top)` shows: the last ones, which have the largest values.
fn shown<'e, 'a>(entries: &'e [Entry<'a>], top: Option<u32>) -> &'e [Entry<'a>] {
    let top = match top {
        None | Some(0) => entries.len(),
        Some(top) => top as usize,
    };
    entries.get(entries.len().saturating_sub(top)..).unwrap_or(entries)
}

/// What the negative result of a helper means: `Bad address`.
fn helper_error(code: i32) -> String {
    system_words(&io::Error::from_raw_os_error(code.saturating_neg()))
}

/// A place where output goes, in some form. When writes reach the file says [`Buffering`]; a reader that has gone
/// away is an error of kind `BrokenPipe`.
pub trait Output {
    /// `Attached 3 probes`
    fn attached(&mut self, probes: usize) -> io::Result<()>;
    fn printf(&mut self, format: &Format, args: &[Bytes<'_>], names: &mut Names<'_>) -> io::Result<()>;
    fn value(&mut self, value: Bytes<'_>, names: &mut Names<'_>) -> io::Result<()>;
    /// A whole map, its entries already in order, `top` and `div` of `print` not yet applied.
    fn map(
        &mut self,
        map: &Map,
        entries: &[Entry<'_>],
        top: Option<u32>,
        div: Option<u32>,
        names: &mut Names<'_>,
    ) -> io::Result<()>;
    /// `print(@m[key])`
    fn entry(&mut self, map: &Map, entry: &Entry<'_>, names: &mut Names<'_>) -> io::Result<()>;
    /// Text of `time`, `join`, `cat` and the output of `system`, under that name in JSON.
    fn text(&mut self, kind: &str, text: &[u8]) -> io::Result<()>;
    /// So many events were lost since the last call.
    fn lost_events(&mut self, count: u64) -> io::Result<()>;
    fn message(&mut self, message: &Message<'_>) -> io::Result<()>;
    /// A `test` probe, or a `bench` probe, has run.
    fn trial(&mut self, trial: &Trial<'_>) -> io::Result<()>;
    /// Tracing has ended and the maps follow: two blank lines in text, nothing in JSON.
    fn end(&mut self) -> io::Result<()>;
    fn flush(&mut self) -> io::Result<()>;
    /// Writes everything that is still buffered; the last call.
    fn finish(&mut self) -> io::Result<()>;
}
