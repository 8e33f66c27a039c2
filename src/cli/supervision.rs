//! Whether a service manager wants to hear of this process, which the environment tells: `sd_notify(3)` and
//! `sd_watchdog_enabled(3)`.

use std::env;
use std::ffi::OsString;
use std::process;
use std::time::Duration;

use crate::net::service_manager::ServiceManager;
use crate::run::Supervision;
use crate::status::summary::Summary;

/// What the environment says.
#[derive(Default)]
struct Variables {
    /// `NOTIFY_SOCKET`.
    socket: Option<OsString>,
    /// `WATCHDOG_USEC`.
    watchdog: Option<OsString>,
    /// `WATCHDOG_PID`.
    process: Option<OsString>,
}

/// Returns what the service manager of this process is to be told, if there is one.
pub(super) fn of_process(summary: Summary) -> Option<Supervision> {
    let read = |name| env::var_os(name).filter(|value| !value.is_empty());
    let variables =
        Variables { socket: read("NOTIFY_SOCKET"), watchdog: read("WATCHDOG_USEC"), process: read("WATCHDOG_PID") };
    let watchdog = variables.watchdog(process::id());
    let socket = variables.socket?;
    match ServiceManager::new(&socket) {
        Ok(manager) => Some(Supervision::new(manager, watchdog, summary)),
        Err(error) => {
            log::warn!(
                "NOTIFY_SOCKET {}: {error}; the service manager is told nothing of this run",
                socket.to_string_lossy().escape_debug()
            );
            None
        }
    }
}

impl Variables {
    /// Returns how long the manager waits for a sign of life of the process with this id.
    fn watchdog(&self, id: u32) -> Option<Duration> {
        let number = |text: &OsString| text.to_str()?.parse::<u64>().ok();
        if self.process.as_ref().is_some_and(|process| number(process) != Some(id.into())) {
            return None;
        }
        self.watchdog.as_ref().and_then(number).filter(|watchdog| *watchdog > 0).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchdog(microseconds: &str, process: Option<&str>) -> Option<Duration> {
        let (watchdog, process) = (Some(microseconds.into()), process.map(Into::into));
        Variables { watchdog, process, ..Variables::default() }.watchdog(7)
    }

    #[test]
    fn a_watchdog_is_for_one_process() {
        let minute = Some(Duration::from_secs(60));
        assert_eq!(watchdog("60000000", None), minute);
        assert_eq!(watchdog("60000000", Some("7")), minute);
        assert_eq!(watchdog("60000000", Some("8")), None);
        assert_eq!(watchdog("60000000", Some("x")), None);
        assert_eq!(Variables::default().watchdog(7), None);
    }

    #[test]
    fn a_watchdog_without_a_time_is_none() {
        for wrong in ["0", "-1", "x", "1s", "99999999999999999999"] {
            assert_eq!(watchdog(wrong, None), None, "{wrong}");
        }
        assert!(watchdog("18446744073709551615", None).is_some());
    }
}
