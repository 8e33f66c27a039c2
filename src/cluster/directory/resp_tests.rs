use proptest::prelude::*;

use super::*;

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().to_vec())
}

/// Everything that a piece of input says, and how it ends.
fn decoded(input: &[u8], piece: usize) -> (Vec<Arrived>, Option<RespError>) {
    let (mut decoder, mut arrived) = (Decoder::default(), Vec::new());
    for part in input.chunks(piece.max(1)) {
        decoder.push(part);
        loop {
            match decoder.poll() {
                Ok(Some(message)) => arrived.push(message),
                Ok(None) => break,
                Err(error) => return (arrived, Some(error)),
            }
        }
        let waiting = decoder.input.len() - decoder.read;
        assert!(waiting <= MAX_TEXT + MAX_LINE + piece, "{waiting} bytes wait");
    }
    (arrived, None)
}

#[test]
fn each_kind_is_read_in_pieces_of_any_size() {
    let input = b"+OK\r\n-ERR no\r\n:-7\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n_\r\n#t\r\n#f\r\n,1.5\r\n(12\r\n!3\r\nbad\r\n=5\r\ntxt:x\r\n\
        *2\r\n:1\r\n*1\r\n+in\r\n*0\r\n%1\r\n+k\r\n+v\r\n~1\r\n:2\r\n>2\r\n+message\r\n$1\r\nx\r\n";
    let expected = [
        text("OK"),
        Value::Error("ERR no".to_owned()),
        Value::Number(-7),
        text("a\r\nbc"),
        text(""),
        Value::Null,
        Value::Null,
        Value::Number(1),
        Value::Number(0),
        text("1.5"),
        text("12"),
        Value::Error("bad".to_owned()),
        text("txt:x"),
        Value::List(vec![Value::Number(1), Value::List(vec![text("in")])]),
        Value::List(Vec::new()),
        Value::List(vec![text("k"), text("v")]),
        Value::List(vec![Value::Number(2)]),
    ];
    let mut expected: Vec<Arrived> = expected.into_iter().map(Arrived::Reply).collect();
    expected.push(Arrived::Push(vec![text("message"), text("x")]));
    for piece in [1, 2, 3, 7, 1000] {
        assert_eq!(decoded(input, piece), (expected.clone(), None), "{piece}");
    }
}

#[test]
fn what_is_no_answer_of_redis_is_refused_at_once() {
    let deep = "*1\r\n".repeat(100_000);
    let flood = format!("*1048576\r\n{}", "$1000\r\n".to_owned() + &"x".repeat(1000) + "\r\n").repeat(1);
    let many = format!("*1048576\r\n{}", "_\r\n".repeat(1_000_000));
    let cases: [(&str, RespError); 14] = [
        ("HTTP/1.1 400 Bad Request\r\n", RespError::Syntax),
        ("\r\n", RespError::Syntax),
        ("+OK\n", RespError::Syntax),
        (":x\r\n", RespError::Syntax),
        (":99999999999999999999\r\n", RespError::Syntax),
        ("$-2\r\n", RespError::Syntax),
        ("$?\r\n", RespError::Syntax),
        ("|1\r\n+a\r\n+b\r\n", RespError::Syntax),
        ("$3\r\nabcde", RespError::Syntax),
        ("$65537\r\n", RespError::TooLong),
        ("*9223372036854775807\r\n", RespError::TooLong),
        ("%1048577\r\n", RespError::TooLong),
        (&deep, RespError::TooLong),
        (&many, RespError::TooLong),
    ];
    for (input, expected) in cases {
        assert_eq!(decoded(input.as_bytes(), 1000), (Vec::new(), Some(expected)), "{:.40}", input);
    }
    assert_eq!(decoded("+".repeat(MAX_LINE + 1).as_bytes(), 1000).1, Some(RespError::TooLong));
    assert_eq!(decoded(flood.as_bytes(), 1000), (Vec::new(), None), "the rest may come");
}

#[test]
fn commands_are_lists_of_texts() {
    let mut output = Vec::new();
    encode(&mut output, &[b"GET", b"a\r\n", b""]);
    assert_eq!(output, b"*3\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n$0\r\n\r\n");
}

/// What messages are made of, whole or not.
const PIECES: &[&[u8]] = &[
    b"*2\r\n", b">1\r\n", b"$3\r\n", b"abc\r\n", b":1\r\n", b"_\r\n", b"%1\r\n", b"*0\r\n", b"-E\r\n", b"\r", b"\n",
    b"*", b"\xff",
];

proptest! {
    #[test]
    fn any_bytes_are_bounded_and_mean_the_same_in_any_pieces(
        input in proptest::collection::vec(proptest::sample::select(PIECES), 0..40),
        piece in 1_usize..9,
    ) {
        let input = input.concat();
        prop_assert_eq!(decoded(&input, piece), decoded(&input, 10_000));
    }

    #[test]
    fn a_command_can_be_read_back(words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..6)) {
        let mut output = Vec::new();
        encode(&mut output, &words.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let values = words.into_iter().map(Value::Text).collect();
        prop_assert_eq!(decoded(&output, 3), (vec![Arrived::Reply(Value::List(values))], None));
    }
}
