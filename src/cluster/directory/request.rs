//! What the directory is asked, as commands of Redis, and what its answers mean.

use std::time::Duration;

use aws_lc_rs::digest;

use super::record::{Record, tag_text};
use super::resp::{self, Value};
use crate::cluster::ServerId;
use crate::cluster::names::Claim;
use crate::signaling::rendezvous::HostId;

/// Where hints about changes are published.
pub(super) const CHANGES: &str = "pinhole:changes";

/// The highest epoch so far.
const EPOCHS: &str = "pinhole:epoch";

/// When the directory was empty, and a random word: another one tells that it has lost everything.
const BIRTH: &str = "pinhole:directory";

/// The servers, by the end of their time.
const SERVERS: &str = "pinhole:servers";

/// How long a server counts without a sign of it.
const SERVER_TTL: &str = "15000";

/// How long a host counts without a sign of its server.
const HOST_TTL: &str = "30000";

/// A script. All of them compare before they set, so what one server does never undoes what another has done since.
#[derive(Debug)]
pub(super) struct Script(&'static str);

pub(super) const FIND: Script = Script(include_str!("scripts/find.lua"));
pub(super) const ANNOUNCE: Script = Script(include_str!("scripts/announce.lua"));
pub(super) const LEAVE: Script = Script(include_str!("scripts/leave.lua"));
pub(super) const TAKE: Script = Script(include_str!("scripts/take.lua"));
pub(super) const HOLD: Script = Script(include_str!("scripts/hold.lua"));
pub(super) const GIVE_UP: Script = Script(include_str!("scripts/give_up.lua"));

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) id: ServerId,
    /// Where other servers come to.
    pub(super) url: String,
    /// A word for a directory that is empty.
    pub(super) word: String,
}

/// Something that the directory is asked for.
#[derive(Debug, Clone)]
pub(super) enum Request {
    /// Where a host is.
    Find(HostId),
    /// Which servers there are; this one is there.
    Announce,
    /// This server is not there any more.
    Leave,
    /// A name, for a host that registers. The number tells it from earlier ones for that name.
    Take { id: HostId, number: u64, claim: Box<Claim>, most: usize, highest: u64 },
    /// That a name stays ours, under this epoch.
    Hold { id: HostId, claim: Box<Claim>, epoch: u64, is_changed: bool },
    /// That a name is not ours any more; without an epoch, whatever ours was.
    GiveUp { id: HostId, claim: Box<Claim>, epoch: Option<u64> },
}

/// How old a directory is, and which one: one that was emptied is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Birth {
    pub(super) word: String,
    pub(super) age: Duration,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Found(Record),
    /// Nobody has the name. Without a birth the directory is empty.
    Absent(Option<Birth>),
    Servers(Birth, Vec<(ServerId, String)>),
    /// The name is ours, under this epoch.
    Held(u64),
    /// It is another owner's.
    Taken,
    /// The owner has all the hosts it may have.
    Full,
    /// Another claim goes before ours.
    Lost(Record),
    Done,
}

impl Script {
    /// Returns the name of the script once it is known there.
    pub(super) fn hash(&self) -> String {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.0.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Request {
    /// Appends the command: the script's hash, or `in_full` its text where the hash is not known.
    pub(super) fn encode(&self, output: &mut Vec<u8>, own: &Own, in_full: bool) {
        let host = |id: &HostId| format!("pinhole:host:{id}");
        let hosts_of =
            |claim: &Claim| format!("pinhole:owner:{}", claim.owners.first().map(tag_text).unwrap_or_default());
        let server = format!("pinhole:server:{}", own.id.hex());
        let (script, keys, arguments): (Script, Vec<String>, Vec<String>) = match self {
            Request::Find(id) => (FIND, vec![host(id), BIRTH.into()], Vec::new()),
            Request::Announce => {
                let arguments = vec![own.id.hex(), own.url.clone(), SERVER_TTL.into(), own.word.clone()];
                (ANNOUNCE, vec![server, SERVERS.into(), BIRTH.into()], arguments)
            }
            Request::Leave => (LEAVE, vec![server, SERVERS.into()], vec![own.id.hex()]),
            Request::Take { id, claim, most, highest, .. } => {
                let keys = vec![host(id), EPOCHS.into(), hosts_of(claim), CHANGES.into(), BIRTH.into()];
                (TAKE, keys, fields(id, own, claim, *highest, *most))
            }
            Request::Hold { id, claim, epoch, is_changed } => {
                let keys = vec![host(id), EPOCHS.into(), hosts_of(claim), CHANGES.into(), BIRTH.into()];
                (HOLD, keys, fields(id, own, claim, *epoch, usize::from(*is_changed)))
            }
            Request::GiveUp { id, claim, epoch } => {
                let arguments = vec![id.to_string(), own.id.hex(), epoch.unwrap_or_default().to_string()];
                (GIVE_UP, vec![host(id), hosts_of(claim), CHANGES.into()], arguments)
            }
        };
        let (verb, name) = if in_full { ("EVAL", script.0.to_owned()) } else { ("EVALSHA", script.hash()) };
        let count = keys.len().to_string();
        let words = [verb.to_owned(), name, count].into_iter().chain(keys).chain(arguments);
        let words: Vec<String> = words.collect();
        resp::encode(output, &words.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    /// Reads the answer; `None` if it is none to this.
    pub(super) fn read(&self, value: &Value) -> Option<Answer> {
        let list = value.list();
        match self {
            Request::Find(_) => match list? {
                [] => Some(Answer::Absent(None)),
                [word, age] => Some(Answer::Absent(Some(birth(word, age)?))),
                // What no server has written counts as nothing, so that it cannot take the directory away.
                fields => Some(Record::parse(fields).map_or(Answer::Absent(None), Answer::Found)),
            },
            Request::Announce => {
                let [word, age, servers @ ..] = list? else { return None };
                let servers = servers.chunks_exact(2).filter_map(|pair| {
                    let [id, url] = pair else { return None };
                    Some((ServerId::parse(id.text()?)?, url.text()?.to_owned()))
                });
                Some(Answer::Servers(birth(word, age)?, servers.collect()))
            }
            Request::Leave | Request::GiveUp { .. } => Some(Answer::Done),
            Request::Take { .. } | Request::Hold { .. } => match list? {
                [word] if word.text() == Some("taken") => Some(Answer::Taken),
                [word] if word.text() == Some("full") => Some(Answer::Full),
                [word, epoch] if word.text() == Some("held") => Some(Answer::Held(epoch.number()?)),
                [word, fields] if word.text() == Some("lost") => {
                    Some(Record::parse(fields.list()?).map_or(Answer::Taken, Answer::Lost))
                }
                _ => None,
            },
        }
    }
}

/// The arguments that taking and holding have in common.
fn fields(id: &HostId, own: &Own, claim: &Claim, epoch: u64, number: usize) -> Vec<String> {
    let tag = |tags: &[_]| tags.first().map(tag_text).unwrap_or_default();
    let public = claim.public.as_ref().map(|public| serde_json::to_string(public).expect("plain values serialize"));
    let mut all = vec![
        id.to_string(),
        HOST_TTL.to_owned(),
        own.id.hex(),
        tag(&claim.owners),
        tag(&claim.instances),
        public.unwrap_or_default(),
        u8::from(claim.dials).to_string(),
        epoch.to_string(),
        number.to_string(),
    ];
    all.extend(claim.owners.iter().map(tag_text));
    all
}

fn birth(word: &Value, age: &Value) -> Option<Birth> {
    // A clock that was set back makes it younger than nothing.
    let age = Duration::from_millis(age.number().unwrap_or_default());
    Some(Birth { word: word.text()?.to_owned(), age })
}
