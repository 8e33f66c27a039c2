//! pinhole.toml(5): the file of `pinhole run`, made of the keys that it can have.

use clap::{Arg, ArgAction};
use roff::{Roff, bold, roman};

use super::ending::{Entry, Listing};
use super::options;
use super::words::FILE;

/// What the values of keys look like, by the key or, where several are alike, by the name of the value in the help.
const EXAMPLES: &[(&str, &str)] = &[
    ("ca", "\"ca.pem\""),
    ("cluster-secret-file", "\"cluster.secret\""),
    ("directory-file", "\"directory.url\""),
    ("gateway-listen", "[\":80\"]"),
    ("peer", "[\"ws://10.0.0.2:7000\"]"),
    ("admin-listen", "7070"),
    ("admin-token-file", "\"admin.token\""),
    ("pin-file", "\"nas.pin\""),
    ("proxy-auth-file", "\"proxy.login\""),
    ("public-auth-file", "\"visitors.login\""),
    ("public-url", "\"https://abc123-5000.asse.devtunnels.ms\""),
    ("reverse", "[\"8000:127.0.0.1:3000\"]"),
    ("tls-cert", "\"fullchain.pem\""),
    ("tls-key", "\"privkey.pem\""),
    ("token-file", "\"nas.token\""),
    ("tokens", "\"tokens.toml\""),
    ("url", "\"wss://p.example.org/ws/nas\""),
    ("[NAME=]TARGET", "[\"web=8080\", 22, \"udp:53\"]"),
    ("[NAME=]LOCAL", "[\"web=8080\", \"db=unix:/tmp/db.sock\"]"),
    ("ADDR", "\":5000\""),
    ("DIRECTORY", "\"redis://10.0.0.5:6379\""),
    ("RULE", "[\"10.0.0.0/8:80,443\", \"*.internal:22\"]"),
    ("PORTS", "[\"8000-8010\", \"udp:53\"]"),
    ("VERSION", "[\"v2\", \"web=v1\"]"),
    ("ID", "\"my-host\""),
    ("TOKEN", "\"abc\""),
    ("PIN", "\"correct horse battery\""),
    ("NAME", "\"web\""),
    ("USER:PASSWORD", "\"me:correct horse battery\""),
    ("NAME: VALUE", "[\"X-Team: blue\"]"),
    ("HOST:PORT", "[\"stun.example.org:3478\"]"),
    ("[BIND:]PORT:HOST:PORT", "[\"5432:db.local:5432\"]"),
    ("[BIND:]PORT", "[1080]"),
    ("SERVICE|HOST:PORT", "\"web\""),
    ("SECONDS", "30"),
    ("RATE", "\"20mbit\""),
    ("SIZE", "\"64MiB\""),
    ("N", "100"),
    ("CIDR", "[\"10.0.0.0/8\"]"),
    ("FORMAT", "\"json\""),
    ("DOMAIN", "\"p.example.org\""),
    ("URL", "\"wss://p.example.org\""),
];

/// The name of the page, which is that of the file where it has no other.
pub(super) const NAME: &str = "pinhole.toml";

/// What the page is about.
pub(super) const ABOUT: &str = "what pinhole run does: a host, a client or a server, in a file";

/// A table that a file can have.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub role: &'static str,
    /// The arguments whose long names are its keys.
    pub keys: Vec<Arg>,
}

/// Writes everything between the name and the pages to see, too.
pub(super) fn sections(roff: &mut Roff, tables: &[Table]) {
    for (title, paragraphs) in FILE.sections {
        roff.control("SH", [*title]);
        for (index, paragraph) in paragraphs.iter().enumerate() {
            if index > 0 {
                roff.control("PP", []);
            }
            roff.text([roman(*paragraph)]);
        }
    }
    for Table { role, keys } in tables {
        roff.control("SH", [format!("KEYS OF [{role}]").as_str()]);
        for (heading, keys) in options::by_heading(&keys.iter().collect::<Vec<_>>()) {
            if let Some(heading) = heading {
                roff.control("SS", [heading]);
            }
            keys.into_iter().for_each(|key| entry(roff, key));
        }
    }
    let entries: Vec<Entry> = FILE.files.iter().map(|(name, text)| Entry::new(name, text)).collect();
    super::list(roff, "FILES", &entries);
    roff.control("SH", ["EXAMPLES"]);
    for (intro, text) in FILE.examples {
        let lines = text.lines().map(str::to_owned).collect();
        super::lines(roff, &Listing { intro: (*intro).to_owned(), lines });
    }
}

fn entry(roff: &mut Roff, key: &Arg) {
    roff.control("TP", []).text([bold(name(key)), roman(format!(": {}", takes(key)))]);
    let paragraphs = options::explanation(key);
    let paragraphs: Vec<String> = paragraphs.iter().map(|text| of_file(text)).filter(|text| !text.is_empty()).collect();
    options::paragraphs(roff, &paragraphs);
    roff.control("IP", []).text([roman(example(key))]);
}

/// Takes out of a paragraph what is so of command lines alone.
fn of_file(paragraph: &str) -> String {
    let text = paragraph
        .replace(" (repeatable)", "")
        .replace("Its format is shown below", "pinhole-server(1) shows its format");
    let sentences = text.split_inclusive(". ").filter(|sentence| !sentence.contains("the list of processes"));
    sentences.collect::<String>().trim_end().to_owned()
}

/// Says in words what a key takes.
fn takes(key: &Arg) -> &'static str {
    match (key.get_action(), value_name(key).as_str()) {
        (ArgAction::SetTrue, _) => "true or false",
        (ArgAction::Count, _) => "a number from 0 to 3",
        (ArgAction::Append, _) => "a list of texts",
        (_, "SECONDS" | "N") => "a whole number",
        (_, "FILE") => "the path of a file",
        _ => "a text",
    }
}

/// Returns a line as it may stand in a file.
pub(super) fn example(key: &Arg) -> String {
    let called = |name: &str| EXAMPLES.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let value = match key.get_action() {
        ArgAction::SetTrue => "true",
        ArgAction::Count => "2",
        _ => called(name(key)).or_else(|| called(&value_name(key))).unwrap_or_default(),
    };
    format!("{} = {value}", name(key))
}

fn name(key: &Arg) -> &str {
    key.get_long().unwrap_or(key.get_id().as_str())
}

fn value_name(key: &Arg) -> String {
    key.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default()
}
