//! What the directory has of a host: the fields of `pinhole:host:<name>`.

use super::resp::Value;
use crate::cluster::ServerId;
use crate::cluster::names::Entry;
use crate::cluster::secrets::Tag;
use crate::signaling::binary::Binary;

/// Highest epoch in the directory: scripts count in doubles.
pub(super) const MAX_EPOCH: u64 = 1 << 52;

/// A host in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub server: ServerId,
    /// The claim.
    pub entry: Entry,
}

impl Record {
    /// Reads the values of server, epoch, owner, instance, public and dials; `None` if no server would have written
    /// them.
    pub(super) fn parse(values: &[Value]) -> Option<Record> {
        let [server, epoch, owner, instance, public, dials] = values else { return None };
        let public = match public.text()? {
            "" => None,
            text => Some(serde_json::from_str(text).ok()?),
        };
        let entry = Entry {
            epoch: epoch.number().filter(|epoch| *epoch <= MAX_EPOCH)?,
            owner: tag(owner.text()?)?,
            instance: tag(instance.text()?)?,
            public,
            dials: dials.text()? == "1",
        };
        Some(Record { server: ServerId::parse(server.text()?)?, entry })
    }

    /// Tells whether this claim goes before another one.
    pub(super) fn beats(&self, epoch: u64, server: ServerId) -> bool {
        (self.entry.epoch, self.server) > (epoch, server)
    }
}

/// Returns a tag as text.
pub(super) fn tag_text(tag: &Tag) -> String {
    tag.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tag(text: &str) -> Option<Tag> {
    crate::cluster::unhex(text).map(Binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(texts: [&str; 6]) -> Vec<Value> {
        texts.map(|text| Value::Text(text.as_bytes().to_vec())).to_vec()
    }

    #[test]
    fn what_no_server_writes_is_no_record() {
        let (server, tag) = ("ab".repeat(16), "01".repeat(32));
        let right = [server.as_str(), "7", &tag, &tag, r#"{"service":3}"#, "1"];
        let record = Record::parse(&values(right)).unwrap();
        assert_eq!((record.entry.epoch, record.entry.dials), (7, true));
        assert_eq!(record.entry.public.unwrap().service, 3);
        assert!(Record::parse(&values(["", "", "", "", "", ""])).is_none());
        let wrong = [(0, "ab"), (1, "-1"), (1, "9999999999999999"), (2, "xx"), (3, "01"), (4, "{"), (4, "[]")];
        for (at, text) in wrong {
            let mut fields = right;
            fields[at] = text;
            assert!(Record::parse(&values(fields)).is_none(), "{at} {text}");
        }
        assert!(Record::parse(&values(right)[..5]).is_none());
    }
}
