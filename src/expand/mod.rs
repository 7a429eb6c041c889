//! From one syntax tree to another: what is decided before anything has a type.
