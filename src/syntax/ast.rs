//! What a script says, as written: names are not resolved, nothing is typed, old spellings are kept apart from
//! new ones only where they mean different things.

use crate::diagnostics::Span;

/// A whole script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// `#include`, `#define`, `struct`, `union`, `enum` and `typedef`, in order.
    pub definitions: Vec<Definition>,
    /// The `config = { … }` block.
    pub config: Vec<ConfigEntry>,
    /// `import "…";`, in order.
    pub imports: Vec<Import>,
    /// What imports bring to be linked: `.bpf.c` and `.bpf.o` files. The parser makes none.
    pub objects: Vec<ObjectFile>,
    /// `let @x = hash(100);`
    pub maps: Vec<MapDeclaration>,
    pub macros: Vec<Macro>,
    /// The names of those that have been put in place, and where each is defined.
    pub expanded: Vec<(String, Span)>,
    pub probes: Vec<Probe>,
}

/// A piece of C at the top of the script, verbatim.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub kind: DefinitionKind,
    /// The whole text of it.
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionKind {
    Include,
    /// Another preprocessor line.
    Directive,
    /// `struct`, `union`, `enum` or `typedef`.
    Type,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConfigEntry {
    pub name: String,
    pub value: Expr,
    pub span: Span,
}

/// `import "path";`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub path: String,
    /// The path in its quotes.
    pub span: Span,
}

/// A file of BPF C, or an object compiled from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFile {
    pub path: std::path::PathBuf,
    pub kind: ObjectKind,
    /// The import that brought it.
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// C, still to be compiled.
    Source,
    Compiled,
    /// C that comes with this binary: the text.
    Own(&'static str),
}

/// `let @name = kind(arguments);`
#[derive(Clone, Debug, PartialEq)]
pub struct MapDeclaration {
    /// Without the `@`.
    pub name: String,
    pub name_span: Span,
    /// `hash`, `lruhash`, …, as written.
    pub kind: String,
    pub kind_span: Span,
    pub args: Vec<Expr>,
    pub span: Span,
}

/// `macro name(parameters) { … }`. Its body is an expression where it ends in a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Macro {
    pub name: String,
    pub name_span: Span,
    pub params: Vec<MacroParam>,
    pub body: Block,
    /// A `#define` with parameters: the variables and maps in its body are the caller's.
    pub of_c: bool,
}

/// A parameter of a macro, and with what a call must fill it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacroParam {
    pub kind: MacroParamKind,
    /// Without `$` and `@`.
    pub name: String,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacroParamKind {
    /// `$x`: a variable, which the macro may change.
    Variable,
    /// `@x`: a map.
    Map,
    /// `x`: any expression, or a type in `typeof(…)`.
    Expr,
    /// `...` of a `#define`: all arguments that are left, which are called `__VA_ARGS__`.
    Rest,
}

/// Attach points, an optional predicate, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// `name=` before the first attach point.
    pub name: Option<String>,
    pub attach_points: Vec<AttachPoint>,
    pub predicate: Option<Expr>,
    pub body: Block,
    /// The attach points only.
    pub span: Span,
}

/// `provider:part:part…`, split at its colons; quotes are removed, positional parameters filled in by `expand`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPoint {
    /// The text as written, for messages.
    pub text: String,
    pub parts: Vec<AttachPart>,
    pub span: Span,
}

/// One part of an attach point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachPart {
    pub text: String,
    /// Written in quotes: taken literally but for wildcards.
    pub quoted: bool,
    pub span: Span,
}

/// `{ …; last }`. `value` is the last expression where it has no semicolon, which makes a block an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    pub statements: Vec<Stmt>,
    pub value: Option<Box<Expr>>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    pub kind: StmtKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    Expr(Expr),
    /// `place = value`, `place op= value`; `_ = value` is [`StmtKind::Discard`].
    Assign {
        place: Expr,
        op: Option<BinaryOp>,
        value: Expr,
    },
    Discard(Expr),
    /// `let $x`, `let $x: type`, `let $x = value`.
    Let {
        name: String,
        name_span: Span,
        ty: Option<TypeName>,
        value: Option<Expr>,
    },
    If {
        condition: Expr,
        then: Block,
        otherwise: Option<Block>,
    },
    While {
        condition: Expr,
        body: Block,
    },
    Unroll {
        count: Expr,
        body: Block,
    },
    /// `for $x : @map { … }`, `for ($x : start..end) { … }`
    For {
        variable: String,
        variable_span: Span,
        over: Range,
        body: Block,
    },
    Return(Option<Expr>),
    Break,
    Continue,
    Block(Block),
    /// What the parser recovered from; an error has been reported.
    Error,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Range {
    /// An expression that must turn out to be a map.
    Map(Expr),
    Numbers {
        start: Expr,
        end: Expr,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A literal; negative ones are [`UnaryOp::Neg`] of these.
    Int(u64),
    Bool(bool),
    /// Escapes are resolved; the bytes need not be UTF-8.
    Str(Vec<u8>),
    /// A builtin, a constant, an enum value or a macro without arguments.
    Name(String),
    /// `$x`, without the `$`.
    Variable(String),
    /// `@x` or `@x[key, …]`, without the `@`. `@x[a, b]` has one key, a tuple.
    Map {
        name: String,
        key: Option<Box<Expr>>,
    },
    /// `$1`
    Positional(u32),
    /// `$#`
    PositionalCount,
    Call {
        name: String,
        name_span: Span,
        args: Vec<Expr>,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `x++`, `--x`: the place, +1 or −1, and whether the value is the one before.
    Step {
        place: Box<Expr>,
        delta: i8,
        postfix: bool,
    },
    Ternary {
        condition: Box<Expr>,
        then: Option<Box<Expr>>,
        otherwise: Box<Expr>,
    },
    /// `x.name` and `x->name`, which mean the same.
    Field {
        base: Box<Expr>,
        name: String,
        name_span: Span,
    },
    /// `x.0`
    TupleField {
        base: Box<Expr>,
        index: u32,
    },
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    Tuple(Vec<Expr>),
    /// `(name = value, …)`
    Record(Vec<(String, Expr)>),
    Cast {
        ty: TypeName,
        operand: Box<Expr>,
    },
    /// `sizeof(type)`, `typeof(type)` and other calls that take a type where they could take an expression.
    TypeCall {
        name: String,
        name_span: Span,
        ty: TypeName,
        fields: Vec<String>,
    },
    /// `{ …; value }`
    Block(Block),
    /// What the parser recovered from.
    Error,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Neg,
    /// `!`
    Not,
    /// `~`
    Invert,
    Deref,
    AddressOf,
    /// Its operand is known before the script runs.
    Comptime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    BitAnd,
    BitOr,
    BitXor,
    Shl,
    Shr,
    And,
    Or,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl BinaryOp {
    pub fn symbol(self) -> &'static str {
        use BinaryOp::*;
        match self {
            Add => "+",
            Sub => "-",
            Mul => "*",
            Div => "/",
            Mod => "%",
            BitAnd => "&",
            BitOr => "|",
            BitXor => "^",
            Shl => "<<",
            Shr => ">>",
            And => "&&",
            Or => "||",
            Eq => "==",
            Ne => "!=",
            Lt => "<",
            Le => "<=",
            Gt => ">",
            Ge => ">=",
        }
    }

    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eq | Ne | Lt | Le | Gt | Ge)
    }
}

/// A type as written: `uint64`, `struct task_struct *`, `int8[16]`, `unsigned long long`, `path *`, `typeof($x)[2]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeName {
    pub base: TypeBase,
    /// `*` and `[n]`, read left to right.
    pub suffixes: Vec<TypeSuffix>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeBase {
    Named {
        /// `struct`, `union` or `enum`, where written.
        tag: Option<Tag>,
        /// The name, C's several words joined by one space.
        name: String,
    },
    /// `typeof(expression)`
    Of(Box<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    Struct,
    Union,
    Enum,
}

impl Tag {
    pub const ALL: [Tag; 3] = [Tag::Struct, Tag::Union, Tag::Enum];

    pub fn keyword(self) -> &'static str {
        match self {
            Tag::Struct => "struct",
            Tag::Union => "union",
            Tag::Enum => "enum",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeSuffix {
    Pointer,
    /// `[n]`; `[]` has none.
    Array(Option<u64>),
    /// `[PATH_MAX]`
    ArrayOf(String),
}
