//! libclang, opened when a header has to be read: the few of its functions that are needed, behind a safe interface.
//!
//! The library is found here and not by a crate: what exists for that asks `llvm-config` in other processes, which
//! takes a hundred times as long as opening it. Its interface has been stable since LLVM 13 (`clang-c/Index.h`).

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};

use functions::{Functions, RawCursor, RawFile, RawLocation, RawString, RawType};

mod functions;

/// What a function of libclang says of a cursor or a type.
macro_rules! ask {
    ($of:expr, $function:ident $(, $argument:expr)*) => {
        // SAFETY: cursors and types belong to their unit, which they borrow, so it is alive.
        unsafe { ($of.functions().$function)($of.raw $(, $argument)*) }
    };
}

/// The newest LLVM whose names are tried; one that is installed as `libclang.so` or under the name that all share is
/// found whatever its number.
const NEWEST: u32 = 25;
const OLDEST: u32 = 13;

/// The opened library.
#[derive(Clone, Copy)]
pub struct Clang {
    functions: Functions,
}

impl Clang {
    /// Opens the one that is chosen (`LIBCLANG_PATH`: the library or its directory), else the newest of those that
    /// systems install.
    pub fn open(chosen: Option<&OsStr>) -> Result<Clang, String> {
        let (names, missing) = match chosen.map(Path::new) {
            Some(chosen) => {
                let mut names: Vec<PathBuf> = SHARED_NAMES.map(|name| chosen.join(name)).into();
                names.push(chosen.to_owned());
                (names, format!("LIBCLANG_PATH is {}, and there is no libclang", chosen.display()))
            }
            None => (installed(), "libclang is not installed".to_owned()),
        };
        let handle = names.iter().find_map(|name| open(name)).ok_or(missing)?;
        // SAFETY: it was opened under a name of libclang.
        let functions = unsafe { Functions::load(handle) }
            .map_err(|missing| format!("the libclang that is installed is too old: {missing}"))?;
        Ok(Clang { functions })
    }

    fn text(&self, raw: RawString) -> String {
        // SAFETY: libclang made the string, and it is used for nothing else afterwards.
        unsafe {
            let text = (self.functions.clang_getCString)(raw);
            let owned = if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            };
            (self.functions.clang_disposeString)(raw);
            owned
        }
    }
}

/// What it is called where only one is installed.
const SHARED_NAMES: [&str; 3] = ["libclang.so.13", "libclang.so.1", "libclang.so"];

/// The names that it may be installed under, the best first.
fn installed() -> Vec<PathBuf> {
    let of_version = (OLDEST..=NEWEST).rev().flat_map(|version| {
        [
            format!("libclang-{version}.so.1"),
            format!("libclang-{version}.so.{version}"),
            format!("/usr/lib/llvm-{version}/lib/libclang.so.1"),
            format!("/usr/lib/llvm{version}/lib/libclang.so"),
            format!("/usr/lib64/llvm{version}/lib64/libclang.so"),
        ]
    });
    of_version.chain(SHARED_NAMES.map(str::to_owned)).map(PathBuf::from).collect()
}

fn open(name: &Path) -> Option<NonNull<c_void>> {
    // A name without a directory is the dynamic linker's to find.
    if name.components().count() > 1 && !name.is_file() {
        return None;
    }
    let name = CString::new(name.as_os_str().as_bytes()).ok()?;
    // SAFETY: the name is a C string. What the library runs when it is opened is what every user of it runs.
    NonNull::new(unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) })
}

/// Text in place of a file.
pub struct Unsaved<'f> {
    pub name: &'f str,
    pub text: &'f str,
}

/// What was parsed.
pub struct Unit {
    clang: Clang,
    index: *mut c_void,
    unit: *mut c_void,
}

/// A mistake in C, as clang words it.
#[derive(Clone, Debug)]
pub struct Complaint {
    pub message: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
}

struct Position {
    /// "" for what is in no file.
    file: String,
    line: u32,
    column: u32,
    /// In bytes from the file's start.
    offset: usize,
}

/// A part of a file, in bytes from its start.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub file: String,
    pub start: usize,
    pub end: usize,
}

impl Unit {
    /// Parses the first of the files. `None` if that fails altogether; mistakes in the files do not make it fail.
    ///
    /// Macros are among the root's children if `macros` says so.
    pub fn parse(clang: Clang, files: &[Unsaved<'_>], args: &[String], macros: bool) -> Option<Unit> {
        // CXTranslationUnit_Incomplete, CXTranslationUnit_SkipFunctionBodies, CXTranslationUnit_KeepGoing
        const OPTIONS: c_uint = 0x02 | 0x40 | 0x200;
        // CXTranslationUnit_DetailedPreprocessingRecord
        const MACROS: c_uint = 0x01;
        let names: Vec<CString> =
            files.iter().map(|f| CString::new(f.name)).collect::<Result<_, _>>().ok()?;
        let args: Vec<CString> =
            args.iter().map(|a| CString::new(a.as_str())).collect::<Result<_, _>>().ok()?;
        let pointers: Vec<*const c_char> = args.iter().map(|a| a.as_ptr()).collect();
        let mut raw: Vec<RawFile> = files
            .iter()
            .zip(&names)
            .map(|(file, name)| RawFile {
                name: name.as_ptr(),
                contents: file.text.as_ptr().cast(),
                length: file.text.len() as c_ulong,
            })
            .collect();
        let main = names.first()?.as_ptr();
        // SAFETY: all pointers live through the call, and the lengths are theirs.
        unsafe {
            let index = (clang.functions.clang_createIndex)(0, 0);
            let mut unit = Unit { clang, index, unit: null_mut() };
            let failed = (clang.functions.clang_parseTranslationUnit2)(
                index,
                main,
                pointers.as_ptr(),
                c_int::try_from(pointers.len()).ok()?,
                raw.as_mut_ptr(),
                c_uint::try_from(raw.len()).ok()?,
                if macros { OPTIONS | MACROS } else { OPTIONS },
                &mut unit.unit,
            );
            (failed == 0 && !unit.unit.is_null()).then_some(unit)
        }
    }

    /// What clang calls errors.
    pub fn complaints(&self) -> Vec<Complaint> {
        const ERROR: c_int = 3;
        let f = &self.clang.functions;
        // SAFETY: the unit is alive; each message is freed once.
        unsafe {
            let count = (f.clang_getNumDiagnostics)(self.unit);
            (0..count)
                .filter_map(|n| {
                    let diagnostic = (f.clang_getDiagnostic)(self.unit, n);
                    let found = ((f.clang_getDiagnosticSeverity)(diagnostic) >= ERROR).then(|| {
                        let Position { file, line, column, .. } =
                            self.position((f.clang_getDiagnosticLocation)(diagnostic));
                        let message = self.clang.text((f.clang_getDiagnosticSpelling)(diagnostic));
                        Complaint { message, file, line, column }
                    });
                    (f.clang_disposeDiagnostic)(diagnostic);
                    found
                })
                .collect()
        }
    }

    fn position(&self, place: RawLocation) -> Position {
        let f = &self.clang.functions;
        let (mut file, mut line, mut column, mut offset) = (null_mut(), 0, 0, 0);
        // SAFETY: the unit that the place is of is alive.
        let file = unsafe {
            (f.clang_getExpansionLocation)(place, &mut file, &mut line, &mut column, &mut offset);
            if file.is_null() { String::new() } else { self.clang.text((f.clang_getFileName)(file)) }
        };
        Position { file, line, column, offset: offset as usize }
    }

    /// The macros by name, where [`Unit::parse`] kept them: the last definition of each.
    pub fn macros(&self) -> HashMap<String, Stretch> {
        let root = self.root();
        let macros = root.children().into_iter().filter(|c| c.declared() == Declared::Macro);
        let stretch = |cursor: Cursor<'_>| {
            let range = ask!(cursor, clang_getCursorExtent);
            // SAFETY: the range is of this unit.
            let (start, end) = unsafe {
                let f = &self.clang.functions;
                (self.position((f.clang_getRangeStart)(range)), self.position((f.clang_getRangeEnd)(range)))
            };
            Stretch { file: start.file, start: start.offset, end: end.offset }
        };
        macros.map(|cursor| (cursor.name(), stretch(cursor))).collect()
    }

    /// The whole, whose children are its declarations.
    pub fn root(&self) -> Cursor<'_> {
        // SAFETY: the unit is alive.
        let raw = unsafe { (self.clang.functions.clang_getTranslationUnitCursor)(self.unit) };
        Cursor { unit: self, raw }
    }

    /// What [`Cursor::detach`] gave, which must have been of this unit.
    pub fn attach(&self, cursor: Detached) -> Cursor<'_> {
        Cursor { unit: self, raw: cursor.0 }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // SAFETY: both are ours, and no cursor outlives this. Null is allowed.
        unsafe {
            if !self.unit.is_null() {
                (self.clang.functions.clang_disposeTranslationUnit)(self.unit);
            }
            (self.clang.functions.clang_disposeIndex)(self.index);
        }
    }
}

/// A cursor to keep beside its unit.
#[derive(Clone, Copy)]
pub struct Detached(RawCursor);

impl Detached {
    /// The same for the same declaration, and for no other.
    pub fn key(self) -> usize {
        self.0.data[0].addr()
    }
}

/// A declaration.
#[derive(Clone, Copy)]
pub struct Cursor<'u> {
    unit: &'u Unit,
    raw: RawCursor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    Struct,
    Union,
    Enum,
    Field,
    Enumerator,
    Function,
    Variable,
    Typedef,
    Macro,
    Other,
}

/// The value of a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(i128),
    Text(Vec<u8>),
}

impl<'u> Cursor<'u> {
    pub fn detach(self) -> Detached {
        Detached(self.raw)
    }

    fn functions(&self) -> &'u Functions {
        &self.unit.clang.functions
    }

    fn of(&self, raw: RawCursor) -> Cursor<'u> {
        Cursor { unit: self.unit, raw }
    }

    pub fn declared(&self) -> Declared {
        match self.raw.kind {
            2 => Declared::Struct,
            3 => Declared::Union,
            5 => Declared::Enum,
            6 => Declared::Field,
            7 => Declared::Enumerator,
            8 => Declared::Function,
            9 => Declared::Variable,
            20 => Declared::Typedef,
            501 => Declared::Macro,
            _ => Declared::Other,
        }
    }

    /// In order.
    pub fn children(&self) -> Vec<Cursor<'u>> {
        extern "C" fn add(cursor: RawCursor, _: RawCursor, list: *mut c_void) -> c_uint {
            const CONTINUE: c_uint = 1;
            // SAFETY: it is the list below, of which no other reference is used meanwhile.
            unsafe { (*list.cast::<Vec<RawCursor>>()).push(cursor) };
            CONTINUE
        }
        let mut list: Vec<RawCursor> = vec![];
        // SAFETY: the cursor's unit is alive, and the list lives through the call.
        unsafe { (self.functions().clang_visitChildren)(self.raw, add, (&raw mut list).cast()) };
        list.into_iter().map(|raw| self.of(raw)).collect()
    }

    /// "" for what has no name.
    pub fn name(&self) -> String {
        // Newer ones make up a name for what has none.
        if matches!(self.declared(), Declared::Struct | Declared::Union | Declared::Enum)
            && ask!(self, clang_Cursor_isAnonymous) != 0
        {
            return String::new();
        }
        let name = self.unit.clang.text(ask!(self, clang_getCursorSpelling));
        if name.contains(['(', ' ']) { String::new() } else { name }
    }

    pub fn is_definition(&self) -> bool {
        ask!(self, clang_isCursorDefinition) != 0
    }

    /// Whether it is a struct or union whose members are its parent's.
    pub fn is_anonymous_member(&self) -> bool {
        ask!(self, clang_Cursor_isAnonymousRecordDecl) != 0
    }

    /// A bitfield's width in bits.
    pub fn bits(&self) -> Option<u32> {
        if ask!(self, clang_Cursor_isBitField) == 0 {
            return None;
        }
        u32::try_from(ask!(self, clang_getFieldDeclBitWidth)).ok()
    }

    pub fn enumerator(&self) -> i64 {
        ask!(self, clang_getEnumConstantDeclValue)
    }

    /// An enum's integer.
    pub fn integer(&self) -> CType<'u> {
        self.ty(ask!(self, clang_getEnumDeclIntegerType))
    }

    /// What a typedef stands for.
    pub fn underlying(&self) -> CType<'u> {
        self.ty(ask!(self, clang_getTypedefDeclUnderlyingType))
    }

    pub fn of_type(&self) -> CType<'u> {
        self.ty(ask!(self, clang_getCursorType))
    }

    fn ty(&self, raw: RawType) -> CType<'u> {
        CType { cursor: *self, raw }
    }

    /// What a constant is initialized with.
    pub fn value(&self) -> Option<Value> {
        const INT: c_int = 1;
        const STRING: c_int = 4;
        let f = self.functions();
        // SAFETY: as in `ask`; the result is used until it is freed.
        unsafe {
            let result = (f.clang_Cursor_Evaluate)(self.raw);
            if result.is_null() {
                return None;
            }
            let value = match (f.clang_EvalResult_getKind)(result) {
                INT if (f.clang_EvalResult_isUnsignedInt)(result) != 0 => {
                    Some(Value::Number((f.clang_EvalResult_getAsUnsigned)(result).into()))
                }
                INT => Some(Value::Number((f.clang_EvalResult_getAsLongLong)(result).into())),
                STRING => {
                    let text = (f.clang_EvalResult_getAsStr)(result);
                    (!text.is_null()).then(|| Value::Text(CStr::from_ptr(text).to_bytes().to_vec()))
                }
                _ => None,
            };
            (f.clang_EvalResult_dispose)(result);
            value
        }
    }
}

/// A type.
#[derive(Clone, Copy)]
pub struct CType<'u> {
    /// Some cursor of the unit.
    cursor: Cursor<'u>,
    raw: RawType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Void,
    Bool,
    Float,
    /// `char`, which may be signed or not.
    Char,
    Signed,
    Unsigned,
    Pointer,
    Record,
    Enum,
    Array,
    /// Without a length.
    OpenArray,
    Function,
    Other,
}

impl<'u> CType<'u> {
    fn functions(&self) -> &'u Functions {
        self.cursor.functions()
    }

    fn of(&self, raw: RawType) -> CType<'u> {
        CType { raw, ..*self }
    }

    // What is no type of the kind that is asked for yields an invalid type or a negative number.

    /// Without typedefs.
    pub fn canonical(&self) -> CType<'u> {
        self.of(ask!(self, clang_getCanonicalType))
    }

    /// Of a canonical type: `enum CXTypeKind`.
    pub fn kind(&self) -> Kind {
        match self.raw.kind {
            2 => Kind::Void,
            3 => Kind::Bool,
            4 | 13 => Kind::Char,
            // unsigned char, short, int, long, long long; char16_t, char32_t
            5..=11 => Kind::Unsigned,
            // signed char, wchar_t, short, int, long, long long
            14..=19 => Kind::Signed,
            // float, double; `long double` has no counterpart here
            21 | 22 => Kind::Float,
            101 => Kind::Pointer,
            105 => Kind::Record,
            106 => Kind::Enum,
            110 | 111 => Kind::Function,
            // A vector lies in memory as an array does.
            112 | 113 => Kind::Array,
            114 => Kind::OpenArray,
            _ => Kind::Other,
        }
    }

    pub fn declaration(&self) -> Cursor<'u> {
        self.cursor.of(ask!(self, clang_getTypeDeclaration))
    }

    pub fn pointee(&self) -> CType<'u> {
        self.of(ask!(self, clang_getPointeeType))
    }

    pub fn element(&self) -> CType<'u> {
        self.of(ask!(self, clang_getElementType))
    }

    pub fn length(&self) -> Option<u32> {
        u32::try_from(ask!(self, clang_getNumElements)).ok()
    }

    /// In bytes.
    pub fn size(&self) -> Option<u32> {
        u32::try_from(ask!(self, clang_Type_getSizeOf)).ok()
    }

    pub fn align(&self) -> Option<u32> {
        u32::try_from(ask!(self, clang_Type_getAlignOf)).ok()
    }

    /// Where a field of a struct is, in bits, also one of an anonymous member.
    pub fn offset(&self, field: &str) -> Option<u32> {
        let field = CString::new(field).ok()?;
        u32::try_from(ask!(self, clang_Type_getOffsetOf, field.as_ptr())).ok()
    }
}
