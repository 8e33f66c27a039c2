//! What is going on, said to a person or to a program.

pub mod event;
