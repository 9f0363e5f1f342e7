//! Channels as a whole: what is taken, in which lanes, and what is sent.

use std::sync::Arc;

use bytes::Bytes;

use crate::channel::Channel;
use crate::channel::build::NoFiles;
use crate::channel::cases::check;
use crate::channel::input::Input;
use crate::hl7::raw::{ReadOptions, SegmentEnds};
use crate::message::id::MessageId;
use crate::message::kind::Kind;
use crate::message::outcome::Outbound;
use crate::message::payload::Payload;
use crate::message::plan::{Joins, Lane};
use crate::message::time::Timestamp;
use crate::message::verdict::{Context, IfChanged, Rendered, Route, Taken, Verdict};
use crate::yaml::node::Source;
use crate::yaml::parse::parse;

const ADT: &str = "MSH|^~\\&|HIS|HOSP|X|Y|20260105||ADT^A01|C1|P|2.5.1\rEVN|A01\r\
PID|1||P1^^^H^MR~N1^^^G^NI||zhang^wei||1980/01/02|f \rPV1|1|I|ICU^3\rNTE|1||a\rNTE|2||b\rZXX|1|keep\r";

fn read(text: &str) -> (Option<Channel>, Vec<String>) {
    let source = Source { name: "c.yaml".into(), text: text.to_owned() };
    let (node, findings) = parse(Arc::new(source));
    let mut said: Vec<String> = findings.iter().map(|found| found.message.clone()).collect();
    let Some(node) = node else { return (None, said) };
    let (channel, _, findings) = check(&node, &NoFiles);
    said.extend(findings.iter().map(|found| format!("{}: {}", found.code, found.message)));
    (channel, said)
}

fn channel(text: &str) -> Channel {
    let (channel, said) = read(text);
    channel.unwrap_or_else(|| panic!("{said:?}"))
}

fn input(text: &str) -> Input {
    let options = ReadOptions { ends: SegmentEnds::Lenient, ..ReadOptions::default() };
    Input::guess(Payload::new(text.to_owned()), options)
}

fn context() -> Context {
    Context {
        id: MessageId::from_bytes([7; 16]),
        received_at: Timestamp(1_767_225_600_000_000),
        channel: "c".into(),
    }
}

fn taken(channel: &Channel, text: &str) -> Taken {
    match channel.judge(&input(text)) {
        Verdict::Take(taken) => taken,
        other => panic!("{other:?}"),
    }
}

fn sent(channel: &Channel, destination: &str, text: &str) -> Outbound {
    match channel.render(destination, &input(text), &context()) {
        Rendered::Send(outbound) => outbound,
        other => panic!("{other:?}"),
    }
}

/// The message after one list of steps.
fn changed(steps: &str, text: &str) -> String {
    let yaml = format!("channel: c\nto:\n  d:\n    change:\n{steps}");
    let body = sent(&channel(&yaml), "d", text).body;
    String::from_utf8(body.to_vec()).unwrap()
}

#[track_caller]
fn step(step: &str, expected: &str) {
    let result = changed(&format!("      - {step}\n"), ADT);
    assert!(
        result.split('\r').any(|line| line == expected),
        "{step}\n{}",
        result.replace('\r', "\n")
    );
}

#[test]
fn steps_change_what_they_name_and_nothing_else() {
    step("set: {MSH-5: LIS}", "MSH|^~\\&|HIS|HOSP|LIS|Y|20260105||ADT^A01|C1|P|2.5.1");
    step("set: {PV1-2: PV1-3.1}", "PV1|1|ICU|ICU^3");
    step("set: {PV1-2: <MSH-3>-<PID-5.1>}", "PV1|1|HIS-zhang|ICU^3");
    step("set: {PV1-3.2: ''}", "PV1|1|I|ICU^");
    step("set: {ZAA-2: x}", "ZAA||x");
    step(
        "copy: {from: PID-3, to: PID-2}",
        "PID|1|P1^^^H^MR~N1^^^G^NI|P1^^^H^MR~N1^^^G^NI||zhang^wei||1980/01/02|f ",
    );
    step("copy: {from: PID-40, to: PV1-2}", "PV1|1|I|ICU^3");
    step("copy: {from: PID-5, to: PV1-3.1}", "PV1|1|I|zhang^3");
    step("trim: PID-8", "PID|1||P1^^^H^MR~N1^^^G^NI||zhang^wei||1980/01/02|f");
    step("case: {upper: [PID-5, PID-5.2]}", "PID|1||P1^^^H^MR~N1^^^G^NI||ZHANG^WEI||1980/01/02|f ");
    step("case: {lower: 'PID-3[*].4'}", "PID|1||P1^^^h^MR~N1^^^g^NI||zhang^wei||1980/01/02|f ");
    step("date: PID-7", "PID|1||P1^^^H^MR~N1^^^G^NI||zhang^wei||19800102|f ");
    step(
        "date: {at: PID-7, from: YYYY/MM/DD, to: DD.MM.YYYY}",
        "PID|1||P1^^^H^MR~N1^^^G^NI||zhang^wei||02.01.1980|f ",
    );
    step("default: {PV1-2: O, PV1-10: MED}", "PV1|1|I|ICU^3|||||||MED");
    step("map: {at: PV1-2, codes: {I: IMP, O: AMB}}", "PV1|1|IMP|ICU^3");
    step("map: {at: PV1-2, codes: {O: AMB}, otherwise: UNK}", "PV1|1|UNK|ICU^3");
    step("split: {from: PID-7, at: /, to: [PV1-5, PV1-6]}", "PV1|1|I|ICU^3||1980|01/02");
    step("join: {from: [PID-5.1, PID-40, PID-5.2], with: ' ', to: PV1-2}", "PV1|1|zhang wei|ICU^3");
    step("remove: [PID-3, PID-7]", "PID|1||||zhang^wei|||f ");
    step("{set: {PV1-2: O}, when: MSH-9.2 is A08}", "PV1|1|I|ICU^3");
    step("{each: NTE, change: [{set: {NTE-3: <NTE-1>-<NTE-3>}}]}", "NTE|2||2-b");
    step(
        "{if: PV1-3.1 is ICU, then: [{set: {PV1-2: C}}], else: [{set: {PV1-2: N}}]}",
        "PV1|1|C|ICU^3",
    );
}

#[test]
fn later_steps_see_earlier_ones() {
    let result = changed(
        "      - set: {PV1-2: X}\n      - copy: {from: PV1-2, to: PV1-4, when: PV1-2 is X}\n",
        ADT,
    );
    assert!(result.contains("PV1|1|X|ICU^3|X\r"), "{result}");
}

#[test]
fn segments_can_be_taken_away_one_by_one() {
    let result =
        changed("      - each: NTE\n        change: [{remove: NTE, when: NTE-3 is a}]\n", ADT);
    assert!(result.contains("NTE|2||b") && !result.contains("NTE|1||a"), "{result}");
    let result = changed("      - remove: [ZXX, NTE]\n", ADT);
    assert!(!result.contains("ZXX") && result.contains("NTE|2||b"), "{result}");
}

#[test]
fn what_nobody_changes_leaves_as_it_came_without_a_copy() {
    let plain =
        channel("channel: c\nto:\n  d: {change: [{set: {PV1-2: I}}]}\n  e: {when: MSH-3 is HIS}\n");
    let odd = "MSH|^~\\&|HIS|||||||1||\r\nPV1|1|I\r\r\nnonsense\n";
    let message = input(odd);
    for destination in ["d", "e"] {
        let Rendered::Send(outbound) = plain.render(destination, &message, &context()) else {
            panic!("{destination} is sent");
        };
        assert_eq!(outbound.body.as_ptr(), message.payload().expose().as_ptr(), "{destination}");
        assert_eq!(outbound.body, Bytes::from_static(odd.as_bytes()));
    }
}

#[test]
fn a_text_the_charset_cannot_write_fails_the_delivery() {
    let latin = channel("channel: c\nto: {d: {change: [{set: {PID-5.1: 张}}]}}\n");
    let text = "MSH|^~\\&|HIS|||||||1|P|2.5||||||8859/1\rPID|1\r";
    let Rendered::Fail(problem) = latin.render("d", &input(text), &context()) else {
        panic!("it fails");
    };
    assert_eq!(problem.cause, "encode");
    assert!(problem.text.contains("PID-5.1") && !problem.text.contains('张'), "{}", problem.text);
}

#[test]
fn a_listener_reads_a_message_as_its_source_did() {
    let listener = channel(
        "channel: c\nfrom: {topic: patient}\nto: {d: {change: [{set: {PID-8: F}}, {set: {PID-6: PID-5.1}}], produce: {json: {name: PID-6}}}}\n",
    );
    let source = channel("channel: s\nfrom: {charset: {otherwise: GB18030}}\n");
    let text = b"MSH|^~\\&|HIS|||||||1|P|2.5\rPID|1||||\xC0\xEE\r".to_vec();
    let message = Input::guess(Payload::new(text), source.read_options);
    let Rendered::Send(outbound) = listener.render("d", &message, &context()) else {
        panic!("it is sent");
    };
    assert_eq!(outbound.body, r#"{"name":"李"}"#);
}

#[test]
fn a_segment_that_is_missing_fails_the_delivery() {
    let wants = channel("channel: c\nto: {d: {change: [{set: {PV2-3: x}}]}}\n");
    let rendered = wants.render("d", &input(ADT), &context());
    assert!(matches!(rendered, Rendered::Fail(problem) if problem.cause == "missing"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let new = channel(
        "channel: c\nto: {d: {produce: {hl7: {type: ADT^A31, segments: [EVN, PID]}}, change: [{set: {EVN-2: now}}]}}\n",
    );
    let (one, other) = (sent(&new, "d", ADT), sent(&new, "d", ADT));
    assert_eq!(one.body, other.body);
    let text = String::from_utf8(one.body.to_vec()).unwrap();
    let id = &*one.id;
    assert_eq!(id.len(), 20);
    let expected = format!(
        "MSH|^~\\&|HIS|HOSP|X|Y|20260101000000.000+0000||ADT^A31|{id}|P|2.5.1\r\
         EVN|A01|20260101000000.000+0000\rPID|1||P1^^^H^MR~N1^^^G^NI||zhang^wei||1980/01/02|f \r"
    );
    assert_eq!(text, expected);
}

#[test]
fn destinations_that_change_alike_share_the_work_and_differ_in_nothing_else() {
    let change = "    change:\n      - set: {MSH-5: HUB, PV1-44: <now>}\n";
    let other = "    change:\n      - set: {MSH-5: OTHER}\n";
    let text = format!(
        "channel: c\nto:\n  a:\n{change}  b:\n{other}  d:\n{change}  \
         e:\n    unmapped_code: pass\n{change}"
    );
    let together = channel(&text);
    let input = input(ADT);
    let of = |name: &str| match together.render(name, &input, &context()) {
        Rendered::Send(outbound) => outbound.body,
        other => panic!("{other:?}"),
    };
    let (a, b, d, e) = (of("a"), of("b"), of("d"), of("e"));
    assert_eq!(a.as_ptr(), d.as_ptr(), "made once");
    assert_ne!(a.as_ptr(), e.as_ptr(), "what happens to unmapped codes is another change");
    for (name, body) in [("a", &a), ("b", &b), ("d", &d), ("e", &e)] {
        let steps = if name == "b" { other } else { change };
        let alone = channel(&format!("channel: c\nto:\n  x:\n{steps}"));
        assert_eq!(sent(&alone, "x", ADT).body, *body, "{name}");
    }
}

#[test]
fn what_stops_one_destination_stops_its_twin() {
    let change = "    change:\n      - map: {at: PV1-2, codes: {A: a}}\n";
    let text = format!("channel: c\nto:\n  a:\n{change}  b:\n{change}");
    let (channel, input) = (channel(&text), input(ADT));
    for name in ["a", "b", "a"] {
        let rendered = channel.render(name, &input, &context());
        assert!(matches!(rendered, Rendered::Hold(_)), "{name}: {rendered:?}");
    }
}

#[test]
fn whole_messages_become_json_of_a_stable_shape() {
    let json = channel("channel: c\nto: {d: {produce: {json: hl7}}}\n");
    let text = "MSH|^~\\&|HIS||||||ADT^A01|1|P|2.5\rPID|1||P1^^^H&1.2&ISO^MR~P2||\"\"|a^\"\"\r";
    let made: serde_json::Value = serde_json::from_slice(&sent(&json, "d", text).body).unwrap();
    assert_eq!(
        made,
        serde_json::json!({"type": "ADT^A01", "version": "2.5", "control_id": "1", "segments": [
            {"segment": "MSH", "fields": {"1": "|", "2": "^~\\&", "3": [{"1": "HIS"}], "9": [{"1": "ADT", "2": "A01"}], "10": [{"1": "1"}], "11": [{"1": "P"}], "12": [{"1": "2.5"}]}},
            {"segment": "PID", "fields": {"1": [{"1": "1"}], "3": [{"1": "P1", "4": {"1": "H", "2": "1.2", "3": "ISO"}, "5": "MR"}, {"1": "P2"}], "5": [null], "6": [{"1": "a", "2": null}]}}
        ]})
    );
}

#[test]
fn templates_leave_out_what_is_empty() {
    let json = channel(concat!(
        "channel: c\nto:\n  d:\n    produce:\n      json:\n        mrn: PID-3(MR).1\n        none: PID-40\n",
        "        fixed: {system: x, version: 1, code: '007', ok: true}\n        gone: {system: x, value: PID-40}\n",
        "        notes: {each: NTE, as: NTE-3}\n        some: {each: NTE, where: NTE-1 is 2, text: NTE-3}\n",
        "        list: [PID-5.1, PID-40]\n",
    ));
    let made: serde_json::Value = serde_json::from_slice(&sent(&json, "d", ADT).body).unwrap();
    assert_eq!(
        made,
        serde_json::json!({"mrn": "P1", "fixed": {"system": "x", "version": 1, "code": "007", "ok": true},
            "notes": ["a", "b"], "some": [{"text": "b"}], "list": ["zhang"]})
    );
}

#[test]
fn lanes_follow_the_key() {
    let keyed = channel(
        "channel: c\norder_by: PID-3(MR).1\nto:\n  a: {}\n  b: {order: strict}\n  c: {order: none}\n  d: {order: PV1-3.1}\n",
    );
    let routes = taken(&keyed, ADT).routes;
    let lane = |lane| Route::Deliver { lane, joins: Joins::NONE };
    assert_eq!(
        routes,
        [lane(Lane::of("P1")), lane(Lane::STRICT), lane(Lane::NONE), lane(Lane::of("ICU"))]
    );
    let plain = channel("channel: c\nto: {a: {}}\n");
    assert_eq!(taken(&plain, ADT).routes, [lane(Lane::STRICT)]);
}

#[test]
fn a_merge_joins_the_lane_that_ends() {
    let keyed = channel("channel: c\norder_by: PID-3(MR).1\nto: {a: {}}\n");
    let merge = |event: &str, mrg: &str| {
        let text = format!("MSH|^~\\&|HIS|||||||{event}|1|P|2.5\rPID|1||P1^^^H^MR\rMRG|{mrg}\r");
        let text = text.replace("|||||||ADT", "||||||ADT");
        match taken(&keyed, &text).routes.first() {
            Some(Route::Deliver { lane, joins }) => (*lane, joins.clone()),
            other => panic!("{other:?}"),
        }
    };
    for event in
        ["ADT^A40", "ADT^A34", "ADT^A18", "ADT^A30", "ADT^A36", "ADT^A39", "ADT^A42", "ADT^A47"]
    {
        assert_eq!(
            merge(event, "P0^^^H^MR"),
            (Lane::of("P1"), Joins::one(Lane::of("P0"))),
            "{event}"
        );
    }
    assert_eq!(merge("ADT^A40", "P0"), (Lane::of("P1"), Joins::one(Lane::of("P0"))));
    assert_eq!(merge("ADT^A40", "P1^^^H^MR").1, Joins::NONE);
    assert_eq!(merge("ADT^A08", "P0^^^H^MR").1, Joins::NONE);
}

#[test]
fn each_group_of_a_merge_joins_its_lanes() {
    for order in ["PID-3(MR).1", "patient.mrn"] {
        let keyed = channel(&format!("channel: c\norder_by: {order}\nto: {{a: {{}}}}\n"));
        for event in ["A39", "A40"] {
            let text = format!(
                "MSH|^~\\&|HIS||||||ADT^{event}|1|P|2.5\rPID|1||P1^^^H^MR\rMRG|P0^^^H^MR\r\
                 PID|2||P3^^^H^MR\rPD1|\rMRG|P2\rPID|3||P5^^^H^MR\rMRG|P1^^^H^MR\r"
            );
            let lanes = ["P0", "P3", "P2", "P5"].map(Lane::of).into_iter();
            let route = Route::Deliver { lane: Lane::of("P1"), joins: lanes.collect() };
            assert_eq!(taken(&keyed, &text).routes, [route], "{order} {event}");
        }
    }
}

#[test]
fn a_repeat_is_known_by_sender_and_control_id() {
    let usual = channel("channel: c\n");
    let rule = |text: &str| taken(&usual, text).duplicate;
    let first = rule(ADT).unwrap();
    assert_eq!((first.within.as_secs(), first.if_changed), (86_400, IfChanged::Hold));
    assert_eq!(rule(ADT), Some(first.clone()));
    let changed = rule(&ADT.replace("ICU", "OPD")).unwrap();
    assert_eq!(changed.identity, first.identity);
    assert_ne!(changed.content, first.content);
    assert_ne!(rule(&ADT.replace("|C1|", "|C2|")).unwrap().identity, first.identity);
    assert_ne!(rule(&ADT.replace("|HOSP|", "|HOSP2|")).unwrap().identity, first.identity);
    assert_eq!(rule(&ADT.replace("|C1|", "||")), None);
    let never = channel("channel: c\naccept: {duplicate: none}\n");
    assert_eq!(taken(&never, ADT).duplicate, None);
}

#[test]
fn refusals_say_where() {
    let strict = channel("channel: c\naccept: {types: [ADT^A01], require: [PID-3, PID-19, PV2]}\n");
    let Verdict::Refuse(problem) = strict.judge(&input(ADT)) else { panic!("it is refused") };
    let place = problem.location.unwrap();
    assert_eq!((problem.code, problem.reject), (101, false));
    assert_eq!(
        (&*place.segment, place.sequence, place.field, place.component),
        ("PID", 1, Some(19), None)
    );
    let other = ADT.replace("ADT^A01", "ADT^A02");
    assert!(
        matches!(strict.judge(&input(&other)), Verdict::Refuse(p) if p.code == 201 && p.reject)
    );
    let other = ADT.replace("ADT^A01", "ORU^R01");
    assert!(
        matches!(strict.judge(&input(&other)), Verdict::Refuse(p) if p.code == 200 && p.reject)
    );
    let Verdict::Refuse(problem) = strict.judge(&input("PID|1")) else { panic!("it is refused") };
    assert!(problem.reject);
}

#[test]
fn what_is_ignored_is_taken_and_goes_nowhere() {
    let lax = channel("channel: c\naccept: {types: [ADT^A08], otherwise: ignore}\nto: {a: {}}\n");
    assert_eq!(taken(&lax, ADT).routes, [Route::Filtered]);
}

#[test]
fn topics_are_heard_by_kind_event_and_name() {
    let hears = |topic: &str, published: Option<&str>| {
        channel(&format!("channel: c\nfrom: {{topic: {topic}}}\n")).hears(
            Kind::Patient,
            "ADT^A01",
            published,
        )
    };
    assert!(
        hears("patient", None)
            && hears("ADT^A01", None)
            && hears("ADT^*", None)
            && hears("ADT", None)
    );
    assert!(!hears("report", None) && !hears("index", None) && !hears("ADT^A02", None));
    assert!(
        hears("index", Some("index")) && hears("'[a, index]'", Some("x")) == hears("b", Some("x"))
    );
    assert!(
        !hears("patient", Some("index")),
        "what is published again is heard under its topic alone"
    );
    let listener = channel("channel: c\nfrom: {topic: patient}\naccept: {types: [ADT^A02]}\n");
    assert!(matches!(listener.judge(&input(ADT)), Verdict::Pass));
}

#[test]
fn keys_are_found_once_each() {
    let keyed = channel(
        "channel: c\nsearch_keys: {id: 'PID-3[*].1', mrn: {path: PID-3(MR).1, mask: true}, none: PID-40}\n",
    );
    let keys = taken(&keyed, ADT).keys;
    let shown: Vec<(&str, &str)> =
        keys.iter().map(|key| (&*key.name, key.value.expose())).collect();
    assert_eq!(shown, [("id", "P1"), ("id", "N1"), ("mrn", "P1")]);
    assert_eq!(keyed.masked_keys().map(|name| &**name).collect::<Vec<_>>(), ["mrn"]);
}

#[test]
fn transport_texts_are_filled_in_and_cannot_break_out() {
    let to = channel(concat!(
        "channel: c\nto:\n  a: {webhook: {url: 'http://h/x/<PV1-3.1>?q=<PID-5.1>'}}\n",
        "  b: {file: {directory: out, name: <PID-5.1>-<MSH-10>.hl7}}\n  c: {channel: 'ward-<PV1-3.1>'}\n",
    ));
    let text = ADT.replace("ICU^3", "../a b^3").replace("zhang^wei", "x/../y^z");
    let attribute = |destination: &str, name: &str| {
        sent(&to, destination, &text).attribute(name).unwrap().to_owned()
    };
    assert_eq!(attribute("a", "url"), "http://h/x/%2E%2E%2Fa%20b?q=x%2F%2E%2E%2Fy");
    assert_eq!(attribute("b", "name"), "x_.._y-C1.hl7");
    assert_eq!(attribute("c", "topic"), "ward-../a b");
}

#[test]
fn json_channels_filter_key_and_route() {
    let json = channel(
        "channel: c\norder_by: $.p.id\nsearch_keys: {mrn: $.p.id}\nto: {a: {when: $.n > 3}, b: {when: '$.tags[*] is x'}}\n",
    );
    let text = r#"{"p": {"id": "P1"}, "n": 5, "tags": ["y", "x"]}"#;
    let found = taken(&json, text);
    let lane = Route::Deliver { lane: Lane::of("P1"), joins: Joins::NONE };
    assert_eq!(found.routes, [lane.clone(), lane]);
    assert_eq!((found.duplicate, found.keys.len()), (None, 1));
    assert_eq!(sent(&json, "a", text).body, text);
    assert!(
        matches!(json.judge(&input("{\"a\": ")), Verdict::Refuse(problem) if problem.text.contains("line 1"))
    );
}

#[test]
fn an_unmapped_code_is_held_passed_refused_or_replaced() {
    let rendered = |policy: &str| {
        let text = format!(
            "channel: c\nto: {{d: {{unmapped_code: {policy}, change: [{{map: {{at: PV1-2, codes: {{O: A}}}}}}]}}}}\n"
        );
        channel(&text).render("d", &input(ADT), &context())
    };
    assert!(
        matches!(rendered("hold"), Rendered::Hold(problem) if problem.cause == "unmapped_code" && problem.detail.contains("\"I\""))
    );
    assert!(
        matches!(rendered("reject"), Rendered::Fail(problem) if problem.cause == "unmapped_code")
    );
    assert!(matches!(rendered("pass"), Rendered::Send(sent) if sent.body == ADT));
    assert!(
        matches!(rendered("{default: '9'}"), Rendered::Send(sent) if sent.body.windows(7).any(|w| w == b"PV1|1|9"))
    );
}

#[test]
fn mistakes_in_the_sections_are_found() {
    let wrong = |text: &str, expected: &str| {
        let (found, said) = read(&format!("channel: c\n{text}\n"));
        assert!(found.is_none(), "{text}");
        assert!(said.iter().any(|line| line.contains(expected)), "{text}: {said:?}");
    };
    wrong("accept: {typs: [ADT]}", "no key typs");
    wrong("accept: {types: [ADT_A01]}", "no message type");
    wrong("accept: {require: [PID-99]}", "E0324");
    wrong("accept: {duplicate: {within: 7}}", "E0104");
    wrong("accept: {duplicate: {same: MSH-4 + MHS-10}}", "E0324");
    wrong("order_by: PIX-3", "E0324");
    wrong("from: {charset: GB1803}", "E0332");
    wrong("search_keys: {mrn: {pth: PID-3}}", "no key pth");
    wrong("to: {d: {change: [{sett: {MSH-5: X}}]}}", "E0316");
    wrong("to: {d: {change: [{set: {MSH-55: X}}]}}", "E0324");
    wrong("to: {d: {change: [{trim: PID}]}}", "E0322");
    wrong("to: {d: {change: [{copy: {form: PID-3, to: PID-2}}]}}", "no key form");
    wrong("to: {d: {change: [{date: {at: PID-7, from: dd/mm}}]}}", "E0323");
    wrong("to: {d: {produce: {jsn: hl7}}}", "no key jsn");
    wrong("to: {d: {produce: {json: {a: datee(PID-7)}}}}", "E0304");
    wrong("to: {d: {produce: {hl7: ADT}}}", "E0330");
    wrong("to: {d: {unmapped_code: hald}}", "E0106");
    wrong("to: {d: {webhook: {url: 'http://h/<PV-3>'}}}", "E0303");
    wrong("tests: [{name: n, send: samples/a.hl7, expect: {ack: AA}}]", "E0351");
    wrong("to: {d: {}}\ntests: [{name: n, send: 'MSH|^~\\&|', expect: {dd: nothing}}]", "E0352");
}

mod fhir;
