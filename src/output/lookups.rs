//! What values mean on this host: user names, control groups, clocks. Each is looked up once.

/// Caches of look-ups. Nothing is opened before the first question.
#[derive(Debug, Default)]
pub struct Lookups {}
