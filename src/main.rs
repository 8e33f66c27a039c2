//! The `pinhole` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    pinhole::internals::cli::run()
}
