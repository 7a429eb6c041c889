//! The BPF programs that run in the kernel.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libbpf_sys as sys;

use super::owned;

/// A program with what is needed to trace its functions.
#[derive(Debug)]
pub struct Running {
    pub id: u32,
    /// Its types, as in an object's `.BTF`.
    pub btf: Vec<u8>,
    /// Its functions by their ids in that, the program itself first.
    pub functions: Vec<u32>,
}

/// Calls `each` for the programs whose functions can be traced: those with BTF that do not trace themselves (the kernel
/// refuses to trace a tracer, `check_attach_btf_id`). Programs that end meanwhile are left out.
pub fn running(mut each: impl FnMut(Running)) -> io::Result<()> {
    let mut id = 0;
    // SAFETY: the id is ours.
    while unsafe { sys::bpf_prog_get_next_id(id, &raw mut id) } == 0 {
        if let Some(program) = by_id(id).ok().and_then(|fd| describe(id, &fd)) {
            each(program);
        }
    }
    match io::Error::last_os_error() {
        end if end.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        refused => Err(refused),
    }
}

/// A descriptor of a running program.
pub fn by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes a number.
    owned(unsafe { sys::bpf_prog_get_fd_by_id(id) })
}

fn describe(id: u32, program: &OwnedFd) -> Option<Running> {
    let (info, _) = info(program.as_fd(), &mut [])?;
    let traces = matches!(info.type_, sys::BPF_PROG_TYPE_TRACING | sys::BPF_PROG_TYPE_EXT);
    if traces || info.btf_id == 0 || info.nr_func_info == 0 {
        return None;
    }
    let mut functions = vec![sys::bpf_func_info::default(); usize::try_from(info.nr_func_info).ok()?];
    let (info, _) = self::info(program.as_fd(), &mut functions)?;
    functions.truncate(usize::try_from(info.nr_func_info).ok()?);
    let functions = functions.into_iter().map(|function| function.type_id).collect();
    Some(Running { id, btf: btf(info.btf_id)?, functions })
}

/// What the kernel says about a program, and how many bytes of that it knows of: what is behind them stays zero. Its
/// functions are told as far as there is room.
pub fn info(
    program: BorrowedFd<'_>,
    functions: &mut [sys::bpf_func_info],
) -> Option<(sys::bpf_prog_info, usize)> {
    let mut info = sys::bpf_prog_info::default();
    let mut size = u32::try_from(size_of_val(&info)).ok()?;
    if !functions.is_empty() {
        info.nr_func_info = u32::try_from(functions.len()).ok()?;
        info.func_info_rec_size = u32::try_from(size_of::<sys::bpf_func_info>()).ok()?;
        info.func_info = functions.as_mut_ptr() as u64;
    }
    // SAFETY: the kernel writes no more than `size` bytes of `info`, and no more records than it is told there is
    // room for.
    let done = unsafe { sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut size) };
    (done == 0).then_some((info, size as usize))
}

/// The bytes of a BTF object by its id.
fn btf(id: u32) -> Option<Vec<u8>> {
    // SAFETY: takes a number.
    let fd = owned(unsafe { sys::bpf_btf_get_fd_by_id(id) }).ok()?;
    let read = |bytes: &mut [u8]| {
        let mut info = sys::bpf_btf_info::default();
        let mut size = u32::try_from(size_of_val(&info)).ok()?;
        info.btf = bytes.as_mut_ptr() as u64;
        info.btf_size = u32::try_from(bytes.len()).ok()?;
        // SAFETY: as above, for the bytes.
        let done = unsafe { sys::bpf_btf_get_info_by_fd(fd.as_raw_fd(), &raw mut info, &raw mut size) };
        (done == 0).then_some(info.btf_size)
    };
    let size = read(&mut [])?;
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    read(&mut bytes)?;
    Some(bytes)
}
