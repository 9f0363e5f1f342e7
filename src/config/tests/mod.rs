//! What a directory of files loads to, and what is refused where.

mod access;
mod keys;

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;

use crate::config::from::SourceOptions;
use crate::config::load::{LoadOptions, Loaded, load};
use crate::config::secrets::MissingSecrets;
use crate::config::to::TransportOptions;
use crate::yaml::finding::Severity;
use crate::yaml::report;

const ADT: &str = "\
channel: adt
title: {en: Patient sync from HIS, zh: HIS 患者信息同步}
owner: interfaces@hospital.example
order_by: PID-3(MR).1
from:
  mllp: {listen: 0.0.0.0:6661, allow: 10.20.0.0/16, max_message: 2MiB}
  ack: after_stored
  charset: {from: MSH-18, otherwise: GB18030}
accept:
  types: [ADT^A01, ADT^A08]
  require: [PID-3, PID-5.1]
search_keys:
  mrn: PID-3(MR).1
  name: {path: PID-5, mask: true}
to:
  lis:
    mllp: {host: lis.hospital.example, port: 2575, reply_within: 20s}
    order: strict
    change:
      - set: {MSH-5: LIS, MSH-6: LAB}
      - copy: {from: PID-18.1, to: PID-4.1, when: PID-4 is empty}
  emr:
    webhook: {url: https://emr.hospital.example/hooks/adt, sign: secret/emr-hook}
    retry: {first: 5s, max: 30m, for: 72h, then: dead_letter}
    produce: {json: {gender: 'lookup(PID-8, tables/sex.csv)'}}
  archive:
    when: MSH-9.2 is A01
    file: {directory: archive, name: <MSH-10>.hl7}
";

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn with_secrets() -> LoadOptions {
    let environment = [("MEDWAY_SECRET_EMR_HOOK", "whsec_bWFkZSB1cA=="), ("HOME", "/")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    LoadOptions { environment: environment.into(), ..LoadOptions::default() }
}

fn read(files: &[(&str, &str)]) -> Loaded {
    load(directory(files).path(), &with_secrets())
}

/// The findings as text, the temporary directory cut away.
fn said(loaded: &Loaded, root: &Path) -> String {
    let text = report::text(&loaded.findings, report::Colour::Plain);
    text.replace(&format!("{}/", root.display()), "").replace(&root.display().to_string(), ".")
}

/// Loads `files` beside the table that [`ADT`] uses, and gives the findings as text.
fn findings(files: &[(&str, &str)]) -> String {
    let mut all = vec![("channels/tables/sex.csv", "code,fhir\nM,male\nF,female\n")];
    all.extend(files);
    let directory = directory(&all);
    said(&load(directory.path(), &with_secrets()), directory.path())
}

#[test]
fn a_directory_without_engine_yaml_works() {
    let directory = directory(&[
        ("channels/adt.yaml", ADT),
        ("channels/tables/sex.csv", "code,fhir\nM,male\nF,female\n"),
        ("channels/notes.txt", "no channel"),
        ("channels/.hidden.yaml", "no: channel"),
    ]);
    let loaded = load(directory.path(), &with_secrets());
    assert_eq!(said(&loaded, directory.path()), "");
    assert!(loaded.starts() && loaded.refused.is_empty());
    assert_eq!(loaded.engine.data, directory.path().join("data"));
    let adt = &loaded.channels[0];
    assert_eq!((&*adt.name, adt.title.zh.as_deref()), ("adt", Some("HIS 患者信息同步")));
    let SourceOptions::Mllp(source) = &adt.source else { panic!("{:?}", adt.source) };
    assert_eq!((source.message_bytes_max, source.allow.len()), (2 << 20, 1));
    let names: Vec<_> = adt.destinations.iter().map(|to| to.name.as_str()).collect();
    assert_eq!(names, ["lis", "emr", "archive"]);
    assert!(adt.channel.destinations().map(|name| &**name).eq(names));
    let TransportOptions::Webhook(webhook) = &adt.destinations[1].transport else { panic!() };
    assert_eq!(webhook.sign[0].expose(), "whsec_bWFkZSB1cA==");
    assert_eq!(adt.destinations[1].delivery.retry.first.as_secs(), 5);
    let TransportOptions::File(file) = &adt.destinations[2].transport else { panic!() };
    assert_eq!(file.directory, directory.path().join("channels/archive"));
}

#[test]
fn a_rule_for_repeats_that_outlives_the_messages_is_told() {
    let table = ("channels/tables/sex.csv", "code,fhir\nM,male\n");
    let check = |engine: &str, keeps: &str, within: &str, told: bool| {
        let accept = format!("accept:\n  duplicate: {{within: {within}}}\n");
        let adt = ADT.replace("accept:\n", &accept);
        let adt = adt.replace("to:\n  lis", &format!("{keeps}to:\n  lis"));
        let directory = directory(&[("engine.yaml", engine), ("channels/adt.yaml", &adt), table]);
        let loaded = load(directory.path(), &with_secrets());
        let codes: Vec<&str> = loaded.findings.iter().map(|finding| finding.code).collect();
        let expected: &[&str] = if told { &["E0425"] } else { &[] };
        assert_eq!(codes, expected, "{engine}{keeps}{within}");
        assert!(loaded.starts(), "it is a warning");
    };
    check("", "", "90d", false);
    check("", "", "91d", true);
    check("retention: {messages: 7d}\n", "", "8d", true);
    check("retention: {messages: 7d}\n", "retention: {messages: 30d}\n", "8d", false);
    check("", "retention: {messages: 7d}\n", "8d", true);
}

#[test]
fn a_version_follows_the_channel_and_its_tables() {
    let hash = |adt: &str, table: &str| {
        let loaded = read(&[("channels/adt.yaml", adt), ("channels/tables/sex.csv", table)]);
        loaded.channels[0].hash.clone()
    };
    let table = "code,fhir\nM,male\n";
    let first = hash(ADT, table);
    assert_eq!(first, hash(ADT, table), "the same files, another directory");
    assert_ne!(first, hash(ADT, "code,fhir\nM,man\n"));
    assert_ne!(first, hash(&ADT.replace("20s", "21s"), table));
    assert_eq!(first.len(), 32);
}

#[test]
fn one_bad_file_refuses_its_channel_alone() {
    let lab =
        "channel: lab\nfrom: {mllp: {listen: 0.0.0.0:6662}}\nto: {a: {mlp: {host: a, port: 1}}}\n";
    let loaded = read(&[
        ("channels/adt.yaml", ADT),
        ("channels/lab.yaml", lab),
        ("channels/tables/sex.csv", "code,fhir\nM,male\n"),
    ]);
    assert!(!loaded.starts());
    assert_eq!(loaded.channels.len(), 1);
    assert_eq!(loaded.refused[0].1.as_deref(), Some("lab"));
}

#[test]
fn a_typo_is_shown_with_its_cure() {
    let adt = ADT.replace("  ack: after_stored", "  akc: after_stored");
    insta::assert_snapshot!(findings(&[("channels/adt.yaml", &adt)]), @r#"
    error[E0101]: `akc` is not a key of from
     --> channels/adt.yaml:7:3
      |
    7 |   akc: after_stored
      |   ^^^
      = hint: did you mean `ack`?   fix: medway check --fix
      = more: medway explain E0101

    1 error
    "#);
}

#[test]
fn what_does_not_fit_between_files_is_found() {
    let engine = "admin: {listen: 127.0.0.1:6663}\ntls: {hospital-ca: {ca: tls/ca.pem}}\n\
                  outbound: {allow: [\"*.hospital.example\"]}\n";
    let lab = "channel: adt\nfrom: {mllp: {listen: 0.0.0.0:6661, tls: hospital-cs}}\n\
               to: {a: {mllp: {host: a.elsewhere.example, port: 1}}}\n";
    let ward = "channel: ward\nfrom: {mllp: {listen: 0.0.0.0:6663}}\nto: {a: {channel: alarms}}\n";
    let sub =
        "channel: sub\nfrom: {topic: [alarm, nonsense, patient, ADT^*]}\nto: {a: {channel: x}}\n";
    insta::assert_snapshot!(findings(&[
        ("engine.yaml", engine),
        ("tls/ca.pen", ""),
        ("channels/adt.yaml", ADT),
        ("channels/lab.yaml", lab),
        ("channels/sub.yaml", sub),
        ("channels/ward.yaml", ward),
    ]), @r#"
    error[E0414]: there is no file tls/ca.pem
     --> engine.yaml:2:25
      |
    2 | tls: {hospital-ca: {ca: tls/ca.pem}}
      |                         ^^^^^^^^^^
      = hint: did you mean ca.pen?
      = more: medway explain E0414

    error[E0404]: the channel `adt` is there twice
     --> channels/lab.yaml:1:10
      |
    1 | channel: adt
      |          ^^^ first in channels/adt.yaml
      = hint: give one of them another name
      = more: medway explain E0404

    error[E0406]: port 6661 is taken
     --> channels/lab.yaml:2:23
      |
    2 | from: {mllp: {listen: 0.0.0.0:6661, tls: hospital-cs}}
      |                       ^^^^^^^^^^^^ by channels/adt.yaml:6
      = hint: give one of them another port
      = more: medway explain E0406

    error[E0413]: there is no TLS profile `hospital-cs`
     --> channels/lab.yaml:2:42
      |
    2 | from: {mllp: {listen: 0.0.0.0:6661, tls: hospital-cs}}
      |                                          ^^^^^^^^^^^
      = hint: did you mean `hospital-ca`?   fix: medway check --fix
      = more: medway explain E0413

    error[E0412]: a.elsewhere.example:1 is not in outbound.allow of engine.yaml
     --> channels/lab.yaml:3:23
      |
    3 | to: {a: {mllp: {host: a.elsewhere.example, port: 1}}}
      |                       ^^^^^^^^^^^^^^^^^^^
      = hint: add it there, or correct the host
      = more: medway explain E0412

    error[E0407]: nobody publishes the topic `alarm`
     --> channels/sub.yaml:2:16
      |
    2 | from: {topic: [alarm, nonsense, patient, ADT^*]}
      |                ^^^^^
      = hint: did you mean `alarms`?   fix: medway check --fix
      = more: medway explain E0407

    warning[E0407]: nobody publishes the topic `nonsense`
     --> channels/sub.yaml:2:23
      |
    2 | from: {topic: [alarm, nonsense, patient, ADT^*]}
      |                       ^^^^^^^^
      = hint: a destination publishes it with `channel: {topic: nonsense}`; kinds are: patient, report, device, order, schedule, document, immunization, pharmacy, finance, master, query, ack, other
      = more: medway explain E0407

    error[E0406]: port 6663 is taken
     --> channels/ward.yaml:2:23
      |
    2 | from: {mllp: {listen: 0.0.0.0:6663}}
      |                       ^^^^^^^^^^^^ by the admin API (engine.yaml)
      = hint: give one of them another port
      = more: medway explain E0406

    7 errors, 1 warning
    "#);
}

#[test]
fn topics_that_lead_in_a_circle_are_refused() {
    let channel = |name: &str, hears: &str, publishes: &str| {
        format!("channel: {name}\nfrom: {{topic: {hears}}}\nto: {{a: {{channel: {publishes}}}}}\n")
    };
    let (a, b, c) = (channel("a", "x", "y"), channel("b", "[y]", "z"), channel("c", "z", "x"));
    let check = |files: &[(&str, &str)], expected: &[&str]| {
        let said = findings(files);
        let found: Vec<&str> = said.lines().filter(|line| line.contains("E0408]")).collect();
        assert_eq!(found, expected, "{said}");
    };
    let back = |topic| {
        format!("error[E0408]: the topic `{topic}` comes back to the channel that publishes it")
    };
    check(&[("channels/a.yaml", &a), ("channels/b.yaml", &b)], &[]);
    check(
        &[("channels/a.yaml", &a), ("channels/b.yaml", &b), ("channels/c.yaml", &c)],
        &[&back("y"), &back("z"), &back("x")],
    );
    check(&[("channels/d.yaml", &channel("d", "x", "x"))], &[&back("x")]);
}

#[test]
fn a_source_that_contradicts_itself_is_refused() {
    let channel = "\
channel: many
from:
  mllp: {listen: 0.0.0.0:7001, senders: [{certificate: his}], allow: 10.20.1.0/16}
to:
  a: {mllp: {host: h.example, frame_end: XY}}
";
    insta::assert_snapshot!(findings(&[("channels/many.yaml", channel)]), @r#"
    error[E0418]: `senders` are named by their certificates, but there is no `tls`
     --> channels/many.yaml:3:41
      |
    3 |   mllp: {listen: 0.0.0.0:7001, senders: [{certificate: his}], allow: 10.20.1.0/16}
      |                                         ^^^^^^^^^^^^^^^^^^^^
      = hint: add `tls: NAME` of a profile with client_auth: required
      = more: medway explain E0418

    error[E0104]: allow: `10.20.1.0/16` has bits set behind its prefix; the network is `10.20.0.0/16`
     --> channels/many.yaml:3:70
      |
    3 |   mllp: {listen: 0.0.0.0:7001, senders: [{certificate: his}], allow: 10.20.1.0/16}
      |                                                                      ^^^^^^^^^^^^
      = hint: write the network itself   fix: medway check --fix
      = more: medway explain E0104

    error[E0102]: `port` is missing beside `host`
     --> channels/many.yaml:5:20
      |
    5 |   a: {mllp: {host: h.example, frame_end: XY}}
      |                    ^^^^^^^^^
      = hint: add e.g. `port: 2575`
      = more: medway explain E0102

    error[E0104]: `XY` is no row of one to four bytes
     --> channels/many.yaml:5:42
      |
    5 |   a: {mllp: {host: h.example, frame_end: XY}}
      |                                          ^^
      = hint: write two hexadecimal digits a byte, e.g. 1C0D
      = more: medway explain E0104

    4 errors
    "#);
}

#[test]
fn a_receiver_that_contradicts_itself_is_refused() {
    let channel = "\
channel: many
from: {mllp: {listen: 0.0.0.0:7001}}
to:
  a:
    mllp: {endpoints: [x.example:1, x.example:1], port: 3, in_flight: 2, control_id: ignored}
    on_ack: {AEE: retry, AE: retry}
    retry: {first: 10m, max: 5m, for: 2 days}
";
    insta::assert_snapshot!(findings(&[("channels/many.yaml", channel)]), @r#"
    error[E0420]: x.example:1 stands twice among the endpoints
     --> channels/many.yaml:5:37
      |
    5 |     mllp: {endpoints: [x.example:1, x.example:1], port: 3, in_flight: 2, control_id: ignored}
      |                                     ^^^^^^^^^^^
      = hint: remove one
      = more: medway explain E0420

    error[E0107]: `port` goes with `host`; endpoints name their ports
     --> channels/many.yaml:5:57
      |
    5 |     mllp: {endpoints: [x.example:1, x.example:1], port: 3, in_flight: 2, control_id: ignored}
      |                                                         ^
      = hint: remove it, and write endpoints as host:port
      = more: medway explain E0107

    error[E0420]: answers without a control id cannot be told apart with several messages in flight
     --> channels/many.yaml:5:86
      |
    5 |     mllp: {endpoints: [x.example:1, x.example:1], port: 3, in_flight: 2, control_id: ignored}
      |                                                                                      ^^^^^^^
      = hint: set `in_flight: 1`, or `control_id: required`
      = more: medway explain E0420

    error[E0419]: on_ack: nobody answers `AEE`
     --> channels/many.yaml:6:14
      |
    6 |     on_ack: {AEE: retry, AE: retry}
      |              ^^^
      = hint: did you mean `AE`?   fix: medway check --fix
      = more: medway explain E0419

    error[E0420]: retry: the first wait (600s) is longer than the longest (300s)
     --> channels/many.yaml:7:30
      |
    7 |     retry: {first: 10m, max: 5m, for: 2 days}
      |                              ^^
      = hint: make `first` shorter or `max` longer
      = more: medway explain E0420

    error[E0104]: for: `2 days` is written `2d`
     --> channels/many.yaml:7:39
      |
    7 |     retry: {first: 10m, max: 5m, for: 2 days}
      |                                       ^^^^^^
      = hint: write e.g. 24h, or `ever`   fix: medway check --fix
      = more: medway explain E0104

    6 errors
    "#);
}

#[test]
fn a_webhook_that_contradicts_itself_is_refused() {
    let channel = "\
channel: many
from: {mllp: {listen: 0.0.0.0:7001}}
to:
  b:
    webhook:
      url: https://u:p@h.example/
      token: secret/emr-hook
      basic: {user: me, password: secret/emr-hook}
      headers: {Content-Length: 1, X-Api-Key: abc}
    produce: {json: hl7}
";
    insta::assert_snapshot!(findings(&[("channels/many.yaml", channel)]), @r#"
    error[E0109]: url: a user or password stands in the URL
     --> channels/many.yaml:6:12
      |
    6 |       url: **********************
      |            ^^^^^^^^^^^^^^^^^^^^^^
      = hint: use `token: secret/NAME` or `headers` with a secret instead
      = more: medway explain E0109

    error[E0107]: `token` and `basic` exclude each other
     --> channels/many.yaml:8:14
      |
    8 |       basic: {user: me, password: secret/emr-hook}
      |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      = hint: keep what the receiver asks for
      = more: medway explain E0107

    error[E0421]: headers: `Content-Length` is set by the engine itself
     --> channels/many.yaml:9:17
      |
    9 |       headers: {Content-Length: 1, X-Api-Key: abc}
      |                 ^^^^^^^^^^^^^^
      = hint: remove it; `content_type`, `token` and `sign` have keys of their own
      = more: medway explain E0421

    error[E0109]: X-Api-Key: a secret stands in the file itself
     --> channels/many.yaml:9:47
      |
    9 |       headers: {Content-Length: 1, X-Api-Key: ***}
      |                                               ^^^
      = hint: write secret/NAME; its value stands in the file NAME of the secrets directory or in the environment (MEDWAY_SECRET_NAME)
      = more: medway explain E0109

    4 errors
    "#);
}

#[test]
fn secrets_come_from_the_environment_or_a_file_and_are_never_shown() {
    let adt = ADT.replace("secret/emr-hook", "secret/emr-hok");
    let said = findings(&[("channels/adt.yaml", &adt)]);
    assert!(said.contains("error[E0410]: secret/emr-hok cannot be found"), "{said}");
    assert!(said.contains("did you mean secret/emr-hook?   fix:"), "{said}");
    assert!(!said.contains("whsec_"));
    let literal = ADT.replace("secret/emr-hook", "whsec_bWFkZSB1cA==");
    let said = findings(&[("channels/adt.yaml", &literal)]);
    assert!(said.contains("error[E0109]: sign: a secret stands in the file itself"), "{said}");
    let files = directory(&[
        ("channels/adt.yaml", &adt),
        ("channels/tables/sex.csv", "code,fhir\nM,male\n"),
        ("secrets/emr-hok", "from a file\n"),
    ]);
    let loaded = load(files.path(), &LoadOptions::default());
    let TransportOptions::Webhook(webhook) = &loaded.channels[0].destinations[1].transport else {
        panic!()
    };
    assert_eq!(webhook.sign[0].expose(), "from a file");
    assert!(!format!("{loaded:?}").contains("from a file"));
}

#[test]
fn away_from_its_machine_a_missing_secret_is_a_warning() {
    let files = directory(&[
        ("channels/adt.yaml", ADT),
        ("channels/tables/sex.csv", "code,fhir\nM,male\n"),
    ]);
    let options = LoadOptions { missing_secrets: MissingSecrets::Warn, ..LoadOptions::default() };
    let loaded = load(files.path(), &options);
    assert!(loaded.starts());
    assert_eq!(loaded.findings[0].severity, Severity::Warning);
    assert!(!load(files.path(), &LoadOptions::default()).starts());
}

#[test]
fn engine_yaml_is_read() {
    let engine = "data: /var/lib/medway\nadmin: {listen: 0.0.0.0:9000, token: secret/emr-hook}\n\
                  retention: {messages: 10d}\nlog: {level: debug, format: json}\n\
                  limits: {store_bytes: 1GiB}\nsecrets: {directory: keys}\n";
    let files = directory(&[("engine.yaml", engine), ("channels/a.txt", "")]);
    let loaded = load(files.path(), &with_secrets());
    assert!(loaded.starts(), "{}", said(&loaded, files.path()));
    let engine = loaded.engine;
    assert_eq!(engine.data, Path::new("/var/lib/medway"));
    assert_eq!((engine.admin.listen.port(), engine.admin.token.is_some()), (9000, true));
    assert_eq!(engine.retention.messages.as_secs(), 10 * 86_400);
    assert_eq!((engine.log_level.as_str(), engine.store.size_bytes_max), ("debug", Some(1 << 30)));
    assert_eq!(engine.secrets.directory, files.path().join("keys"));
}

#[test]
fn an_open_admin_api_is_refused() {
    let said =
        findings(&[("engine.yaml", "admin: {listen: 0.0.0.0:9000}\n"), ("channels/adt.yaml", ADT)]);
    assert!(said.contains("error[E0416]"), "{said}");
}

#[test]
fn files_that_cannot_be_read_are_findings_too() {
    let files = directory(&[("channels/a.yaml", "")]);
    let missing = LoadOptions { files: vec![files.path().join("none.yaml")], ..with_secrets() };
    assert!(said(&load(files.path(), &missing), files.path()).contains("error[E0401]"));
    std::fs::write(files.path().join("channels/a.yaml"), b"channel: \xC4\xE3").unwrap();
    assert!(said(&load(files.path(), &with_secrets()), files.path()).contains("is not UTF-8"));
    let nothing = TempDir::new().unwrap();
    assert!(said(&load(nothing.path(), &with_secrets()), nothing.path()).contains("E0401"));
}

#[test]
fn fixes_mend_the_file() {
    let broken = ADT.replace("retry:", "rety:").replace("after_stored", "after_store");
    let files = directory(&[
        ("channels/adt.yaml", &broken),
        ("channels/tables/sex.csv", "code,fhir\nM,male\nF,female\n"),
    ]);
    let loaded = load(files.path(), &with_secrets());
    let name = &loaded.findings[0].source.name;
    let (fixed, applied) = report::apply_fixes(name, &broken, &loaded.findings);
    assert_eq!((fixed.as_str(), applied), (ADT, 2));
}

#[test]
fn the_environment_of_others_is_not_kept() {
    let environment = BTreeMap::from([("PATH".to_owned(), "/private".to_owned())]);
    let options = LoadOptions { environment, ..LoadOptions::default() };
    let loaded = load(TempDir::new().unwrap().path(), &options);
    assert!(!format!("{:?}", loaded.engine).contains("/private"));
}

#[test]
fn a_receiver_may_connect_to_us_and_answer_with_a_byte() {
    let reverse = |listen: &str, more: &str| {
        ADT.replace(
            "mllp: {host: lis.hospital.example, port: 2575, reply_within: 20s}",
            &format!("mllp: {{listen: {listen}{more}}}"),
        )
    };
    let guarded = "{at: 0.0.0.0:6670, allow: 10.20.0.7}";
    let files = directory(&[
        ("channels/adt.yaml", &reverse(guarded, ", answer: byte")),
        ("channels/tables/sex.csv", "code,fhir\nM,male\nF,female\n"),
    ]);
    let loaded = load(files.path(), &with_secrets());
    assert!(loaded.starts(), "{}", said(&loaded, files.path()));
    let TransportOptions::Mllp(mllp) = &loaded.channels[0].destinations[0].transport else {
        panic!("it is MLLP");
    };
    let listen = mllp.listen.as_ref().unwrap();
    assert_eq!((listen.address.port(), listen.allow.len()), (6670, 1));
    assert!(mllp.endpoints.is_empty());
    let refused = |listen: &str, more: &str, why: &str| {
        let text = findings(&[("channels/adt.yaml", &reverse(listen, more))]);
        assert!(text.contains(why), "{listen}{more}: {text}");
    };
    refused("0.0.0.0:6670", "", "everybody may connect");
    refused(guarded, ", answer: byte, in_flight: 2", "without a control id");
    refused(guarded, ", answer: byte, commit_ack: wait", "a second answer");
    refused("{at: 0.0.0.0:6661, allow: 10.20.0.7}", "", "port 6661 is taken");
}

#[test]
fn a_channel_may_keep_its_messages_for_another_time() {
    let text = ADT.replace("to:\n  lis", "retention: {bodies: 7d}\nto:\n  lis");
    let files = directory(&[
        ("channels/adt.yaml", &text),
        ("channels/tables/sex.csv", "code,fhir\nM,male\nF,female\n"),
    ]);
    let loaded = load(files.path(), &with_secrets());
    assert!(loaded.starts(), "{}", said(&loaded, files.path()));
    let own = loaded.channels[0].retention;
    assert_eq!((own.bodies.map(|age| age.as_secs()), own.messages), (Some(7 * 86_400), None));
}
