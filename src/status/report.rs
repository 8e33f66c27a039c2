//! Reports events: as sentences for a person, or as one JSON object a line for a program.

use std::io::{self, Write};

use super::event::Event;
use super::human::Human;
use super::json;
use super::style::{Role, Style};

/// A writer that a reporter owns.
pub type Writer = Box<dyn Write + Send>;

/// Prints events. If a reader goes away (a closed pipe), its output stops and nothing else: there is no error, and the
/// tunnel runs on.
pub struct Reporter {
    format: Format,
}

enum Format {
    Json { out: Outlet },
    Human { human: Human, out: Outlet, err: Outlet },
}

impl Reporter {
    /// Creates a reporter that prints every event as one JSON object a line, flushed, and nothing else.
    pub fn json(out: impl Write + Send + 'static) -> Reporter {
        Reporter { format: Format::Json { out: Outlet::new(out) } }
    }

    /// Creates a reporter that prints sentences to `out`, and warnings and errors to `err`.
    pub fn human(
        out: impl Write + Send + 'static,
        err: impl Write + Send + 'static,
        role: Role,
        style: Style,
    ) -> Reporter {
        Reporter {
            format: Format::Human { human: Human::new(role, style), out: Outlet::new(out), err: Outlet::new(err) },
        }
    }

    /// Reports an event.
    pub fn report(&mut self, event: &Event) {
        match &mut self.format {
            Format::Json { out } => out.write(|out| json::write_line(out, event)),
            Format::Human { human, out, err } => {
                let text = human.describe(event);
                let outlet = match event {
                    Event::Warning { .. }
                    | Event::Error { .. }
                    | Event::ServerLost { .. }
                    | Event::Recovering { .. }
                    | Event::Reconnecting { .. }
                    | Event::Administration { .. } => err,
                    Event::Listening { .. }
                    | Event::Registered { .. }
                    | Event::PinReplaced { .. }
                    | Event::Invitation { .. }
                    | Event::InvitationExpired { .. }
                    | Event::InvitationRevoked { .. }
                    | Event::Connected { .. }
                    | Event::Returned { .. }
                    | Event::Path { .. }
                    | Event::Recovered { .. }
                    | Event::Forwarding { .. }
                    | Event::ReverseForwarding { .. }
                    | Event::StreamOpened { .. }
                    | Event::StreamClosed { .. }
                    | Event::Disconnected { .. }
                    | Event::Serving { .. }
                    | Event::HostJoined { .. }
                    | Event::HostLeft { .. }
                    | Event::Draining { .. }
                    | Event::PeerLinked { .. }
                    | Event::PeerLost { .. }
                    | Event::DirectoryLost { .. }
                    | Event::DirectoryBack
                    | Event::ClientJoined { .. }
                    | Event::ClientLeft { .. }
                    | Event::Reloaded { .. }
                    | Event::Request { .. }
                    | Event::Refused { .. }
                    | Event::Ping(_)
                    | Event::Demo { .. }
                    | Event::Check(_) => out,
                };
                if let Some(text) = text {
                    outlet.write(|out| {
                        // One write, so that lines of two processes on one terminal do not mix.
                        out.write_all(format!("{text}\n").as_bytes())?;
                        out.flush()
                    });
                }
            }
        }
    }

    /// Returns the reporter as a callback for the loop.
    pub fn into_callback(mut self) -> Box<dyn FnMut(&Event) + Send> {
        Box::new(move |event| self.report(event))
    }
}

/// A writer until it fails for the first time, nothing afterwards.
struct Outlet(Option<Writer>);

impl Outlet {
    fn new(writer: impl Write + Send + 'static) -> Outlet {
        Outlet(Some(Box::new(writer)))
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let Some(writer) = &mut self.0 else { return };
        if let Err(error) = write(writer) {
            log::debug!("report output lost: error={error}");
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::event::Appearance;
    use std::sync::{Arc, Mutex};

    /// A buffer that two owners share; fails after `room` bytes.
    #[derive(Clone)]
    struct Pipe {
        text: Arc<Mutex<Vec<u8>>>,
        room: usize,
    }

    impl Pipe {
        fn new(room: usize) -> Pipe {
            Pipe { text: Arc::default(), room }
        }

        fn text(&self) -> String {
            String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut text = self.text.lock().unwrap();
            if text.len() + bytes.len() > self.room {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            text.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn forwarding() -> Event {
        Event::Forwarding { local: "127.0.0.1:25565".parse().unwrap(), service: Appearance::Target("web".into()) }
    }

    fn error() -> Event {
        Event::Error { code: "bad-pin".into(), message: "the pin does not match".into() }
    }

    #[test]
    fn json_goes_to_stdout_errors_too() {
        let out = Pipe::new(1000);
        let mut report = Reporter::json(out.clone()).into_callback();
        report(&forwarding());
        report(&error());
        assert_eq!(
            out.text(),
            concat!(
                r#"{"event":"forwarding","local":"127.0.0.1:25565","service":"web"}"#,
                "\n",
                r#"{"event":"error","code":"bad-pin","message":"the pin does not match"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn people_read_errors_on_stderr() {
        let (out, err) = (Pipe::new(1000), Pipe::new(1000));
        let mut reporter = Reporter::human(out.clone(), err.clone(), Role::Client, Style::plain());
        reporter.report(&forwarding());
        reporter.report(&error());
        assert_eq!(out.text(), "127.0.0.1:25565 is now web on the other side\n");
        assert_eq!(err.text(), "error: the pin does not match\n");
    }

    #[test]
    fn a_broken_pipe_silences_that_output_only() {
        let (out, err) = (Pipe::new(60), Pipe::new(1000));
        let mut reporter = Reporter::human(out.clone(), err.clone(), Role::Client, Style::plain());
        for _ in 0..3 {
            reporter.report(&forwarding());
        }
        reporter.report(&error());
        assert_eq!(out.text().lines().count(), 1);
        assert_eq!(err.text(), "error: the pin does not match\n");

        let out = Pipe::new(0);
        let mut reporter = Reporter::json(out.clone());
        reporter.report(&forwarding());
        reporter.report(&error());
        assert_eq!(out.text(), "");
    }

    #[test]
    fn a_driver_can_own_it() {
        let mut callback: Box<dyn FnMut(&Event)> = Reporter::json(Pipe::new(1000)).into_callback();
        callback(&forwarding());
    }
}
