//! Facts about processes and the files they run.
