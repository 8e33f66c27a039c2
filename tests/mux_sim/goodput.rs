//! Goodput.
