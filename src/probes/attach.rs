//! From what the manifest asks for to kernel links.

use crate::image::Attach;

/// Links into the kernel; dropping them detaches.
pub struct Attachment {
    pub links: Vec<libbpf_rs::Link>,
}

/// Why an attach point could not be attached.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct AttachError {
    /// What the kernel refused, in words.
    pub message: String,
    /// What can be done about it.
    pub help: Option<String>,
    /// The target is gone or was never there, so `missing_probes` decides whether that is an error.
    pub missing: bool,
}

/// Attaches a loaded program to one place of its list. Not for `BEGIN` and `END`, which the runtime runs itself.
pub fn attach(program: &libbpf_rs::ProgramMut<'_>, attach: &Attach) -> Result<Attachment, AttachError> {
    let _ = (program, attach);
    todo!()
}
