//! Logs on stderr: how much, and of what.

use std::env;
use std::io::Write;

use env_logger::{Target, WriteStyle};

use crate::status::report::Style;

/// How much a person wants to read, from `-v` and `-q`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// `-q`: errors only, and no line for every stream.
    Quiet,
    /// Warnings.
    #[default]
    Normal,
    /// `-v`: changes of sessions.
    Info,
    /// `-vv`: streams.
    Debug,
    /// `-vvv`: datagrams.
    Trace,
}

impl Verbosity {
    /// Reads the flags as they were counted.
    pub fn new(quiet: bool, verbose: u8) -> Verbosity {
        match (quiet, verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Info,
            (false, 2) => Verbosity::Debug,
            (false, _) => Verbosity::Trace,
        }
    }

    /// Returns the logger's directives. `-v` is about pinhole; the libraries below it warn, unless `RUST_LOG` asks
    /// for more: its directives come last and win.
    fn directives(self, rust_log: Option<&str>) -> String {
        let ours = match self {
            Verbosity::Quiet => "error",
            Verbosity::Normal => "warn",
            Verbosity::Info => "warn,pinhole=info",
            Verbosity::Debug => "warn,pinhole=debug",
            Verbosity::Trace => "warn,pinhole=trace",
        };
        match rust_log {
            Some(more) if !more.trim().is_empty() => format!("{ours},{more}"),
            _ => ours.to_string(),
        }
    }
}

/// Starts logging to what carries stderr. A second call changes nothing, so that a program that logs already can call the library.
pub fn start(verbosity: Verbosity, out: impl Write + Send + 'static) {
    let rust_log = env::var("RUST_LOG").ok();
    let started = env_logger::Builder::new()
        .parse_filters(&verbosity.directives(rust_log.as_deref()))
        .format_timestamp_millis()
        .target(Target::Pipe(Box::new(out)))
        .write_style(if Style::of_process(true).error_colour { WriteStyle::Always } else { WriteStyle::Never })
        .try_init();
    if let Err(error) = started {
        log::debug!("logger kept: error={error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{Level, Log, Metadata};

    fn enabled(verbosity: Verbosity, rust_log: Option<&str>, target: &str, level: Level) -> bool {
        let logger = env_logger::Builder::new().parse_filters(&verbosity.directives(rust_log)).build();
        logger.enabled(&Metadata::builder().target(target).level(level).build())
    }

    #[test]
    fn flags_are_levels() {
        let cases = [
            (true, 0, Verbosity::Quiet),
            (false, 0, Verbosity::Normal),
            (false, 1, Verbosity::Info),
            (false, 2, Verbosity::Debug),
            (false, 3, Verbosity::Trace),
            (false, 255, Verbosity::Trace),
        ];
        for (quiet, verbose, expected) in cases {
            assert_eq!(Verbosity::new(quiet, verbose), expected);
        }
    }

    #[test]
    fn verbosity_is_about_pinhole() {
        // The most that each verbosity shows of pinhole and of a library.
        let cases = [
            (Verbosity::Quiet, Level::Error, Level::Error),
            (Verbosity::Normal, Level::Warn, Level::Warn),
            (Verbosity::Info, Level::Info, Level::Warn),
            (Verbosity::Debug, Level::Debug, Level::Warn),
            (Verbosity::Trace, Level::Trace, Level::Warn),
        ];
        for (verbosity, ours, theirs) in cases {
            for level in Level::iter() {
                assert_eq!(enabled(verbosity, None, "pinhole::driver", level), level <= ours);
                assert_eq!(enabled(verbosity, None, "str0m::ice", level), level <= theirs);
            }
        }
    }

    #[test]
    fn rust_log_wins() {
        let info = Verbosity::Info;
        assert!(enabled(info, Some("str0m=trace"), "str0m::ice", Level::Trace));
        assert!(enabled(info, Some("str0m=trace"), "pinhole::cli", Level::Info));
        assert!(!enabled(info, Some("pinhole=error"), "pinhole::cli", Level::Info));
        assert!(enabled(info, Some("debug"), "mio", Level::Debug));
        assert!(enabled(Verbosity::Normal, Some("debug"), "pinhole", Level::Debug));
        assert!(!enabled(info, Some(" "), "mio", Level::Debug));
        assert!(!enabled(info, Some("error"), "mio", Level::Warn));
    }
}
