//! Types from tracefs.
