//! The hops of `docs/vectors.json`.

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::*;

#[test]
fn connections_between_machines_are_named_as_in_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors.json")).unwrap();
    for vector in vectors["hops"].as_array().unwrap() {
        let [near, far] = [0, 1].map(|end| vector["ends"][end].as_str().unwrap().parse().unwrap());
        let protocol = if vector["protocol"] == "udp" { Protocol::Udp } else { Protocol::Tcp };
        for (local, remote) in [(near, far), (far, near)] {
            let hop = between(protocol, &Ends::Ports { local, remote }).unwrap();
            assert_eq!(HEXLOWER.encode(&hop.0), vector["hop"].as_str().unwrap());
        }
    }
}
