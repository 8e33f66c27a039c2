use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;

fn token(text: &str) -> Token {
    text.parse().unwrap()
}

fn id(text: &str) -> HostId {
    text.parse().unwrap()
}

fn hash(text: &str) -> String {
    HEXLOWER.encode(&token(text).hash())
}

/// An entry with a token's hash, and further lines.
fn entry(name: &str, lines: &str) -> String {
    format!("[[token]]\nhash = \"{}\"\n{lines}\n", hash(name))
}

fn error(text: &str) -> String {
    Tokens::parse(text).unwrap_err().to_string()
}

#[test]
fn a_token_is_found_by_its_hash() {
    let everything = "ids = ['team-*', 'blog'] # comment\ndial = true\nmax-hosts = 10\nmax-clients = 100";
    let text =
        entry("one", "ids = [\"one\"]") + &entry("two", everything).replace(&hash("two"), &hash("two").to_uppercase());
    let tokens = Tokens::parse(&text).unwrap();
    let one = tokens.find(&token("one")).unwrap();
    assert_eq!((one.hash, one.dial, one.max_hosts, one.max_clients), (token("one").hash(), false, None, None));
    let two = tokens.find(&token("two")).unwrap();
    assert_eq!((two.dial, two.max_hosts, two.max_clients), (true, Some(10), Some(100)));
    assert!(one.owns(&id("one")) && !one.owns(&id("team-1")));
    assert!(two.owns(&id("blog")) && two.owns(&id("team-1")) && !two.owns(&id("team")) && !two.owns(&id("blogs")));
    assert!(tokens.find(&token("three")).is_none());
    assert_eq!(tokens.find_hash(&two.hash), Some(two));
    assert_eq!(tokens.grants(), [one.clone(), two.clone()]);
}

#[test]
fn the_hash_is_what_sha256sum_prints() {
    // printf %s secret | sha256sum
    let known = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    assert_eq!(hash("secret"), known);
}

#[test]
fn what_is_wrong_is_said_with_the_entry() {
    let right = |name| entry(name, "ids = [\"abc\"]");
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let cases = [
        (String::new(), "there is no token; write [[token]], and below it hash = "),
        ("# nothing".into(), "there is no token; "),
        ("x".into(), "line 1: "),
        (right("a") + "idz = []", "line 4: unknown field `idz`, expected one of `hash`, `ids`, `dial`, "),
        (format!("version = 1\n{}", right("a")), "line 1: unknown field `version`, expected `token`; an entry is"),
        ("[token]\nhash = \"\"".into(), "line 1: invalid type: map, expected a sequence; an entry is [[token]], and"),
        ("\n[[token]]\nids = []".into(), "line 2: missing field `hash`; an entry is"),
        ("[[token]]\nhash = 1\nids = []".into(), "line 2: invalid type: integer `1`, expected a string; "),
        (entry("a", "ids = [\"abc\"]\nmax-hosts = -1"), "line 4: "),
        (entry("a", "ids = [\"abc\"]\ndial = \"no\""), "line 4: invalid type: string \"no\", expected a boolean; "),
        (entry("a", "ids = [\"abc\"]\nids = [\"abc\"]"), "line 4: duplicate key"),
        ("[[token]]\nhash = \"secret\"\nids = []".into(), "token 1: its hash is not 64 hexadecimal digits; write what"),
        (right("a").replace("hash = \"", "hash = \"0"), "token 1: its hash is not 64 hexadecimal digits; "),
        (right("a").replace(&hash("a"), nothing), "token 1: its hash is that of nothing; set TOKEN first: "),
        (right("a") + &right("b") + &right("a"), "token 3: its hash is that of token 1, too; write all of its ids"),
        (right("a") + &entry("b", "ids = []"), "token 2: it has no ids; write those that it may register, for"),
        (
            entry("a", "ids = [\"abc\", \"Abc\"]"),
            "token 1: \"Abc\" matches no id: ids have a to z, 0 to 9 and hyphen; ",
        ),
        (entry("a", "ids = [\"ab\"]"), "token 1: \"ab\" matches no id: ids have 3 to 63 characters; write one such as"),
        (entry("a", "ids = [\"abc\"]\nmax-hosts = 0"), "token 1: max-hosts = 0 lets nobody in; write at least 1, or"),
        (entry("a", "ids = [\"abc\"]\nmax-clients = 0"), "token 1: max-clients = 0 lets nobody in; "),
    ];
    for (text, expected) in cases {
        let error = error(&text);
        assert!(error.starts_with(expected), "{text}\n{error}");
        assert!(!error.contains('\n') && !error.contains("secret"), "{error}");
    }
}

#[test]
fn patterns_match_some_id() {
    let long = "x".repeat(63);
    for text in ["abc", "*", "**", "a*", "*a", "a*b", "a-*", "*-a", "*-*", "a*-*b", &long, &format!("*{long}*")] {
        assert!(text.parse::<Pattern>().is_ok(), "{text}");
    }
    let cases = [
        ("", PatternError::Length),
        ("ab", PatternError::Length),
        (&format!("{long}x"), PatternError::Length),
        (&format!("*{long}x"), PatternError::Length),
        (&format!("*-{}", &long[1..]), PatternError::Length),
        (&format!("*-{}-*", &long[3..]), PatternError::Length),
        ("-*", PatternError::Hyphen),
        ("*-", PatternError::Hyphen),
        ("-ab", PatternError::Hyphen),
        ("a.b*", PatternError::Character),
        ("Abc", PatternError::Character),
        ("a?c", PatternError::Character),
        (" abc", PatternError::Character),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<Pattern>(), Err(expected), "{text}");
    }
}

#[test]
fn files_are_bounded_and_named() {
    let path = std::env::temp_dir().join(format!("pinhole-tokens-{:016x}", rand::random::<u64>()));
    let name = path.display().to_string();
    let read = |contents: &[u8]| {
        std::fs::write(&path, contents).unwrap();
        let tokens = Tokens::read(&path).map(|tokens| tokens.grants().len());
        std::fs::remove_file(&path).unwrap();
        tokens.map_err(|error| error.to_string().replace(&name, "F"))
    };
    assert_eq!(read(entry("a", "ids = [\"abc\"]").as_bytes()), Ok(1));
    let wrong = read(b"[[token]]").unwrap_err();
    assert!(wrong.starts_with("F: line 1: missing field `hash`"), "{wrong}");
    let large = "é".repeat(MAX_FILE as usize);
    assert_eq!(read(large.as_bytes()).unwrap_err(), "the file of tokens F is larger than 4194304 bytes");
    assert_eq!(read(&[0xff]).unwrap_err(), "the file of tokens F is not UTF-8");
    let missing = Tokens::read(&path).unwrap_err().to_string();
    assert!(missing.starts_with(&format!("cannot read the file of tokens {name}: ")), "{missing}");
}

/// Matches as the words say, trying every run of characters for an asterisk.
fn reference(pattern: &[u8], id: &[u8]) -> bool {
    match pattern {
        [] => id.is_empty(),
        [b'*', rest @ ..] => (0..=id.len()).any(|run| reference(rest, &id[run..])),
        [byte, rest @ ..] => id.first() == Some(byte) && reference(rest, &id[1..]),
    }
}

/// An id that a pattern matches, by the reference.
fn example(pattern: &str) -> Option<HostId> {
    let found = (0..=3).flat_map(|first| (0..=1).map(move |last| (first, last))).find_map(|(first, last)| {
        let text = pattern.replacen('*', &"x".repeat(first), 1);
        let text = match text.rsplit_once('*') {
            Some((before, after)) => format!("{before}{}{after}", "x".repeat(last)),
            None => text,
        };
        text.replace('*', "").parse::<HostId>().ok()
    });
    found.filter(|id| reference(pattern.as_bytes(), id.as_str().as_bytes()))
}

proptest! {
    #[test]
    fn patterns_match_as_the_reference_does(pattern in "[ab*-]{1,9}", id in "[ab][ab-]{1,9}[ab]") {
        if let Ok(parsed) = pattern.parse::<Pattern>() {
            prop_assert_eq!(parsed.matches(&id), reference(pattern.as_bytes(), id.as_bytes()));
        }
    }

    #[test]
    fn a_pattern_that_is_taken_matches_an_id(pattern in "[a*-]{1,6}|[*]{0,2}-?a{60,63}-?[*]{0,2}") {
        match pattern.parse::<Pattern>() {
            Ok(parsed) => {
                let id = example(&pattern);
                prop_assert!(id.is_some_and(|id| parsed.matches(id.as_str())), "{}", pattern);
            }
            Err(_) => prop_assert_eq!(example(&pattern), None),
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), near in r#"(\[\[token\]\]\n|hash = "[0-9a-f]{0,5}"\n|ids = \["[a-z*]{0,5}"\]\n|[a-z =\[\]"]{0,9}\n){0,6}"#) {
        for text in [text, near] {
            if let Err(error) = Tokens::parse(&text) {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }
}
