//! Reading YAML: what is taken, what is refused, and where.

use super::*;

fn read(text: &str) -> (Option<Node>, Vec<Finding>) {
    parse(Arc::new(Source { name: "x.yaml".to_owned(), text: text.to_owned() }))
}

fn good(text: &str) -> Node {
    let (node, findings) = read(text);
    assert!(findings.is_empty(), "{findings:?}");
    node.unwrap()
}

/// The text a node's span covers.
fn written(node: &Node) -> &str {
    node.source.text.get(node.span.start..node.span.end).unwrap()
}

/// Checks code and the marked text of the only finding.
#[track_caller]
fn refuses(text: &str, code: &str, marked: &str) {
    let (_, findings) = read(text);
    let found: Vec<_> = findings
        .iter()
        .map(|finding| (finding.code, text.get(finding.span.start..finding.span.end).unwrap()))
        .collect();
    assert_eq!(found, [(code, marked)]);
    assert!(findings[0].hint.is_some());
}

#[test]
fn scalars_keep_their_text() {
    let node = good("a: 00123\nb: '00123'\nc: yes\nd: 1.50\ne: 2024-01-02\n");
    let texts: Vec<_> = node.entries().iter().filter_map(|(_, value)| value.text()).collect();
    assert_eq!(texts, ["00123", "00123", "yes", "1.50", "2024-01-02"]);
    assert!(matches!(node.get("b").unwrap().value, Value::Scalar { quoted: true, .. }));
    assert!(matches!(node.get("a").unwrap().value, Value::Scalar { quoted: false, .. }));
}

#[test]
fn paths_and_templates_need_no_quotes() {
    let text = "set: {MSH-5: LIS, PID-3(MR).1: <PID-5>, PID-4.1: adt.<MSH-9.2>}\n\
                mrn: PID-3(MR).1\nall: PID-3[2].4.2\nOBX[2]-5: any OBX has OBX-8 is LL or HH\n\
                gender: lookup(PID-8, tables/sex.csv)\nwhen: spo2 < 88\n\
                text: <OBX-3.2> <OBX-5>\n";
    let node = good(text);
    let set = node.get("set").unwrap();
    assert_eq!(set.get("PID-3(MR).1").unwrap().text(), Some("<PID-5>"));
    assert_eq!(set.get("PID-4.1").unwrap().text(), Some("adt.<MSH-9.2>"));
    assert_eq!(node.get("gender").unwrap().text(), Some("lookup(PID-8, tables/sex.csv)"));
    assert_eq!(node.get("OBX[2]-5").unwrap().text(), Some("any OBX has OBX-8 is LL or HH"));
}

#[test]
fn spans_are_bytes_also_after_chinese_text_and_comments() {
    let text = "# 频道 说明\ntitle: {en: Sync, zh: HIS 患者信息同步} # 注释\nmrn: PID-3 # 号码\r\nlast: x\n";
    let node = good(text);
    let title = node.get("title").unwrap();
    assert_eq!(written(title.get("zh").unwrap()), "HIS 患者信息同步");
    assert_eq!(written(title), "{en: Sync, zh: HIS 患者信息同步}");
    assert_eq!(written(node.get("mrn").unwrap()), "PID-3");
    assert_eq!(written(node.get("last").unwrap()), "x");
}

#[test]
fn a_byte_order_mark_shifts_nothing() {
    let node = good("\u{FEFF}a: b\nc: d\n");
    assert_eq!(written(node.get("a").unwrap()), "b");
    assert_eq!(written(node.get("c").unwrap()), "d");
}

#[test]
fn collections_cover_what_they_hold() {
    let node = good("to:\n  a:\n    - x\n    - 'y z'\n  b: |\n    two\n    lines\n\nnext: 1\n");
    let to = node.get("to").unwrap();
    assert_eq!(written(to.get("a").unwrap()), "- x\n    - 'y z'");
    assert_eq!(written(to.get("b").unwrap()), "two\n    lines");
    assert_eq!(to.get("b").unwrap().text(), Some("two\nlines\n"));
}

#[test]
fn an_empty_value_is_null_and_shown_at_its_key() {
    let node = good("from:\nto: ~\n");
    assert!(matches!(node.get("from").unwrap().value, Value::Null));
    assert_eq!(written(node.get("from").unwrap()), "from");
    assert_eq!(written(node.get("to").unwrap()), "~");
}

#[test]
fn aliases_repeat_what_was_anchored() {
    let node = good("a: &retry {first: 5s}\nb: *retry\nc: &c 5s\n");
    assert_eq!(written(node.get("c").unwrap()), "5s");
    assert_eq!(node.get("b").unwrap().get("first").unwrap().text(), Some("5s"));
}

#[test]
fn a_key_given_twice_is_refused_with_both_places() {
    let (node, findings) = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(findings[0].code, "E0004");
    assert_eq!(findings[0].span, Span { start: 10, end: 11 });
    assert_eq!(findings[0].label.as_deref(), Some("first given on line 1"));
    assert_eq!(node.unwrap().get("a").unwrap().text(), Some("1"));
}

#[test]
fn what_is_not_taken_is_marked() {
    refuses("a: 1\n---\nb: 2\n", "E0006", "---");
    refuses("a: !!str 1\n", "E0005", "!!str 1");
    refuses("a: {<<: 1}\n", "E0009", "<<");
    refuses("? [a]\n: b\n", "E0009", "[a]");
    refuses("a: *gone\n", "E0008", "*gone");
    refuses("a: &a [*a]\n", "E0008", "*a");
    refuses("a: x\u{0}y\n", "E0002", "\u{0}");
    refuses("a:\n\tb: 1\n", "E0003", "\t");
    refuses("a: b: c\n", "E0001", ":");
    refuses("a: {b: 1\nc: 2\n", "E0001", ":");
    refuses("a: @b\n", "E0001", "@b");
    refuses("a: \"A\\T\\B\"\n", "E0001", "\"A\\T\\B\"");
}

#[test]
fn an_unclosed_quote_points_at_its_beginning() {
    refuses("a: 1\nb: 'open\nc: 2\n", "E0001", "'open");
}

#[test]
fn limits_hold() {
    let deep = format!("a: {}{}", "[".repeat(80), "]".repeat(80));
    assert_eq!(read(&deep).1[0].code, "E0007");
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    assert_eq!(read(&bomb).1[0].code, "E0007");
    let mut tower = String::from("a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n");
    for level in 1..9 {
        tower.push_str(&format!("a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]\n", level - 1));
    }
    assert_eq!(read(&tower).1[0].code, "E0007");
    assert_eq!(read(&" ".repeat(TEXT_BYTES_MAX + 1)).1[0].code, "E0007");
}

#[test]
fn nothing_is_said_to_be_empty() {
    assert_eq!(read("# only a comment\n").1[0].code, "E0010");
    assert_eq!(read("").1[0].code, "E0010");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_with_a_place_inside(text in "[-a-z0-9:,\\[\\]{}&*!|>'\"#% \t\n患\\\\]{0,60}") {
        let (node, findings) = read(&text);
        assert!(node.is_some() || !findings.is_empty());
        for finding in findings {
            assert!(text.get(finding.span.start..finding.span.end).is_some(), "{:?}", finding);
        }
    }
}
