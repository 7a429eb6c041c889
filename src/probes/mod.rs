//! Attach points: how each kind is written, matched, listed and attached, and what a program sees there. A file a
//! provider; adding one touches its file and [`PROVIDERS`].

pub mod attach;

use std::path::PathBuf;

use crate::config::Config;
use crate::diagnostics::Diagnostic;
use crate::image::Attach;
use crate::ir;
use crate::kernel::Kernel;
use crate::syntax::ast::AttachPoint;
use crate::types::Space;
use crate::types::store::Types;

/// What an attach point is resolved against.
pub struct Host<'a> {
    pub kernel: &'a Kernel,
    pub types: &'a mut Types,
    pub config: &'a Config,
    /// `-p`, or the child of `-c`.
    pub pid: Option<u32>,
    /// The program of `-c`, where one was given.
    pub command: Option<PathBuf>,
    pub unsafe_mode: bool,
}

/// What the body of a probe uses: it decides what can share one program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// `args` or `retval`, whose types may differ from one attach point to the next.
    pub typed: bool,
    /// `probe`, which needs a program or a cookie for each.
    pub name: bool,
}

/// Attach points that share one BPF program.
#[derive(Clone, Debug)]
pub struct Group {
    /// See [`ir::Probe::section`].
    pub section: String,
    pub attach: Vec<Attach>,
    pub view: View,
}

/// What a program sees at its attach points: `args`, `argN`, `retval` and `func`, each as the expression that
/// yields it.
#[derive(Clone, Debug)]
pub struct View {
    /// The provider's full name: `kprobe`.
    pub provider: &'static str,
    pub context: ir::Context,
    /// The fields of `args`; `None` where the probe has no typed arguments.
    pub args: Option<Vec<(String, ir::Expr)>>,
    /// `arg0`, `arg1`, …
    pub words: Vec<ir::Expr>,
    pub retval: Option<ir::Expr>,
    pub func: Option<ir::Expr>,
    /// Where `argN` and plain integers point, when they are used as pointers.
    pub space: Space,
    /// The value the BPF program returns.
    pub returns: i64,
}

/// An attach point as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `tracepoint:syscalls:sys_enter_openat`
    pub name: String,
    /// With `-lv`: a line an argument, `int dfd`, in order.
    pub args: Vec<String>,
}

/// A kind of attach point.
pub trait Provider: Sync {
    /// The full name, then every other: `["kretprobe", "kr"]`.
    fn names(&self) -> &'static [&'static str];

    /// What an attach point means here and now: wildcards are expanded, existence is checked, and what can share a
    /// program is grouped. `add_name` gives the number of a probe name in the image.
    fn resolve(
        &self,
        point: &AttachPoint,
        uses: Uses,
        host: &mut Host<'_>,
        add_name: &mut dyn FnMut(&str) -> u32,
    ) -> Result<Vec<Group>, Diagnostic>;

    /// Calls `found` with each attach point that matches, in order. `point` may be only the provider's name.
    fn list(
        &self,
        point: &AttachPoint,
        verbose: bool,
        host: &mut Host<'_>,
        found: &mut dyn FnMut(Listed),
    ) -> Result<(), Diagnostic>;
}
