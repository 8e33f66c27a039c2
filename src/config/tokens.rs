//! stub
use crate::signaling::rendezvous::{HostId, Token};
#[derive(Debug)]
pub struct Tokens {
    entries: Vec<Grant>,
}
#[derive(Debug, thiserror::Error)]
#[error("tokens")]
pub struct TokensError;
#[derive(Debug)]
pub struct Grant {
    pub hash: [u8; 32],
    pub dial: bool,
    pub max_hosts: Option<usize>,
    pub max_clients: Option<usize>,
}
impl Tokens {
    pub fn read(_p: &std::path::Path) -> Result<Tokens, TokensError> {
        Ok(Tokens { entries: vec![] })
    }
    pub fn find(&self, t: &Token) -> Option<&Grant> {
        self.find_hash(&t.hash())
    }
    pub fn find_hash(&self, h: &[u8; 32]) -> Option<&Grant> {
        self.entries.iter().find(|g| g.hash == *h)
    }
}
impl Grant {
    pub fn owns(&self, _id: &HostId) -> bool {
        true
    }
}
