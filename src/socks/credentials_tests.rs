//! The login of `docs/vectors.json`.

use data_encoding::BASE64;
use serde_json::Value;

use super::*;

#[test]
fn a_login_is_hashed_as_in_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../../docs/vectors.json")).unwrap();
    let [user, password, auth] = ["user", "password", "auth"].map(|field| vectors["login"][field].as_str().unwrap());
    let credentials = Credentials::parse(&format!("{user}:{password}")).unwrap();
    assert_eq!(BASE64.encode(credentials.hash()), auth);
}
