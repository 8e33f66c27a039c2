//! A WebSocket through the tunnel: an upgrade, then messages both ways without limit.

use tungstenite::Message;

use crate::common::connect;
use crate::common::pinhole::Pair;
use crate::common::services::one_shot;

const MESSAGES: usize = 1000;

#[test]
fn a_thousand_messages_come_back_in_order() {
    let (target, server) = one_shot(|stream| {
        let mut websocket = tungstenite::accept(stream).unwrap();
        let mut count = 0;
        while let Ok(message @ (Message::Text(_) | Message::Binary(_))) = websocket.read() {
            websocket.send(message).unwrap();
            count += 1;
        }
        count
    });
    let pair = Pair::of(target);
    let url = format!("ws://{}/chat", pair.local);
    let (mut websocket, _) = tungstenite::client(url, connect(pair.local)).unwrap();
    let message = |index: usize| match index % 2 {
        0 => Message::text(format!("message {index} ").repeat(index % 50 + 1)),
        _ => Message::binary(vec![index as u8; index * 37 % 20_000]),
    };
    // Some are under way at any time.
    for index in 0..MESSAGES + 10 {
        if index < MESSAGES {
            websocket.send(message(index)).unwrap();
        }
        if index >= 10 {
            assert_eq!(websocket.read().unwrap(), message(index - 10));
        }
    }
    websocket.close(None).unwrap();
    while websocket.read().is_ok() {}
    assert_eq!(server.result(), MESSAGES);
    pair.stop();
}
