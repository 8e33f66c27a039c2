//! RE-CONFIG: requests to reset streams and their answers (RFC 6525, section 4).

use super::parameter::{self, parameters};
use super::{take_u16, take_u32};

const OUTGOING_RESET: u16 = 13;
const INCOMING_RESET: u16 = 14;
const WHOLE_RESET: u16 = 15;
const RESPONSE: u16 = 16;
const ADD_OUTGOING: u16 = 17;
const ADD_INCOMING: u16 = 18;

/// The answer to a request (RFC 6525, section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    NothingToDo,
    Performed,
    Denied,
    WrongSsn,
    AlreadyInProgress,
    BadSequenceNumber,
    InProgress,
    /// An undefined number.
    Unknown,
}

/// One parameter of a RE-CONFIG chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reconfiguration {
    /// The sender resets its outgoing streams; none named means all (section 4.1).
    OutgoingReset { request: u32, response: u32, last_tsn: u32, streams: Vec<u16> },
    /// A request of a kind that is not granted (sections 4.2, 4.3, 4.5 and 4.6).
    Other { request: u32 },
    /// The answer to a request (section 4.4).
    Response { response: u32, answer: Answer },
}

impl Reconfiguration {
    /// Parses the value of a chunk: one or two parameters, without those of an unknown kind.
    pub(crate) fn parse(value: &[u8]) -> Vec<Reconfiguration> {
        parameters(value).take(2).filter_map(|p| Reconfiguration::parse_one(p.kind, p.value)).collect()
    }

    fn parse_one(kind: u16, value: &[u8]) -> Option<Reconfiguration> {
        let (number, rest) = take_u32(value)?;
        match kind {
            OUTGOING_RESET => {
                let (response, rest) = take_u32(rest)?;
                let (last_tsn, rest) = take_u32(rest)?;
                let streams = rest.chunks_exact(2).filter_map(|id| Some(take_u16(id)?.0)).collect();
                Some(Reconfiguration::OutgoingReset { request: number, response, last_tsn, streams })
            }
            INCOMING_RESET | WHOLE_RESET | ADD_OUTGOING | ADD_INCOMING => {
                Some(Reconfiguration::Other { request: number })
            }
            RESPONSE => {
                let (answer, _) = take_u32(rest)?;
                Some(Reconfiguration::Response { response: number, answer: Answer::from_number(answer) })
            }
            _ => None,
        }
    }

    /// Appends the parameter to the value of a chunk.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        let mut value = Vec::new();
        let kind = match self {
            Reconfiguration::OutgoingReset { request, response, last_tsn, streams } => {
                [request, response, last_tsn].iter().for_each(|n| value.extend_from_slice(&n.to_be_bytes()));
                streams.iter().for_each(|id| value.extend_from_slice(&id.to_be_bytes()));
                OUTGOING_RESET
            }
            Reconfiguration::Other { request } => {
                value.extend_from_slice(&request.to_be_bytes());
                INCOMING_RESET
            }
            Reconfiguration::Response { response, answer } => {
                value.extend_from_slice(&response.to_be_bytes());
                value.extend_from_slice(&answer.number().to_be_bytes());
                RESPONSE
            }
        };
        parameter::put(bytes, kind, &value);
    }
}

impl Answer {
    fn from_number(number: u32) -> Answer {
        match number {
            0 => Answer::NothingToDo,
            1 => Answer::Performed,
            2 => Answer::Denied,
            3 => Answer::WrongSsn,
            4 => Answer::AlreadyInProgress,
            5 => Answer::BadSequenceNumber,
            6 => Answer::InProgress,
            _ => Answer::Unknown,
        }
    }

    fn number(self) -> u32 {
        match self {
            Answer::NothingToDo => 0,
            Answer::Performed => 1,
            Answer::Denied => 2,
            Answer::WrongSsn => 3,
            Answer::AlreadyInProgress => 4,
            Answer::BadSequenceNumber => 5,
            Answer::InProgress => 6,
            Answer::Unknown => u32::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_an_answer_survive_the_wire() {
        let sent = [
            Reconfiguration::OutgoingReset { request: 1, response: 2, last_tsn: 3, streams: vec![4, 5, 6] },
            Reconfiguration::Response { response: 7, answer: Answer::InProgress },
        ];
        let mut value = Vec::new();
        sent.iter().for_each(|one| one.put(&mut value));
        assert_eq!(Reconfiguration::parse(&value), sent);
        assert_eq!(Reconfiguration::parse(&value[..8]), []);
    }
}
