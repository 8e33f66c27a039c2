//! Logs on stderr, and which lines get there.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};

use env_logger::fmt::Formatter;
use env_logger::{Target, WriteStyle};
use log::{LevelFilter, Record};

use crate::status::style::{Streams, Style};
use crate::status::text::sanitize;

/// How much is logged, as `-v` and `-q` say.
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
    /// Returns the verbosity for these counts of flags.
    pub fn new(quiet: bool, verbose: u8) -> Verbosity {
        match (quiet, verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Info,
            (false, 2) => Verbosity::Debug,
            (false, _) => Verbosity::Trace,
        }
    }

    /// Returns the most detailed level at which pinhole logs.
    fn ours(self) -> LevelFilter {
        match self {
            Verbosity::Quiet => LevelFilter::Error,
            Verbosity::Normal => LevelFilter::Warn,
            Verbosity::Info => LevelFilter::Info,
            Verbosity::Debug => LevelFilter::Debug,
            Verbosity::Trace => LevelFilter::Trace,
        }
    }
}

/// The name of this crate. The targets of its logs begin with it.
const OURS: &str = "pinhole";

/// The most detailed level of libraries, whatever was asked for. At trace some print what they carry, such as a host's
/// token and local traffic.
const LIBRARIES: LevelFilter = LevelFilter::Debug;

/// Libraries that log something here.
const KNOWN: [&str; 5] = ["mio", "quinn_udp", "tungstenite", "dimpl", "sctp_proto"];

/// Longest part of a wrong `RUST_LOG` that a warning shows, in characters.
const MAX_SHOWN: usize = 60;

/// Longest line of the log, in characters.
const MAX_LINE: usize = 16 * 1024;

/// Which modules log at which level.
#[derive(Debug, Default)]
struct Directives {
    /// Modules and their levels. An entry without a module is for all of them. Later entries win.
    levels: Vec<(Option<String>, LevelFilter)>,
    /// A text that lines must contain.
    text: Option<String>,
    /// Warnings: what was not understood, and what is not done although it was asked for.
    complaints: Vec<String>,
}

impl Directives {
    /// Reads `RUST_LOG` as `env_logger` does, but does not take what it cannot read for a module. `-v` is about
    /// pinhole; the libraries below it warn, unless `RUST_LOG` asks for more: its directives come last and win.
    fn new(verbosity: Verbosity, rust_log: Option<&str>) -> Directives {
        let others = verbosity.ours().min(LevelFilter::Warn);
        let levels = vec![(None, others), (Some(OURS.to_owned()), verbosity.ours())];
        let mut directives = Directives { levels, ..Directives::default() };
        let (modules, text) =
            rust_log.unwrap_or_default().split_once('/').map_or((rust_log, None), |(modules, text)| {
                (Some(modules), Some(text.to_owned()).filter(|text| !text.is_empty()))
            });
        directives.text = text;
        for part in modules.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty()) {
            directives.read(verbosity, part);
        }
        directives
    }

    fn read(&mut self, verbosity: Verbosity, part: &str) {
        let (module, level) = match part.split_once('=') {
            Some((module, level)) => (Some(module.trim()), level.trim().parse().ok()),
            None => match part.parse() {
                Ok(level) => (None, Some(level)),
                Err(_) => (Some(part), is_known(part).then_some(LevelFilter::Trace)),
            },
        };
        let is_module = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
        };
        let level = match level {
            Some(level) if module.is_none_or(is_module) => level,
            _ => {
                let part = sanitize(part, MAX_SHOWN);
                self.complaints.push(format!(
                    "'{part}' in RUST_LOG is left out: give a level (error, warn, info, debug, trace or off) or MODULE=LEVEL, \
                     for example RUST_LOG=pinhole::run=debug"
                ));
                return;
            }
        };
        match module {
            Some(module) if module.starts_with(OURS) => self.levels.push((Some(module.to_owned()), level)),
            Some(module) => {
                if part.contains('=') && level > LIBRARIES {
                    self.complaints.push(format!(
                        "libraries log at {LIBRARIES} at most: at {level} they print what they carry, secrets included"
                    ));
                }
                self.levels.push((Some(module.to_owned()), level.min(LIBRARIES)));
            }
            None => {
                self.levels.push((None, level.min(LIBRARIES)));
                // What was asked for by a flag is not taken away.
                if level > verbosity.ours() || verbosity == Verbosity::Normal {
                    self.levels.push((Some(OURS.to_owned()), level));
                }
            }
        }
    }

    fn logger(&self) -> env_logger::Builder {
        let mut builder = env_logger::Builder::new();
        if let Some(text) = &self.text {
            // It cannot be wrong: without regular expressions, it is a text to look for.
            builder.parse_filters(&format!("/{}", text.replace('/', "")));
        }
        for (module, level) in &self.levels {
            builder.filter(module.as_deref(), *level);
        }
        builder
    }
}

/// Tells whether something that logs here has that name, or is a module of it.
fn is_known(module: &str) -> bool {
    let name = module.split("::").next().unwrap_or_default();
    name == OURS || KNOWN.contains(&name)
}

/// Starts logging to `out`, and warns of a `RUST_LOG` that makes no sense. A second call changes nothing, so a
/// program that logs already can call the library.
pub fn start(verbosity: Verbosity, out: impl Write + Send + 'static) {
    let rust_log = env::var_os("RUST_LOG").map(OsString::into_string).transpose();
    let mut directives = Directives::new(verbosity, rust_log.as_ref().ok().and_then(|text| text.as_deref()));
    if rust_log.is_err() {
        directives.complaints.push("RUST_LOG is left out: it is not UTF-8".to_owned());
    }
    let started = directives
        .logger()
        .format(write_line)
        .target(Target::Pipe(Box::new(out)))
        .write_style(if Style::of_process(Streams::Silent).error_colour {
            WriteStyle::Always
        } else {
            WriteStyle::Never
        })
        .try_init();
    match started {
        Ok(()) => directives.complaints.iter().for_each(|complaint| log::warn!("{complaint}")),
        Err(error) => log::debug!("logger kept: error={error}"),
    }
}

/// Writes a line of the log. Labels, agents and reasons of others are in some, so what a terminal would act on is
/// escaped in all.
fn write_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let (time, level, style) = (out.timestamp_millis(), record.level(), out.default_level_style(record.level()));
    let message = sanitize(&record.args().to_string(), MAX_LINE);
    writeln!(out, "[{time} {style}{level:<5}{style:#} {}] {message}", record.target())
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{Level, Log, Metadata};

    fn enabled(verbosity: Verbosity, rust_log: Option<&str>, target: &str, level: Level) -> bool {
        let logger = Directives::new(verbosity, rust_log).logger().build();
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
                assert_eq!(enabled(verbosity, None, "pinhole::run", level), level <= ours);
                assert_eq!(enabled(verbosity, None, "str0m::ice", level), level <= theirs);
            }
        }
    }

    #[test]
    fn rust_log_wins() {
        let info = Verbosity::Info;
        assert!(enabled(info, Some("tungstenite=debug"), "tungstenite::protocol", Level::Debug));
        assert!(enabled(info, Some("tungstenite=debug"), "pinhole::cli", Level::Info));
        assert!(!enabled(info, Some("pinhole=error"), "pinhole::cli", Level::Info));
        assert!(enabled(info, Some("debug"), "mio", Level::Debug));
        assert!(enabled(info, Some("debug"), "pinhole", Level::Debug));
        assert!(enabled(info, Some("warn"), "pinhole", Level::Info), "what was asked for by -v");
        assert!(enabled(Verbosity::Normal, Some("debug"), "pinhole", Level::Debug));
        assert!(!enabled(Verbosity::Normal, Some("off"), "pinhole", Level::Error));
        assert!(enabled(Verbosity::Normal, Some("pinhole::net"), "pinhole::net::tls", Level::Trace));
        assert!(!enabled(Verbosity::Normal, Some("pinhole::net"), "pinhole::cli", Level::Info));
        assert!(!enabled(info, Some(" "), "mio", Level::Debug));
        assert!(!enabled(info, Some("error"), "mio", Level::Warn));
        assert_eq!(Directives::new(info, Some("debug/session")).text.as_deref(), Some("session"));
    }

    #[test]
    fn no_library_traces() {
        let texts =
            ["trace", "trace,tungstenite=trace", "tungstenite", "tungstenite::protocol=trace", "t=trace", "p=trace"];
        for text in texts {
            for target in ["tungstenite::protocol", "sctp_proto::association", "dimpl::dtls13", "later", "p"] {
                for verbosity in [Verbosity::Normal, Verbosity::Trace] {
                    assert!(!enabled(verbosity, Some(text), target, Level::Trace), "{text}: {target}");
                }
            }
        }
        assert!(enabled(Verbosity::Normal, Some("trace"), "pinhole::run", Level::Trace));
        assert!(Directives::new(Verbosity::Normal, Some("trace")).complaints.is_empty(), "nobody asked for those");
        let complaints = Directives::new(Verbosity::Normal, Some("tungstenite=trace")).complaints;
        assert!(complaints[0].contains("libraries log at DEBUG at most"), "{complaints:?}");
    }

    #[test]
    fn a_broken_rust_log_is_said_and_changes_nothing() {
        let broken = [
            "inof",
            "pinhole=",
            "=",
            "=trace",
            "pinhole=verbose",
            "pinhole=trace=debug",
            "pinhole:debug",
            "5",
            "info debug",
            "\x1b[2J",
            "pinhole=trace debug",
            "a b=trace",
        ];
        for text in broken {
            let directives = Directives::new(Verbosity::Normal, Some(text));
            assert_eq!(directives.levels, Directives::new(Verbosity::Normal, None).levels, "{text}");
            let [complaint] = &directives.complaints[..] else { panic!("{text}: {:?}", directives.complaints) };
            assert!(complaint.contains("RUST_LOG is left out") && !complaint.contains(char::is_control), "{complaint}");
        }
        let partly = Directives::new(Verbosity::Normal, Some("inof, pinhole::net=debug,,mio=trase"));
        assert_eq!(partly.complaints.len(), 2);
        assert!(enabled(Verbosity::Normal, Some("inof, pinhole::net=debug"), "pinhole::net::tls", Level::Debug));
        for right in ["", "warn", "DEBUG", "str0m=debug", "pinhole", "pinhole::run=trace", "hyper=info,warn"] {
            assert!(Directives::new(Verbosity::Normal, Some(right)).complaints.is_empty(), "{right}");
        }
    }

    #[test]
    fn a_line_of_the_log_shows_what_others_wrote_and_does_not_do_it() {
        let (sender, lines) = crossbeam_channel::unbounded();
        struct Lines(crossbeam_channel::Sender<Vec<u8>>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut builder = Directives::new(Verbosity::Info, None).logger();
        let logger = builder.format(write_line).target(Target::Pipe(Box::new(Lines(sender)))).build();
        let label = "a\u{202e}b\u{1b}[2J\n[forged";
        let record = |text| Record::builder().level(Level::Info).target("pinhole::run").args(text).build();
        logger.log(&record(format_args!("invitation={label} is over")));
        drop(logger);
        drop(builder);
        let line: Vec<u8> = lines.iter().flatten().collect();
        let line = String::from_utf8(line).unwrap();
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.starts_with('[') && time.ends_with('Z'), "{line}");
        assert_eq!(rest, "INFO  pinhole::run] invitation=a\\u{202e}b\\u{1b}[2J\\n[forged is over\n");
    }
}
