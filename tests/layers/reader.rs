//! Reads the names that a source file uses, without its comments, strings and tests.
//!
//! It knows only as much of Rust as paths need: no types, and no macros, whose arguments are read like code.

/// A name that a file uses, from its first segment on, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) line: usize,
    /// For our own names `crate` and the rest, however they were written; otherwise as written.
    pub(crate) segments: Vec<String>,
}

/// The findings in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) names: Vec<Name>,
    /// Modules in files of their own that are compiled into the program.
    pub(crate) modules: Vec<String>,
    /// Lines that give a module another path than its name.
    pub(crate) moved: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

/// Reads a file. `module` is where its items are: `["net", "tls"]` for `net/tls.rs`, `["net"]` for `net/mod.rs`.
pub(crate) fn read(text: &str, module: &[&str]) -> Contents {
    let tokens = without_tests(tokens(&without_words(text)));
    let mut contents = Contents::default();
    // Modules written out in the file that are open, and the depth of braces each began at.
    let mut inline: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(began, _)| *began < depth + 1);
            }
            "mod" if is_word(text_at(&tokens, at + 1)) => {
                let name = tokens[at + 1].text.clone();
                match text_at(&tokens, at + 2) {
                    ";" => contents.modules.push(name),
                    _ => inline.push((depth + 1, name)),
                }
                at += 1;
            }
            "path" if at >= 2 && tokens[at - 1].text == "[" && tokens[at - 2].text == "#" => {
                contents.moved.push(token.line);
            }
            word if is_word(word) && !is_keyword(word) && !follows_path_or_dot(&tokens, at) => {
                let open: Vec<&str> =
                    module.iter().copied().chain(inline.iter().map(|(_, name)| name.as_str())).collect();
                let is_imported = at > 0 && matches!(tokens[at - 1].text.as_str(), "use" | "crate");
                let mut found = Vec::new();
                at = path(&tokens, at, Vec::new(), &mut found);
                // A word alone is a variable or a keyword.
                found.retain(|name| is_imported || name.segments.len() > 1);
                contents.names.extend(found.into_iter().map(|name| resolved(name, &open)));
                continue;
            }
            _ => {}
        }
        // A method that reads the clock, as `Instant::now` does.
        if token.text == "elapsed" && at > 0 && tokens[at - 1].text == "." {
            contents.names.push(Name { line: token.line, segments: vec!["elapsed".to_owned()] });
        }
        at += 1;
    }
    contents
}

/// Reads the path that begins at a token, and the paths of a tree in braces after it. Returns where to continue.
fn path(tokens: &[Token], mut at: usize, mut segments: Vec<String>, found: &mut Vec<Name>) -> usize {
    let line = tokens[at].line;
    loop {
        segments.push(tokens[at].text.clone());
        at += 1;
        if text_at(tokens, at) != "::" {
            break;
        }
        at += 1;
        match text_at(tokens, at) {
            "{" => {
                at += 1;
                while !matches!(text_at(tokens, at), "}" | "") {
                    at = if is_word(text_at(tokens, at)) { path(tokens, at, segments.clone(), found) } else { at + 1 };
                    if text_at(tokens, at) == "as" {
                        at += 2;
                    }
                }
                return at + 1;
            }
            next if is_word(next) => {}
            _ => break,
        }
    }
    if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
        segments.pop();
    }
    found.push(Name { line, segments });
    at
}

/// Rewrites a name of ours to begin with `crate`.
fn resolved(mut name: Name, module: &[&str]) -> Name {
    let ours = |base: &[&str], rest: &[String]| {
        let base = base.iter().map(|segment| (*segment).to_owned());
        ["crate".to_owned()].into_iter().chain(base).chain(rest.iter().cloned()).collect()
    };
    let ups = name.segments.iter().take_while(|segment| *segment == "super").count();
    if ups > 0 {
        let base = &module[..module.len().saturating_sub(ups)];
        name.segments = ours(base, &name.segments[ups..]);
    } else if name.segments[0] == "self" {
        name.segments = ours(module, &name.segments[1..]);
    }
    name
}

/// Returns the tokens without items compiled only for tests.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        match attribute_end(&tokens, at) {
            Some(end) if is_for_tests(&tokens[at..end]) => at = item_end(&tokens, end),
            _ => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// Returns where an outer attribute that begins here ends.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    if text_at(tokens, at) != "#" || text_at(tokens, at + 1) != "[" {
        return None;
    }
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(at + 1) {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

/// Tells whether it is `#[cfg(test)]`, or `#[cfg(all(test, …))]`, but nothing that is also for other builds.
fn is_for_tests(attribute: &[Token]) -> bool {
    let texts: Vec<&str> = attribute.iter().skip(2).map(|token| token.text.as_str()).collect();
    matches!(texts[..], ["cfg", "(", "test", ")", ..] | ["cfg", "(", "all", "(", "test", "," | ")", ..])
}

/// Returns where the item, field or arm ends that begins here, further attributes included.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while let Some(end) = attribute_end(tokens, at) {
        at = end;
    }
    let visibility = usize::from(text_at(tokens, at) == "pub");
    let restricted = if visibility == 1 && text_at(tokens, at + 1) == "(" { 3 } else { 0 };
    let keyword = text_at(tokens, at + visibility + restricted);
    let ends_at_semicolon = matches!(keyword, "use" | "const" | "static" | "type" | "let")
        && text_at(tokens, at + visibility + restricted + 1) != "fn";
    let is_item = ends_at_semicolon
        || matches!(
            keyword,
            "const"
                | "mod"
                | "fn"
                | "impl"
                | "struct"
                | "enum"
                | "trait"
                | "unsafe"
                | "async"
                | "extern"
                | "macro_rules"
        );
    let (mut depth, mut angles) = (0, 0);
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            "}" if depth == 1 && is_item && !ends_at_semicolon => return at + 1,
            ")" | "]" | "}" => depth -= 1,
            "<" => angles += 1,
            ">" => angles -= 1,
            ";" if depth == 0 => return at + 1,
            "," if depth == 0 && angles <= 0 && !is_item => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Returns the text with blanks in place of comments and quoted text; lines stay in place.
pub(crate) fn without_words(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = word_end(&characters, at);
        match end {
            Some(end) => {
                code.extend(characters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
                at = end;
            }
            None => {
                code.push(characters[at]);
                at += 1;
            }
        }
    }
    code
}

/// Returns where the comment, text or character ends that begins here.
fn word_end(characters: &[char], at: usize) -> Option<usize> {
    let next = |offset: usize| characters.get(at + offset).copied();
    let length = characters.len();
    let is_inside_word = at > 0 && (characters[at - 1].is_alphanumeric() || characters[at - 1] == '_');
    match characters[at] {
        '/' if next(1) == Some('/') => Some((at..length).find(|index| characters[*index] == '\n').unwrap_or(length)),
        '/' if next(1) == Some('*') => {
            let (mut depth, mut index) = (0, at);
            while index + 1 < length {
                match (characters[index], characters[index + 1]) {
                    ('/', '*') => (depth, index) = (depth + 1, index + 2),
                    ('*', '/') => (depth, index) = (depth - 1, index + 2),
                    _ => index += 1,
                }
                if depth == 0 {
                    return Some(index);
                }
            }
            Some(length)
        }
        'r' if !is_inside_word || characters[at - 1] == 'b' || characters[at - 1] == 'c' => {
            let hashes = (at + 1..length).take_while(|index| characters[*index] == '#').count();
            (next(1 + hashes) == Some('"')).then(|| {
                let is_end = |index: &usize| {
                    characters[*index] == '"' && (1..=hashes).all(|more| characters.get(index + more) == Some(&'#'))
                };
                (at + hashes + 2..length).find(is_end).map_or(length, |index| index + 1 + hashes)
            })
        }
        '"' => Some(quote_end(characters, at, '"')),
        // A character, unless it is a lifetime.
        '\'' if next(1) == Some('\\') => Some(quote_end(characters, at, '\'')),
        '\'' if next(2) == Some('\'') => Some(at + 3),
        _ => None,
    }
}

fn quote_end(characters: &[char], at: usize, quote: char) -> usize {
    let mut index = at + 1;
    while index < characters.len() && characters[index] != quote {
        index += if characters[index] == '\\' { 2 } else { 1 };
    }
    (index + 1).min(characters.len())
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_in_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = if is_in_word(first) {
                rest.find(|c| !is_in_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") || rest.starts_with("->") || rest.starts_with("=>") {
                2
            } else {
                first.len_utf8()
            };
            tokens.push(Token { line: number + 1, text: rest[..length].to_owned() });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn text_at(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.text.as_str())
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Tells whether a path can follow this word.
fn is_keyword(word: &str) -> bool {
    matches!(word, "use" | "as" | "in" | "return" | "dyn" | "impl" | "mut" | "match" | "if" | "else" | "while" | "for")
}

/// Tells whether a word continues what is before it, so that it begins no path.
fn follows_path_or_dot(tokens: &[Token], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map_or("", |index| tokens[index].text.as_str());
    // `use ::mio::Token` begins at the root; in `Vec::<u8>::new`, `new` goes on.
    let goes_on = is_word(before(2)) && !is_keyword(before(2)) || before(2) == ">";
    before(1) == "." && before(2) != "." || before(1) == "::" && goes_on
}

mod tests {
    use super::{Contents, read, without_words};

    /// The names of ours and of others in a file of `net::tls`, as paths.
    #[track_caller]
    fn expect(text: &str, names: &[&str]) {
        let found: Vec<String> =
            read(text, &["net", "tls"]).names.iter().map(|name| name.segments.join("::")).collect();
        assert_eq!(found, names, "{text}");
    }

    #[test]
    fn trees_are_taken_apart() {
        expect(
            "use crate::net::{self, stream::{Stream, Attempt as A}, tls::*};",
            &["crate::net", "crate::net::stream::Stream", "crate::net::stream::Attempt", "crate::net::tls"],
        );
        expect(
            "use std::io::{self, Read as _};\nuse mio as m;\nuse ::mio::A;",
            &["std::io", "std::io::Read", "mio", "mio::A"],
        );
        expect("pub(crate) use rustls::client::danger::Thing as Other;", &["rustls::client::danger::Thing"]);
    }

    #[test]
    fn names_in_code_count_as_well() {
        expect("let x = std::time::Instant::now();", &["std::time::Instant::now"]);
        expect("let x: Vec<mio::Token> = Vec::<::mio::Token>::new();", &["mio::Token", "mio::Token"]);
        expect("log::debug!(\"{}\", mio::a(rand::b()))", &["log::debug", "mio::a", "rand::b"]);
        expect("let far = since.elapsed();", &["elapsed"]);
        expect("for i in 0..mio::MAX {}", &["mio::MAX"]);
    }

    #[test]
    fn ours_are_written_from_the_crate_on() {
        expect("use super::stream::Stream;", &["crate::net::stream::Stream"]);
        expect("super::super::peer::go();", &["crate::peer::go"]);
        expect("self::inner::go();", &["crate::net::tls::inner::go"]);
        expect("mod unix { use super::Signals; } use super::udp;", &["crate::net::tls::Signals", "crate::net::udp"]);
    }

    #[test]
    fn comments_and_texts_name_nothing() {
        expect("// mio::Token\n/* mio::Token /* again */ mio::Token */ /// mio::Token", &[]);
        expect(
            r##"let x = "mio::Token \" mio::Token"; let y = r#"mio::Token " mio::Token"#; peer::go()"##,
            &["peer::go"],
        );
        expect("let x = '\"'; mio::go(); let y = b'\\''; mio::went(); let z = '\\u{41}';", &["mio::go", "mio::went"]);
        expect("fn f<'a>(x: &'a mio::Token) -> &'a str {}", &["mio::Token"]);
        expect("let mut bar = \"\"; let r = 1; let br = b\"mio::x\"; let s = br\"mio::y\";", &[]);
        assert_eq!(without_words("a // b\nc \"d\ne\" f").lines().count(), 3);
    }

    #[test]
    fn only_the_tests_themselves_are_left_out() {
        let rest = "fn later() { peer::go() }";
        for item in [
            "mod tests { fn a() { mio::a() } }",
            "#[path = \"x_tests.rs\"] mod tests;",
            "use mio::{Token, Poll};",
            "pub(crate) fn f<A, B>(a: A, b: B) -> mio::Token { mio::a(); }",
            "pub(super) const X: mio::Token = { mio::a(); mio::B };",
            "const fn f() { mio::a() }",
            "impl<A, B> Pair<A, B> { fn a() { mio::a() } }",
            "struct Y(mio::Token);",
            "let x = { mio::a(); mio::b() };",
        ] {
            expect(&format!("#[cfg(test)]\n{item}\n{rest}"), &["peer::go"]);
            expect(&format!("#[cfg(all(test, unix))] #[doc(hidden)] {item} {rest}"), &["peer::go"]);
        }
        expect("struct S { #[cfg(test)] a: HashMap<mio::A, mio::B>, b: peer::C }", &["peer::C"]);
        expect("struct S { b: peer::C, #[cfg(test)] a: mio::A }\nfn f() { peer::go() }", &["peer::C", "peer::go"]);
        expect("#[cfg(any(test, unix))] fn f() { mio::a() }", &["mio::a"]);
        expect("#[cfg(not(test))] fn f() { mio::a() }", &["mio::a"]);
        expect("#[test] fn f() { mio::a() }", &["mio::a"]);
    }

    #[test]
    fn modules_that_are_compiled_are_known() {
        let text = "mod a;\npub(crate) mod b;\n#[cfg(test)]\n#[path = \"c_tests.rs\"]\nmod c;\nmod d { }\n#[path = \"e.rs\"]\nmod e;";
        let names = ["a", "b", "e"].map(str::to_owned).to_vec();
        assert_eq!(read(text, &[]), Contents { names: Vec::new(), modules: names, moved: vec![7] });
    }
}
