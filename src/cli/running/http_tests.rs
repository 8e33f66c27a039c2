use std::os::unix::net::UnixListener;

use super::super::fake_tests::{Folder, json};
use super::*;

fn get(target: &str) -> Ask<'_> {
    Ask { method: "GET", target, body: None }
}

fn refused(answer: Vec<u8>) -> String {
    let folder = Folder::new();
    folder.answering("a", move |_| answer.clone());
    ask(&folder.socket("a"), get("/")).unwrap_err().to_string()
}

#[test]
fn a_request_is_sent_and_its_answer_read_whole() {
    let folder = Folder::new();
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    let requests = folder.saying("a", 201, &long);
    let body = Some(r#"{"label":"ä"}"#);
    let answer = ask(&folder.socket("a"), Ask { method: "POST", target: "/v1/invitations", body }).unwrap();
    assert_eq!((answer.status, answer.body.len()), (201, long.len()));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST /v1/invitations HTTP/1.1\r\nHost: localhost\r\n"), "{request}");
    assert!(request.ends_with("\r\nContent-Length: 14\r\n\r\n{\"label\":\"ä\"}"), "{request}");
    // One without a length ends with its connection.
    let folder = Folder::new();
    folder.answering("a", |_| b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec());
    assert_eq!(ask(&folder.socket("a"), get("/")).unwrap().body, b"hello");
    folder.answering("b", |_| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec());
    assert_eq!(ask(&folder.socket("b"), get("/")).unwrap().status, 204);
}

#[test]
fn what_is_no_answer_of_pinhole_is_said() {
    let rows: [(Vec<u8>, &str); 8] = [
        (b"".to_vec(), "it ended the connection"),
        (b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), "it does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n".to_vec(), "it does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_vec(), "its answer ends too early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec(), "its answer is too large"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), "it answers in pieces"),
        ([b"HTTP/1.1 200 OK\r\nA: ".to_vec(), vec![b'a'; 64 << 10]].concat(), "the head of its answer is too large"),
        ([b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'a'; MAX_BODY + 1]].concat(), "its answer is too large"),
    ];
    for (answer, expected) in rows {
        let said = refused(answer);
        assert!(said.ends_with(expected), "{said}: {expected}");
    }
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    let folder = Folder::new();
    folder.leave("left");
    assert!(matches!(ask(&folder.socket("left"), get("/")), Err(AskError::Left)));
    assert!(matches!(ask(&folder.socket("never"), get("/")), Err(AskError::Left)));
    let _silent = UnixListener::bind(folder.socket("silent")).unwrap();
    let begin = Instant::now();
    assert!(matches!(ask(&folder.socket("silent"), get("/")), Err(AskError::Silent)));
    assert!(begin.elapsed() >= PATIENCE);
}

#[test]
fn lines_come_as_they_are_said_and_empty_ones_do_not() {
    let folder = Folder::new();
    folder.answering("a", |_| b"HTTP/1.1 200 OK\r\n\r\n{\"a\":1}\n\n\r\n{\"b\":2}\r\n{\"c\"".to_vec());
    let mut lines = follow(&folder.socket("a"), "/v1/events").unwrap();
    assert_eq!(lines.next_line().unwrap().as_deref(), Some(&br#"{"a":1}"#[..]));
    assert_eq!(lines.next_line().unwrap().as_deref(), Some(&br#"{"b":2}"#[..]));
    // The half of a line is none.
    assert_eq!(lines.next_line().unwrap(), None);
    folder.answering("b", |_| [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'a'; MAX_BODY + 2]].concat());
    let error = follow(&folder.socket("b"), "/v1/events").unwrap().next_line().unwrap_err();
    assert!(error.to_string().ends_with("a line of it is too long"), "{error}");
    folder.answering("c", |_| json(404, "{}"));
    assert!(matches!(follow(&folder.socket("c"), "/v1/events"), Err(AskError::Foreign(_))));
}
