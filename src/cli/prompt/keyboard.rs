//! What comes from the keyboard, and signals that end the waiting for it.

#[cfg(unix)]
pub(super) use unix::Keyboard;

#[cfg(not(unix))]
pub(super) use other::Keyboard;

/// Longest line, in bytes. What follows is not read.
const MAX_LINE: usize = 8 * 1024;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::unix::net::UnixStream;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
    use signal_hook::SigId;
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::low_level::pipe;

    use super::MAX_LINE;

    /// The keyboard. While keys are read one by one, the terminal's mode is another; it is as before in the end.
    pub(in crate::cli::prompt) struct Keyboard {
        /// The mode to return to.
        before: Option<Termios>,
        /// Becomes readable with a signal, and stays so.
        woken: UnixStream,
    }

    impl Keyboard {
        pub(in crate::cli::prompt) fn new(is_plain: bool, signals: &mut Vec<SigId>) -> io::Result<Keyboard> {
            let (woken, waker) = UnixStream::pair()?;
            for signal in [SIGINT, SIGTERM] {
                signals.push(pipe::register(signal, waker.try_clone()?)?);
            }
            let mut before = None;
            if !is_plain {
                let mode = tcgetattr(io::stdin())?;
                let mut keys = mode.clone();
                // Between two questions, too: a key that comes too early would else be lost.
                keys.make_raw();
                keys.output_modes = mode.output_modes;
                tcsetattr(io::stdin(), OptionalActions::Drain, &keys)?;
                before = Some(mode);
            }
            Ok(Keyboard { before, woken })
        }

        pub(in crate::cli::prompt) fn is_plain(&self) -> bool {
            self.before.is_none()
        }

        /// Waits for a key, a line, or a signal.
        pub(in crate::cli::prompt) fn wait(&self) -> io::Result<()> {
            let stdin = io::stdin();
            let mut sources = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&self.woken, PollFlags::IN)];
            match poll(&mut sources, None) {
                // Its handler has written, so there is nothing left to wait for.
                Err(rustix::io::Errno::INTR) => Ok(()),
                done => Ok(done.map(drop)?),
            }
        }

        /// Reads a line; `None` at the end of the input, or once a signal came.
        pub(in crate::cli::prompt) fn read_line(&self, is_over: impl Fn() -> bool) -> io::Result<Option<String>> {
            let mut line = Vec::new();
            loop {
                self.wait()?;
                if is_over() {
                    return Ok(None);
                }
                let mut byte = [0];
                match rustix::io::read(io::stdin(), &mut byte) {
                    Ok(0) if line.is_empty() => return Ok(None),
                    Ok(0) => break,
                    Ok(_) if byte == *b"\n" => break,
                    Ok(_) if line.len() < MAX_LINE => line.extend(byte),
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(Some(String::from_utf8_lossy(&line).into_owned()))
        }
    }

    impl Drop for Keyboard {
        fn drop(&mut self) {
            if let Some(mode) = &self.before {
                // A terminal that is gone has no mode.
                let _ = tcsetattr(io::stdin(), OptionalActions::Drain, mode);
            }
        }
    }
}

#[cfg(not(unix))]
mod other {
    use std::io::{self, BufRead, Read};

    use signal_hook::SigId;

    use super::MAX_LINE;

    /// The keyboard, which the line editor reads by itself.
    pub(in crate::cli::prompt) struct Keyboard {
        is_plain: bool,
    }

    impl Keyboard {
        pub(in crate::cli::prompt) fn new(is_plain: bool, _signals: &mut Vec<SigId>) -> io::Result<Keyboard> {
            Ok(Keyboard { is_plain })
        }

        pub(in crate::cli::prompt) fn is_plain(&self) -> bool {
            self.is_plain
        }

        pub(in crate::cli::prompt) fn wait(&self) -> io::Result<()> {
            Ok(())
        }

        pub(in crate::cli::prompt) fn read_line(&self, is_over: impl Fn() -> bool) -> io::Result<Option<String>> {
            let mut line = String::new();
            let read = io::stdin().lock().take(MAX_LINE as u64).read_line(&mut line)?;
            Ok((read > 0 && !is_over()).then_some(line))
        }
    }
}
