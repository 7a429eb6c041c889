//! The functions of libclang and the structs that they take, as `clang-c/Index.h` declares them.

use std::ffi::{c_char, c_int, c_longlong, c_uint, c_ulong, c_ulonglong, c_void};
use std::ptr::NonNull;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawString {
    pub data: *const c_void,
    pub flags: c_uint,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawCursor {
    pub kind: c_int,
    pub xdata: c_int,
    pub data: [*const c_void; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawType {
    pub kind: c_int,
    pub data: [*mut c_void; 2],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawLocation {
    pub data: [*const c_void; 2],
    pub int: c_uint,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawRange {
    pub data: [*const c_void; 2],
    pub begin: c_uint,
    pub end: c_uint,
}

#[repr(C)]
pub struct RawFile {
    pub name: *const c_char,
    pub contents: *const c_char,
    pub length: c_ulong,
}

pub type Visitor = extern "C" fn(RawCursor, RawCursor, *mut c_void) -> c_uint;

macro_rules! functions {
    ($(fn $name:ident($($arg:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions, by their names in C.
        #[derive(Clone, Copy)]
        #[allow(non_snake_case)]
        pub struct Functions {
            $(pub $name: unsafe extern "C" fn($($arg),*) $(-> $result)?,)*
        }

        impl Functions {
            /// # Safety
            /// The handle is of a libclang.
            pub unsafe fn load(handle: NonNull<c_void>) -> Result<Functions, String> {
                Ok(Functions {$(
                    $name: {
                        let name = concat!(stringify!($name), "\0");
                        // SAFETY: the name ends with NUL, and the function has the type that Index.h declares.
                        unsafe {
                            let symbol = libc::dlsym(handle.as_ptr(), name.as_ptr().cast());
                            if symbol.is_null() {
                                return Err(format!("it has no {}", stringify!($name)));
                            }
                            std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($arg),*) $(-> $result)?>(symbol)
                        }
                    },
                )*})
            }
        }
    };
}

functions! {
    fn clang_createIndex(c_int, c_int) -> *mut c_void;
    fn clang_disposeIndex(*mut c_void);
    fn clang_parseTranslationUnit2(
        *mut c_void, *const c_char, *const *const c_char, c_int, *mut RawFile, c_uint, c_uint, *mut *mut c_void
    ) -> c_int;
    fn clang_disposeTranslationUnit(*mut c_void);
    fn clang_getTranslationUnitCursor(*mut c_void) -> RawCursor;
    fn clang_visitChildren(RawCursor, Visitor, *mut c_void) -> c_uint;
    fn clang_getCursorSpelling(RawCursor) -> RawString;
    fn clang_getCursorType(RawCursor) -> RawType;
    fn clang_isCursorDefinition(RawCursor) -> c_uint;
    fn clang_Cursor_isAnonymous(RawCursor) -> c_uint;
    fn clang_Cursor_isAnonymousRecordDecl(RawCursor) -> c_uint;
    fn clang_Cursor_isBitField(RawCursor) -> c_uint;
    fn clang_getCursorExtent(RawCursor) -> RawRange;
    fn clang_getRangeStart(RawRange) -> RawLocation;
    fn clang_getRangeEnd(RawRange) -> RawLocation;
    fn clang_getFieldDeclBitWidth(RawCursor) -> c_int;
    fn clang_getEnumConstantDeclValue(RawCursor) -> c_longlong;
    fn clang_getEnumDeclIntegerType(RawCursor) -> RawType;
    fn clang_getTypedefDeclUnderlyingType(RawCursor) -> RawType;
    fn clang_getCanonicalType(RawType) -> RawType;
    fn clang_getTypeDeclaration(RawType) -> RawCursor;
    fn clang_getPointeeType(RawType) -> RawType;
    fn clang_getElementType(RawType) -> RawType;
    fn clang_getNumElements(RawType) -> c_longlong;
    fn clang_Type_getSizeOf(RawType) -> c_longlong;
    fn clang_Type_getAlignOf(RawType) -> c_longlong;
    fn clang_Type_getOffsetOf(RawType, *const c_char) -> c_longlong;
    fn clang_Cursor_Evaluate(RawCursor) -> *mut c_void;
    fn clang_EvalResult_getKind(*mut c_void) -> c_int;
    fn clang_EvalResult_isUnsignedInt(*mut c_void) -> c_uint;
    fn clang_EvalResult_getAsUnsigned(*mut c_void) -> c_ulonglong;
    fn clang_EvalResult_getAsLongLong(*mut c_void) -> c_longlong;
    fn clang_EvalResult_getAsStr(*mut c_void) -> *const c_char;
    fn clang_EvalResult_dispose(*mut c_void);
    fn clang_getNumDiagnostics(*mut c_void) -> c_uint;
    fn clang_getDiagnostic(*mut c_void, c_uint) -> *mut c_void;
    fn clang_disposeDiagnostic(*mut c_void);
    fn clang_getDiagnosticSeverity(*mut c_void) -> c_int;
    fn clang_getDiagnosticSpelling(*mut c_void) -> RawString;
    fn clang_getDiagnosticLocation(*mut c_void) -> RawLocation;
    fn clang_getExpansionLocation(RawLocation, *mut *mut c_void, *mut c_uint, *mut c_uint, *mut c_uint);
    fn clang_getFileName(*mut c_void) -> RawString;
    fn clang_getCString(RawString) -> *const c_char;
    fn clang_disposeString(RawString);
}
