//! What a file of saved hosts may say, and how it is changed.

use super::*;

/// The hosts of a text, or what is wrong with it.
fn saved(text: &str) -> Result<SavedHosts, String> {
    let path = Path::new("/c/hosts.toml");
    let found = hosts(text, path).map_err(|(at, fault)| FileError::at("F", text, at, fault).to_string())?;
    Ok(SavedHosts { path: path.into(), name: "F".into(), text: text.into(), hosts: found, is_shared: false })
}

const TWO: &str = "\
# mine
[host.nas]
url = \"wss://nas.test/ws?pin=1\"
locals = [8080]

# the office
[host.office]
url = \"wss://office.test\"
pin-file = \"office.pin\"
";

#[test]
fn hosts_are_found_by_their_names() {
    let saved = saved(TWO).unwrap();
    assert_eq!(saved.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["nas", "office"]);
    let office = saved.find("office").unwrap();
    let said: Vec<String> = office.settings.iter().map(|setting| format!("{:?}", setting.options())).collect();
    assert_eq!(said, [r#"["--url=wss://office.test"]"#, r#"["--pin-file=/c/office.pin"]"#]);
    assert!(saved.find("other").is_none());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let rows = [
        ("[host.nas", "F:1:10: "),
        ("[host.nas]\n", "F:1:7: [host.nas] needs url; add it"),
        (
            "[host.nas]\nurl = 1.5\n",
            "F:2:7: url takes a text or a whole number in decimal, and this is a number with a",
        ),
        ("[host.nas]\nurl = \"a\"\nport = 1\n", "F:3:1: there is no port in [client]; its keys are the long options"),
        ("[host.nas]\nurl = \"a\"\nsave = \"b\"\n", "F:3:1: there is no save in [client]"),
        ("[host.nas]\nurl = \"a\"\nurl = \"b\"\n", "F:3:1: url is there twice; leave one of them out"),
        ("[host.\"a.b\"]\nurl = \"a\"\n", "F:1:7: a.b is no name of a saved host: those are 1 to 64 of a to z"),
        ("[host.\"\\u001b[31m\"]\nurl = \"a\"\n", "F:1:7: \\u{1b}[31m is no name of a saved host"),
        (
            "[client]\nurl = \"a\"\n",
            "F:1:2: client belongs below a [host.NAME], and the file of saved hosts has nothing",
        ),
        ("[host]\nurl = \"a\"\n", "F:2:1: url belongs below a [host.NAME]"),
        ("host = 1\n", "F:1:1: host belongs below a [host.NAME]"),
    ];
    for (text, expected) in rows {
        let error = saved(text).err().unwrap_or_else(|| panic!("{text}"));
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn one_is_added_replaced_and_removed_and_the_rest_stays_as_it_was() {
    let table = "[host.new]\nurl = \"wss://new.test\"\n";
    assert_eq!(saved("").unwrap().with("new", table).as_deref(), Ok(table));
    let both = saved(TWO).unwrap().with("new", table).unwrap();
    assert_eq!(both, format!("{TWO}\n{table}"));
    let replaced = saved(&both).unwrap().with("nas", "[host.nas]\nurl = \"wss://other.test\"\n").unwrap();
    assert!(!replaced.contains("8080") && replaced.contains("# mine\n# the office\n[host.office]\n"), "{replaced}");
    assert_eq!(saved(&replaced).unwrap().iter().count(), 3);
    assert_eq!(saved(TWO).unwrap().without("nas").unwrap(), format!("# mine\n{}", &TWO[TWO.find("# the").unwrap()..]));
    let without = saved(TWO).unwrap().without("office").unwrap();
    assert_eq!(saved(&without).unwrap().iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["nas"]);
}

#[test]
fn what_only_a_person_can_change_is_left_alone() {
    let dotted = "host.nas.url = \"wss://nas.test\"\nhost.office.url = \"wss://office.test\"\nhost.nas.once = true\n";
    let inline = "host = { nas = { url = \"wss://nas.test\" }, office = { url = \"wss://office.test\" } }\n";
    for text in [dotted, inline] {
        let saved = saved(text).unwrap();
        assert_eq!(saved.iter().count(), 2, "{text}");
        let refused = saved.without("nas").unwrap_err();
        assert_eq!(refused, "F is written in a way that only you can change: do that by hand");
    }
}
