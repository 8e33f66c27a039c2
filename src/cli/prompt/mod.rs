//! Asks questions at the terminal, on stderr: with lists to move in and a line editor, or line by line.

mod keyboard;
mod line;
mod screen;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dialoguer::console::{Key, Term};
use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use self::keyboard::Keyboard;
use self::line::{Edit, Line};
use self::screen::Screen;
use super::question::{NoAnswer, Question};

/// The terminal behind stdin and stderr. While one exists, SIGINT and SIGTERM end the questions and not the process.
/// So the terminal is always restored.
pub struct Prompter {
    terminal: Term,
    keyboard: Keyboard,
    interrupted: Arc<AtomicBool>,
    signals: Vec<SigId>,
}

impl Prompter {
    /// Takes over the terminal's signals. A plain one moves no cursor and reads line by line.
    pub fn new(is_plain: bool) -> io::Result<Prompter> {
        let interrupted = Arc::<AtomicBool>::default();
        let mut signals = Vec::new();
        for signal in [SIGINT, SIGTERM] {
            signals.push(signal_hook::flag::register(signal, Arc::clone(&interrupted))?);
        }
        // Its signals come second, so whoever it wakes sees the flag.
        let keyboard = Keyboard::new(is_plain, &mut signals)?;
        Ok(Prompter { terminal: Term::buffered_stderr(), keyboard, interrupted, signals })
    }

    /// Asks once. The cursor stays visible, and it stands on a fresh line afterwards, however it ended.
    pub fn ask(&mut self, question: &Question<'_>) -> Result<String, NoAnswer> {
        if self.keyboard.is_plain() {
            return self.ask_plainly(question);
        }
        let mut screen = Screen::new(&self.terminal, question);
        let answer = self.edit(&mut screen);
        screen.close()?;
        answer
    }

    /// Returns whether a signal came that no question has noticed.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn edit(&self, screen: &mut Screen<'_>) -> Result<String, NoAnswer> {
        screen.complain()?;
        let mut line = Line::default();
        loop {
            screen.draw(&line)?;
            self.keyboard.wait()?;
            if self.is_interrupted() {
                return Err(NoAnswer::Cancelled);
            }
            let key = match self.terminal.read_key_raw() {
                Ok(key) => key,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Key::CtrlC,
                Err(error) => return Err(error.into()),
            };
            if !screen.question.choices.is_empty() && matches!(key, Key::ArrowUp | Key::ArrowDown) {
                screen.select(key == Key::ArrowDown);
                continue;
            }
            match line.handle_key(key) {
                Edit::Going => {}
                Edit::Done => {
                    let answer = line.text();
                    if !answer.trim().is_empty() {
                        return Ok(answer);
                    }
                    if !screen.question.choices.is_empty() {
                        let answer = (screen.selected + 1).to_string();
                        screen.draw(&Line::of(&answer))?;
                        return Ok(answer);
                    }
                    if let Some(default) = screen.question.default {
                        screen.draw(&Line::of(default))?;
                    }
                    return Ok(answer);
                }
                Edit::Left => return Err(NoAnswer::Cancelled),
            }
        }
    }

    /// Asks with whole lines, each of which is there to stay.
    fn ask_plainly(&self, question: &Question<'_>) -> Result<String, NoAnswer> {
        let mut text = question.complaint.map(|complaint| format!("{complaint}\n")).unwrap_or_default();
        text.push_str(question.text);
        for (index, choice) in question.choices.iter().enumerate() {
            text.push_str(&format!("\n  {:>2}  {choice}", index + 1));
        }
        text.push_str(if question.choices.is_empty() { ": " } else { "\nNumber or answer [1]: " });
        let mut stderr = io::stderr().lock();
        stderr.write_all(text.as_bytes())?;
        stderr.flush()?;
        drop(stderr);
        let line = self.keyboard.read_line(|| self.is_interrupted())?;
        match line {
            None => {
                // What follows begins on a line of its own.
                writeln!(io::stderr())?;
                Err(NoAnswer::Cancelled)
            }
            Some(line) if line.trim().is_empty() && !question.choices.is_empty() => Ok("1".to_owned()),
            Some(line) => Ok(line),
        }
    }
}

impl Drop for Prompter {
    fn drop(&mut self) {
        for id in self.signals.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
