//! How findings look.

use std::sync::Arc;

use super::*;
use crate::yaml::node::{Source, Span};

const TEXT: &str = "title: {zh: 患者信息, zhh: 床旁}\nsearch_keys:\n  mrn: PID-33(MR).1\n";

fn finding(marked: &str) -> Finding {
    let source = Source { name: "channels/adt.yaml".to_owned(), text: TEXT.to_owned() };
    let start = TEXT.find(marked).unwrap();
    let span = Span { start, end: start + marked.len() };
    Finding::at("E0101", &Arc::new(source), span, "this is wrong")
}

#[test]
fn text_looks_like_the_compilers_people_know() {
    let finding = finding("PID-33")
        .label("in HL7 2.5.1 this is \"Last Update Date/Time\" (TS)")
        .hint("did you mean PID-3?")
        .fix("PID-3");
    insta::assert_snapshot!(one(&finding, Colour::Plain), @r#"
    error[E0101]: this is wrong
     --> channels/adt.yaml:3:8
      |
    3 |   mrn: PID-33(MR).1
      |        ^^^^^^ in HL7 2.5.1 this is "Last Update Date/Time" (TS)
      = hint: did you mean PID-3?   fix: medway check --fix
      = more: medway explain E0101
    "#);
}

#[test]
fn carets_stand_under_wide_characters() {
    let finding = finding("床旁").warning();
    insta::assert_snapshot!(one(&finding, Colour::Plain), @r#"
    warning[E0101]: this is wrong
     --> channels/adt.yaml:1:24
      |
    1 | title: {zh: 患者信息, zhh: 床旁}
      |                            ^^^^
      = more: medway explain E0101
    "#);
}

#[test]
fn a_place_of_several_lines_is_marked_on_its_first() {
    let finding = finding("search_keys:\n  mrn");
    let text = one(&finding, Colour::Plain);
    assert!(text.contains("2 | search_keys:\n  | ^^^^^^^^^^^^\n"), "{text}");
}

#[test]
fn colour_changes_nothing_else() {
    let finding = finding("zhh").hint("x");
    let coloured = one(&finding, Colour::Ansi);
    let mut plain = coloured.clone();
    for code in [RED, YELLOW, BLUE, BOLD, "\x1b[0m"] {
        plain = plain.replace(code, "");
    }
    assert_ne!(coloured, plain);
    assert_eq!(plain, one(&finding, Colour::Plain));
}

#[test]
fn a_count_stands_at_the_end() {
    let all = [finding("zhh"), finding("mrn"), finding("zh").warning()];
    assert!(text(&all, Colour::Plain).ends_with("\n\n2 errors, 1 warning\n"));
    assert_eq!(text(&[], Colour::Plain), "");
}

#[test]
fn machines_get_places_too() {
    let all = [finding("zhh").hint("50% of\nit").fix("en")];
    insta::assert_snapshot!(github(&all), @r#"
    ::error file=channels/adt.yaml,line=1,col=19,endLine=1,endColumn=22,title=E0101::this is wrong. Hint: 50%25 of%0Ait
    "#);
    let json = json(&all);
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&1.into(), &19.into()));
    let sarif = sarif(&all);
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "E0101");
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["startColumn"], &region["endColumn"]), (&19.into(), &22.into()));
    let change = &result["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!(change["insertedContent"]["text"], "en");
}

#[test]
fn fixes_are_applied_from_the_back_and_never_twice() {
    let fixes = [
        finding("PID-33").fix("PID-3"),
        finding("zhh").fix("en"),
        finding("zhh").fix("en"),
        finding("PID-33(MR)").fix("x"),
    ];
    let (fixed, applied) = apply_fixes("channels/adt.yaml", TEXT, &fixes);
    assert_eq!(applied, 2);
    assert_eq!(fixed, TEXT.replace("zhh", "en").replace("PID-33", "PID-3"));
    assert_eq!(apply_fixes("other.yaml", TEXT, &fixes).1, 0);
}
