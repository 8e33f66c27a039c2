//! The file that says what a command line says.

use super::super::failure::UsageError;
use super::keys::{Keys, Kind};
use super::secret;
use super::setting::{Said, Setting};

/// The first line of each such file.
const HEAD: &str = "# pinhole run FILE does what this says; pinhole verify FILE says whether it is right.";

/// What stands behind a secret.
const SECRET: &str = "# a secret: chmod 600 keeps this file from others";

/// Writes a file that says these settings of a role.
///
/// # Errors
/// A path is not UTF-8, and TOML is.
pub(in crate::cli) fn toml(keys: &Keys, settings: &[Setting]) -> Result<String, UsageError> {
    Ok(format!("{HEAD}\n{}", table(keys, settings, keys.role())?))
}

/// Writes a table of that name.
///
/// # Errors
/// As of [`toml()`].
pub(in crate::cli) fn table(keys: &Keys, settings: &[Setting], name: &str) -> Result<String, UsageError> {
    let mut file = format!("[{name}]\n");
    for setting in settings {
        let key = keys.find(&setting.key).map(|key| (key.name(), key.kind()));
        let Some((name, kind)) = key else { continue };
        let not_text =
            || UsageError::File(format!("{name} is not UTF-8, and a file of settings is; give another path"));
        let is_secret = secret(setting).is_some();
        let texts = setting.values().iter().map(|value| value.text.to_str().map(|text| written(text, is_secret)));
        let texts = texts.collect::<Option<Vec<_>>>().ok_or_else(not_text)?;
        let value = match (&setting.said, kind) {
            (Said::Flag(times), Kind::Count) => times.to_string(),
            (Said::Flag(_), _) => "true".to_owned(),
            (Said::Values(_), Kind::Many) => format!("[{}]", texts.join(", ")),
            (Said::Values(_), _) => texts.concat(),
        };
        let comment = if is_secret { format!(" {SECRET}") } else { String::new() };
        file.push_str(&format!("{name} = {value}{comment}\n"));
    }
    Ok(file)
}

/// Writes a value: a number where it looks the same as one, otherwise a text in quotes.
fn written(text: &str, is_secret: bool) -> String {
    let is_number = text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
    if is_number && !is_secret {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // TOML has no other way for these.
            '\0'..='\x1f' | '\x7f' => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            _ => quoted.push(c),
        }
    }
    quoted + "\""
}
