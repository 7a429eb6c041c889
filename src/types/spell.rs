//! BTF types as C spells them, for listings: by libbpf's own printer, whose style everybody knows from `bpftool`.

use std::ffi::{c_char, c_int, c_void};
use std::rc::Rc;

use libbpf_sys as sys;

use super::btf::Btf;

/// Prints types of one object.
pub struct Speller {
    dump: *mut sys::btf_dump,
    /// What has been printed; libbpf has a pointer to it.
    text: *mut Vec<u8>,
    /// Held since libbpf reads it.
    _btf: Rc<Btf>,
}

impl Speller {
    pub fn new(btf: &Rc<Btf>) -> Option<Speller> {
        let text = Box::into_raw(Box::<Vec<u8>>::default());
        // SAFETY: the callback has the type that libbpf declares, but for the last argument, which is a pointer to the
        // machine's argument list whatever it is called. The object and the text live as long as the printer.
        let dump = unsafe {
            type Print = unsafe extern "C" fn(*mut c_void, *const c_char, *mut c_void);
            let print = std::mem::transmute::<Option<Print>, sys::btf_dump_printf_fn_t>(Some(append));
            sys::btf_dump__new(btf.as_ptr(), print, text.cast(), std::ptr::null())
        };
        let speller = Speller { dump, text, _btf: Rc::clone(btf) };
        (!dump.is_null()).then_some(speller)
    }

    /// A type as a declaration has it before the name: `const char *`.
    pub fn declaration(&mut self, id: u32) -> Option<String> {
        if id == 0 {
            return Some("void".to_owned());
        }
        let options = sys::btf_dump_emit_type_decl_opts {
            sz: size_of::<sys::btf_dump_emit_type_decl_opts>() as _,
            field_name: c"".as_ptr(),
            ..Default::default()
        };
        // SAFETY: the printer is alive and the options live through the call.
        let result = unsafe { sys::btf_dump__emit_type_decl(self.dump, id, &options) };
        self.printed(result)
    }

    /// A struct's, union's or enum's definition, with everything it needs before it.
    pub fn definition(&mut self, id: u32) -> Option<String> {
        // SAFETY: the printer is alive.
        let result = unsafe { sys::btf_dump__dump_type(self.dump, id) };
        self.printed(result)
    }

    /// All types of the object as a header of C: what others call `vmlinux.h`.
    pub fn header(&mut self, ids: std::ops::Range<u32>) -> Option<String> {
        let mut text = String::from("#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n");
        for id in ids {
            text.push_str(&self.definition(id)?);
        }
        text.push_str("\n#endif\n");
        Some(text)
    }

    fn printed(&mut self, result: c_int) -> Option<String> {
        // SAFETY: it is ours, and libbpf uses it only while it prints.
        let text = std::mem::take(unsafe { &mut *self.text });
        (result == 0).then(|| String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Speller {
    fn drop(&mut self) {
        // SAFETY: both were made in `new` and are used by nobody else. libbpf takes null.
        unsafe {
            sys::btf_dump__free(self.dump);
            drop(Box::from_raw(self.text));
        }
    }
}

/// libbpf's printf.
unsafe extern "C" fn append(text: *mut c_void, format: *const c_char, args: *mut c_void) {
    unsafe extern "C" {
        fn vsnprintf(to: *mut c_char, size: usize, format: *const c_char, args: *mut c_void) -> c_int;
    }
    // libbpf prints a name or a few characters at a time; names are shorter than this (`KSYM_NAME_LEN` is 512).
    let mut buffer = [0u8; 4096];
    // SAFETY: the format and its arguments are libbpf's; the text is the one of `new`, of which no reference is held.
    unsafe {
        let length = vsnprintf(buffer.as_mut_ptr().cast(), buffer.len(), format, args);
        let length = usize::try_from(length).unwrap_or(0).min(buffer.len() - 1);
        (*text.cast::<Vec<u8>>()).extend_from_slice(&buffer[..length]);
    }
}
