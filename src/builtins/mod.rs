//! Every builtin, function and map function: one declaration each.
