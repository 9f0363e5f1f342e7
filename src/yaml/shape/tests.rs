//! What shapes take and refuse.

use std::sync::Arc;

use super::*;
use crate::yaml::node::Source;
use crate::yaml::parse::parse;

const SEND: MapShape = MapShape {
    one_of: &[&["mllp", "webhook"]],
    planned: &["rabbitmq"],
    ..MapShape::new(
        "send",
        "Where to.",
        &[
            Field::optional("mllp", Shape::Map(&MLLP), "{host: a, port: 1}", "Over MLLP."),
            Field::optional("webhook", Shape::Url, "https://h.example", "By POST."),
            Field::optional("retry_for", Shape::Duration, "5s", "How long."),
            Field::optional("order", Shape::Choice(ORDERS), "strict", "The order."),
            Field::optional("allow", Shape::OneOrMany(&Shape::Host), "[a]", "Who."),
        ],
    )
};
const MLLP: MapShape = MapShape::new(
    "mllp",
    "Over MLLP.",
    &[
        Field::required("host", Shape::Host, "lis.hospital.example", "The host."),
        Field::required("port", Shape::Integer { min: 1, max: 65535 }, "2575", "Its port."),
    ],
);
const ORDERS: &[(&str, &str)] = &[("strict", "One by one."), ("none", "Any.")];

/// Checks `text` and gives each finding as `line:column code message | hint | fix`.
fn check(text: &str) -> Vec<String> {
    let source = Arc::new(Source { name: "x".to_owned(), text: text.to_owned() });
    let (node, mut findings) = parse(source);
    SEND.check_file(&node.unwrap(), &mut findings);
    findings
        .iter()
        .map(|f| {
            let (line, column) = f.source.line_column(f.span.start);
            let rest = [f.hint.as_deref(), f.fix.as_deref()].map(Option::unwrap_or_default);
            format!("{line}:{column} {} {} | {} | {}", f.code, f.message, rest[0], rest[1])
        })
        .collect()
}

#[test]
fn takes_what_fits() {
    assert!(check("mllp: {host: a, port: 2575}\nallow: a\norder: none\n").is_empty());
    assert!(check("webhook: https://h/x\nallow: [a, b]\n").is_empty());
}

#[test]
fn an_unknown_key_names_the_nearest_and_is_not_missed_again() {
    assert_eq!(
        check("mllp: {hots: a, port: 1}\n"),
        ["1:8 E0101 `hots` is not a key of mllp | did you mean `host`? | host"]
    );
    assert_eq!(
        check("mlpl: {host: a, port: 1}\n"),
        ["1:1 E0101 `mlpl` is not a key of the file | did you mean `mllp`? | mllp"]
    );
}

#[test]
fn a_missing_key_is_shown_at_its_parent() {
    assert_eq!(
        check("mllp: {host: a}\n"),
        ["1:1 E0102 `port` is missing in mllp | add e.g. `port: 2575` | "]
    );
}

#[test]
fn exactly_one_of_a_group() {
    assert_eq!(
        check("order: none\n"),
        ["1:1 E0107 the file needs one of: mllp, webhook | add one, e.g. `mllp: …` | "]
    );
    assert!(check("webhook: http://h\nmllp: {host: a, port: 1}\n")[0].starts_with("2:1 E0107"));
}

#[test]
fn what_is_planned_is_said_to_be() {
    assert_eq!(
        check("rabbitmq: {url: x}\n"),
        [
            "1:1 E0108 `rabbitmq` is not in this version | in this version there are: mllp, webhook | "
        ]
    );
}

#[test]
fn values_are_checked() {
    for (line, starts) in [
        ("order: stirct", "2:8 E0106 order: `stirct` is not known here | did you mean `strict`?"),
        ("retry_for: 5 s", "2:12 E0104 retry_for: `5 s` is written `5s`"),
        ("retry_for: [5s]", "2:12 E0103 `retry_for` takes a single value, here is a list"),
        ("retry_for:", "2:1 E0103 `retry_for` has no value"),
        ("mllp: x", "2:7 E0103 `mllp` takes a mapping, here is a single value"),
        ("allow: {a: b}", "2:8 E0103 `allow` takes a single value, here is a mapping"),
        ("mllp: {host: a, port: 70000}", "2:23 E0105"),
    ] {
        let text = format!("webhook: http://h\n{line}\n");
        let found = check(&text);
        assert!(found.iter().any(|finding| finding.starts_with(starts)), "{line}: {found:?}");
    }
}
