use std::collections::BTreeSet;

use super::*;

/// Returns the keys of the words of a language, and the text of each.
fn words(language: &str) -> Vec<(String, String)> {
    let (_, all) = include_str!("page/words.js").split_once(&format!("\n  {language}: {{\n")).unwrap();
    let (own, _) = all.split_once("\n  },\n").unwrap();
    let mut found = Vec::new();
    let mut rest = own;
    while let Some((key, more)) = rest.split_once(": '") {
        let (text, after) = more.split_once("',").unwrap_or_else(|| panic!("{key} has no end"));
        let key = key.rsplit([' ', '\n']).next().unwrap();
        found.push((key.to_owned(), text.to_owned()));
        rest = after;
    }
    found
}

#[test]
fn both_languages_have_the_same_words_with_the_same_values() {
    let (english, chinese) = (words("en"), words("zh"));
    assert!(english.len() > 100, "{}", english.len());
    let keys = |words: &[(String, String)]| words.iter().map(|(key, _)| key.clone()).collect::<BTreeSet<_>>();
    assert_eq!(keys(&english), keys(&chinese));
    assert_eq!(keys(&english).len(), english.len(), "a key is there twice");
    for ((key, english), (_, chinese)) in english.iter().zip(&chinese) {
        let places = |text: &str| (0..4).filter(|place| text.contains(&format!("{{{place}}}"))).collect::<Vec<_>>();
        assert_eq!(places(english), places(chinese), "{key}");
        assert!(!english.contains("\\'"), "{key} has a quote");
    }
}

#[test]
fn every_word_that_the_page_asks_for_is_there_and_none_is_idle() {
    let english: BTreeSet<String> = words("en").into_iter().map(|(key, _)| key).collect();
    let text: String = FILES.iter().filter(|(path, ..)| *path != "/words.js").map(|(.., text)| *text).collect();
    for (begin, end) in [("say('", '\''), ("data-word=\"", '"'), ("data-word-label=\"", '"')] {
        for part in text.split(begin).skip(1) {
            let key = part.split(end).next().unwrap();
            assert!(english.contains(key), "{key} is no word");
        }
    }
    for key in english {
        // Words that are the program's own come from it: roles, states, paths.
        let is_programs =
            ["client", "connected", "connecting", "ending", "recovering", "serving"].contains(&key.as_str());
        let is_used = text.contains(&format!("'{key}'")) || text.contains(&format!("\"{key}\""));
        assert!(is_used || is_programs, "{key} is said nowhere");
    }
}

#[test]
fn the_page_holds_to_its_own_policy() {
    for (path, kind, text) in FILES {
        let answer = page(path).unwrap();
        let bytes = answer.render(false);
        let whole = String::from_utf8_lossy(&bytes);
        for field in ["frame-ancestors 'none'", "no-referrer", "Cache-Control: no-store", "nosniff"] {
            assert!(whole.contains(field), "{path} has no {field}");
        }
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "http://www.w3.org/1",
        ] {
            assert!(!text.contains(forbidden), "{path} has {forbidden}");
        }
        if kind == HTML {
            for forbidden in ["<style", " style=", " onclick", "javascript:", "<script>"] {
                assert!(!text.contains(forbidden), "{path} has {forbidden}");
            }
        }
    }
    assert!(page("/page/index.html").is_none() && page("//").is_none() && page("/../Cargo.toml").is_none());
}

#[test]
fn every_file_that_another_names_is_there() {
    for (path, _, text) in FILES {
        let names = text.split("from './").skip(1).map(|rest| rest.split('\'').next().unwrap());
        for name in names {
            assert!(page(&format!("/{name}")).is_some(), "{path} names {name}");
        }
    }
}
