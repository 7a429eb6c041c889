//! Types from btf.
