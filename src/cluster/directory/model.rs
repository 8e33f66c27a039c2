//! A Redis in memory, as far as the directory goes: what the scripts do, in other words, for tests.

use std::collections::BTreeMap;

use super::request::{CHANGES, Script};
use super::resp::{Decoder, Value};
use super::{Arrived, request};

/// The keys, and the time of the directory in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Redis {
    pub(super) now: u64,
    pub(super) hosts: BTreeMap<String, Host>,
    epoch: u64,
    birth: Option<(u64, String)>,
    servers: BTreeMap<String, (String, u64)>,
    owners: BTreeMap<String, BTreeMap<String, u64>>,
    /// What was published and not taken.
    pub(super) hints: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Host {
    /// Server, epoch, owner, instance, public, dials.
    pub(super) fields: [String; 6],
    is_young: bool,
    until: u64,
}

/// Takes commands apart.
#[derive(Debug, Default)]
pub(super) struct Commands(Decoder);

impl Commands {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Vec<String>> {
        self.0.push(bytes);
        let mut commands = Vec::new();
        while let Some(Arrived::Reply(Value::List(words))) = self.0.poll().unwrap() {
            commands.push(words.iter().map(|word| word.text().unwrap().to_owned()).collect());
        }
        commands
    }
}

fn text(output: &mut String, text: &str) {
    output.push_str(&format!("${}\r\n{text}\r\n", text.len()));
}

fn list(items: &[&str]) -> String {
    let mut output = format!("*{}\r\n", items.len());
    items.iter().for_each(|item| text(&mut output, item));
    output
}

/// What a client hears of a hint.
pub(super) fn push(hint: &str) -> String {
    format!(">{}", &list(&["message", CHANGES, hint])[1..])
}

impl Redis {
    pub(super) fn at(now: u64) -> Redis {
        Redis { now, ..Redis::default() }
    }

    /// Loses everything.
    pub(super) fn flush(&mut self) {
        *self = Redis::at(self.now);
    }

    pub(super) fn run(&mut self, words: &[String]) -> String {
        let now = self.now;
        self.hosts.retain(|_, host| host.until > now);
        match words[0].as_str() {
            "HELLO" => "%0\r\n".to_owned(),
            "SELECT" => "+OK\r\n".to_owned(),
            "SUBSCRIBE" => format!(">{}:1\r\n", &list(&["subscribe", CHANGES])[1..]).replacen(">2", ">3", 1),
            "EVALSHA" => {
                let count: usize = words[2].parse().unwrap();
                let (keys, arguments) = words[3..].split_at(count);
                let is = |script: Script| script.hash() == words[1];
                match () {
                    () if is(request::FIND) => self.find(keys),
                    () if is(request::ANNOUNCE) => self.announce(arguments),
                    () if is(request::LEAVE) => {
                        self.servers.remove(&arguments[0]);
                        list(&["left"])
                    }
                    () if is(request::TAKE) => self.take(keys, arguments),
                    () if is(request::HOLD) => self.hold(keys, arguments),
                    () => self.give_up(keys, arguments),
                }
            }
            other => panic!("{other}"),
        }
    }

    fn is_young(&self) -> bool {
        self.birth.as_ref().is_none_or(|(born, _)| self.now - born < 15_000)
    }

    fn birth(&self) -> Option<(String, String)> {
        let (born, word) = self.birth.as_ref()?;
        Some((format!("{born}-{word}"), (self.now - born).to_string()))
    }

    fn find(&self, keys: &[String]) -> String {
        match (self.hosts.get(&keys[0]), self.birth()) {
            (Some(host), _) => list(&host.fields.each_ref().map(String::as_str)),
            (None, Some((word, age))) => list(&[&word, &age]),
            (None, None) => list(&[]),
        }
    }

    fn announce(&mut self, arguments: &[String]) -> String {
        let now = self.now;
        self.birth.get_or_insert_with(|| (now, arguments[3].clone()));
        self.servers.retain(|_, (_, until)| *until > now);
        self.servers.insert(arguments[0].clone(), (arguments[1].clone(), now + 15_000));
        let (word, age) = self.birth().unwrap();
        let mut items = vec![word, age];
        self.servers.iter().for_each(|(id, (url, _))| items.extend([id.clone(), url.clone()]));
        list(&items.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn take(&mut self, keys: &[String], arguments: &[String]) -> String {
        let present = self.hosts.get(&keys[0]).map(|host| host.fields.clone());
        if present.as_ref().is_some_and(|fields| !arguments[9..].contains(&fields[2])) {
            return list(&["taken"]);
        }
        let (now, most) = (self.now, arguments[8].parse::<usize>().unwrap());
        let own = self.owners.entry(keys[2].clone()).or_default();
        own.retain(|_, until| *until > now);
        if most > 0 && !own.contains_key(&arguments[0]) && own.len() >= most {
            return list(&["full"]);
        }
        let known = present.map_or(0, |fields| fields[1].parse().unwrap());
        self.epoch = self.epoch.max(known).max(arguments[7].parse().unwrap()) + 1;
        let epoch = self.epoch.to_string();
        self.write(keys, arguments, &epoch, self.is_young());
        list(&["held", &epoch])
    }

    fn write(&mut self, keys: &[String], arguments: &[String], epoch: &str, is_young: bool) {
        let mut fields = <[String; 6]>::try_from(arguments[1..7].to_vec()).unwrap();
        (fields[0], fields[1]) = (arguments[2].clone(), epoch.to_owned());
        for at in 2..6 {
            fields[at].clone_from(&arguments[at + 1]);
        }
        self.hints.push(format!("{} {epoch} {}", arguments[0], arguments[2]));
        self.hosts.insert(keys[0].clone(), Host { fields, is_young, until: 0 });
        self.renew(keys, arguments);
    }

    fn renew(&mut self, keys: &[String], arguments: &[String]) {
        let until = self.now + 30_000;
        self.hosts.get_mut(&keys[0]).unwrap().until = until;
        self.owners.entry(keys[2].clone()).or_default().insert(arguments[0].clone(), until);
    }

    fn hold(&mut self, keys: &[String], arguments: &[String]) -> String {
        let epoch: u64 = arguments[7].parse().unwrap();
        let present = self.hosts.get(&keys[0]).cloned();
        let is_kept =
            present.as_ref().is_some_and(|host| host.fields[0] == arguments[2] && host.fields[1] == arguments[7]);
        if let Some(Host { fields, is_young, .. }) = present.filter(|_| !is_kept) {
            let other: u64 = fields[1].parse().unwrap();
            let goes_before = match fields[0] == arguments[2] || arguments[9..].contains(&fields[2]) {
                true => other > epoch || other == epoch && fields[0] > arguments[2],
                false => !is_young || other <= epoch,
            };
            if goes_before {
                return format!("*2\r\n$4\r\nlost\r\n{}", list(&fields.each_ref().map(String::as_str)));
            }
        }
        let is_young = self.is_young();
        if !is_kept {
            self.epoch = self.epoch.max(epoch);
            self.write(keys, arguments, &arguments[7], is_young);
        } else if arguments[8] == "1" {
            self.epoch = self.epoch.max(epoch);
            let was_young = self.hosts[&keys[0]].is_young;
            self.write(keys, arguments, &arguments[7], was_young && is_young);
        }
        let host = self.hosts.get_mut(&keys[0]).unwrap();
        host.is_young &= is_young;
        self.renew(keys, arguments);
        list(&["held", &arguments[7]])
    }

    fn give_up(&mut self, keys: &[String], arguments: &[String]) -> String {
        let is_ours = self.hosts.get(&keys[0]).is_some_and(|host| {
            host.fields[0] == arguments[1] && (arguments[2] == "0" || host.fields[1] == arguments[2])
        });
        if is_ours && let Some(host) = self.hosts.remove(&keys[0]) {
            self.owners.entry(keys[1].clone()).or_default().remove(&arguments[0]);
            self.hints.push(format!("{} {} {}", arguments[0], host.fields[1], arguments[1]));
        }
        list(&["gone"])
    }
}
