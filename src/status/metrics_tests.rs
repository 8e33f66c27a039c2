use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// A family of samples, as a parser sees it.
#[derive(Debug)]
struct Family {
    kind: String,
    samples: Vec<Sample>,
}

#[derive(Debug, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Parses the text format, and fails at the first line that breaks a rule.
fn read(text: &str) -> HashMap<String, Family> {
    assert!(text.ends_with('\n'));
    let mut families: HashMap<String, Family> = HashMap::new();
    let mut known = HashSet::new();
    let mut current = String::new();
    let mut helped = None;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!help.is_empty() && helped.is_none(), "{line}");
            helped = Some(name.to_owned());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(helped.take().as_deref(), Some(name), "the help comes first: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "one family twice: {line}");
            current = name.to_owned();
        } else {
            assert!(known.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "one series twice: {line}");
            let sample = sample(line);
            let family = families.get_mut(&current).expect("a family has a type before its samples");
            let suffix =
                sample.name.strip_prefix(current.as_str()).unwrap_or_else(|| panic!("not of {current}: {line}"));
            match family.kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            family.samples.push(sample);
        }
    }
    families
}

fn sample(line: &str) -> Sample {
    let is_name = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !name.is_empty() && name.bytes().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, quoted) = rest.split_once("=\"").unwrap();
            assert!(is_name(label), "{line}");
            let mut value = String::new();
            let mut characters = quoted.char_indices();
            let end = loop {
                match characters.next().unwrap() {
                    (index, '"') => break index,
                    (_, '\\') => value.push(match characters.next().unwrap().1 {
                        'n' => '\n',
                        escaped @ ('\\' | '"') => escaped,
                        other => panic!("\\{other} in {line}"),
                    }),
                    (_, character) => value.push(character),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &quoted[end + 1..];
            match rest.split_at(1) {
                (",", more) => rest = more,
                ("}", more) => {
                    rest = more;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap().parse().unwrap_or_else(|_| panic!("no number: {line}"));
    Sample { name: name.to_owned(), labels, value }
}

/// The value of a series, with at most one label.
fn value(families: &HashMap<String, Family>, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
    let labels: Vec<_> = label.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
    let samples = families.values().flat_map(|family| &family.samples);
    samples.into_iter().find(|sample| sample.name == name && sample.labels == labels).map(|sample| sample.value)
}

fn metrics() -> Metrics {
    Metrics::new(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500))
}

#[test]
fn what_was_counted_is_said() {
    let mut metrics = metrics();
    metrics.hosts = 1;
    metrics.clients = 2;
    metrics.connections = 3;
    metrics.conversations = 4;
    metrics.relayed = Moved { to_host: 5, to_client: u64::MAX };
    metrics.replacements = 6;
    metrics.dials = 7;
    metrics.requests = 8;
    metrics.gateway = Moved { to_host: 9, to_client: 10 };
    metrics.refused(Refusal::BadToken);
    metrics.refused(Refusal::BadToken);
    metrics.refused(Refusal::Restart);
    let families = read(&metrics.render());
    let cases = [
        ("pinhole_hosts", None, 1.0),
        ("pinhole_clients", None, 2.0),
        ("pinhole_connections", None, 3.0),
        ("pinhole_conversations_total", None, 4.0),
        ("pinhole_relayed_bytes_total", Some(("direction", "to_host")), 5.0),
        ("pinhole_relayed_bytes_total", Some(("direction", "to_client")), u64::MAX as f64),
        ("pinhole_replacements_total", None, 6.0),
        ("pinhole_dials_total", None, 7.0),
        ("pinhole_gateway_requests", None, 8.0),
        ("pinhole_gateway_bytes_total", Some(("direction", "to_host")), 9.0),
        ("pinhole_gateway_bytes_total", Some(("direction", "to_client")), 10.0),
        ("pinhole_refusals_total", Some(("reason", "bad-token")), 2.0),
        ("pinhole_refusals_total", Some(("reason", "restart")), 1.0),
        ("pinhole_refusals_total", Some(("reason", "slow")), 0.0),
        ("pinhole_start_time_seconds", None, 1_700_000_000.5),
        ("pinhole_build_info", Some(("version", env!("CARGO_PKG_VERSION"))), 1.0),
    ];
    for (name, label, expected) in cases {
        assert_eq!(value(&families, name, label), Some(expected), "{name} {label:?}");
    }
    assert_eq!(families["pinhole_refusals_total"].samples.len(), Refusal::COUNT);
}

#[test]
fn answers_are_counted_by_status_and_by_time() {
    let mut metrics = metrics();
    for (status, milliseconds) in [(200, 5), (200, 6), (404, 900), (599, 60_000), (100, 61_000)] {
        metrics.answered(status, Duration::from_millis(milliseconds));
    }
    let families = read(&metrics.render());
    let of_status = |status| value(&families, "pinhole_gateway_requests_total", Some(("status", status)));
    assert_eq!(["200", "404", "599", "100"].map(of_status), [Some(2.0), Some(1.0), Some(1.0), Some(1.0)]);
    assert_eq!(of_status("500"), None, "it was not counted yet");
    let below = |bound| value(&families, "pinhole_gateway_request_seconds_bucket", Some(("le", bound)));
    let expected = [("0.005", 1.0), ("0.01", 2.0), ("0.5", 2.0), ("1", 3.0), ("60", 4.0), ("+Inf", 5.0)];
    for (bound, count) in expected {
        assert_eq!(below(bound), Some(count), "{bound}");
    }
    assert_eq!(value(&families, "pinhole_gateway_request_seconds_count", None), Some(5.0));
    assert_eq!(value(&families, "pinhole_gateway_request_seconds_sum", None), Some(121.911));
}

#[test]
fn there_are_no_more_series_than_statuses() {
    let mut metrics = metrics();
    for status in 0..=u16::MAX {
        metrics.answered(status, Duration::ZERO);
    }
    let families = read(&metrics.render());
    assert_eq!(families["pinhole_gateway_requests_total"].samples.len(), STATUSES);
    assert_eq!(value(&families, "pinhole_gateway_request_seconds_count", None), Some(65_536.0));
}

#[test]
fn labels_and_helps_are_escaped() {
    let mut page = Page(String::new());
    page.family("x", "gauge", "a\\b\nc");
    page.sample("x", &[("a", "\"\\\n}"), ("b", ",")], 1);
    assert_eq!(page.0, "# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{a=\"\\\"\\\\\\n}\",b=\",\"} 1\n");
    let families = read(&page.0);
    let labels = [("a".to_owned(), "\"\\\n}".to_owned()), ("b".to_owned(), ",".to_owned())];
    assert_eq!(families["x"].samples, [Sample { name: "x".into(), labels: labels.to_vec(), value: 1.0 }]);
}

proptest! {
    #[test]
    fn buckets_are_cumulative(milliseconds in prop::collection::vec(0u64..100_000, 0..50)) {
        let mut metrics = metrics();
        for &after in &milliseconds {
            metrics.answered(200, Duration::from_millis(after));
        }
        let families = read(&metrics.render());
        let samples = &families["pinhole_gateway_request_seconds"].samples;
        let buckets: Vec<_> = samples.iter().filter(|sample| sample.name.ends_with("_bucket")).collect();
        prop_assert_eq!(buckets.len(), BUCKETS.len() + 1);
        for (bucket, bound) in buckets.iter().zip(BUCKETS) {
            prop_assert_eq!(bucket.labels[0].1.parse(), Ok(bound));
            let expected = milliseconds.iter().filter(|after| Duration::from_millis(**after).as_secs_f64() <= bound);
            prop_assert_eq!(bucket.value, expected.count() as f64);
        }
        prop_assert_eq!(buckets.last().map(|bucket| bucket.value), Some(milliseconds.len() as f64));
    }
}

#[test]
fn quantiles_are_read_off_the_buckets() {
    let mut metrics = Metrics::new(SystemTime::UNIX_EPOCH);
    assert_eq!((metrics.quantile_ms(0.5), metrics.by_status().len()), (None, 0));
    (0..99).for_each(|_| metrics.answered(200, Duration::from_millis(7)));
    metrics.answered(502, Duration::from_millis(400));
    let (median, most) = (metrics.quantile_ms(0.5).unwrap(), metrics.quantile_ms(0.999).unwrap());
    assert!((5.0..=10.0).contains(&median) && (250.0..=500.0).contains(&most), "{median} {most}");
    assert_eq!(metrics.quantile_ms(1.0), Some(500.0));
    let by_status: Vec<_> = metrics.by_status().into_iter().collect();
    assert_eq!(by_status, [("200".to_owned(), 99), ("502".to_owned(), 1)]);
    // What is above every bound counts as the highest.
    (0..1000).for_each(|_| metrics.answered(200, Duration::from_secs(3600)));
    assert_eq!(metrics.quantile_ms(0.5), Some(60_000.0));
}
