//! Facts of the standard, spot-checked across versions.

use super::tables::{table, value};
use super::*;

/// `PID-3` in `2.5.1` is `CX`, "Patient Identifier List", and repeats.
fn check_field(version: &str, place: &str, data_type: &str, name: &str, repeats: bool) {
    let (segment, number) = place.split_once('-').unwrap();
    let found = field(Version::parse(version), segment, number.parse().unwrap())
        .unwrap_or_else(|| panic!("{place} is not in {version}"));
    assert_eq!(
        (found.data_type, found.label.en, found.repeats.more_than_once()),
        (data_type, name, repeats),
        "{place} in {version}"
    );
}

#[test]
fn fields_are_what_the_standard_says() {
    for (version, place, data_type, name, repeats) in [
        ("2.1", "PID-3", "CK", "Patient ID Internal ID", false),
        ("2.3", "PID-3", "CX", "Patient ID Internal ID", true),
        ("2.3.1", "PID-3", "CX", "Patient Identifier List", true),
        ("2.5.1", "PID-3", "CX", "Patient Identifier List", true),
        ("2.5.1", "PID-5", "XPN", "Patient Name", true),
        ("2.5.1", "PID-7", "TS", "Date/Time Of Birth", false),
        ("2.8", "PID-7", "DTM", "Date/Time Of Birth", false),
        ("2.5.1", "PID-8", "IS", "Administrative Sex", false),
        ("2.5.1", "PID-18", "CX", "Patient Account Number", false),
        ("2.5.1", "PID-33", "TS", "Last Update Date/Time", false),
        ("2.6", "PID-33", "DTM", "Last Update Date/Time", false),
        ("2.8", "PID-40", "XTN", "Patient Telecommunication Information", true),
        ("2.5.1", "PV1-3", "PL", "Assigned Patient Location", false),
        ("2.5.1", "PV1-7", "XCN", "Attending Doctor", true),
        ("2.5.1", "PV1-19", "CX", "Visit Number", false),
        ("2.5.1", "MRG-1", "CX", "Prior Patient Identifier List", true),
        ("2.5.1", "OBR-2", "EI", "Placer Order Number", false),
        ("2.5.1", "OBR-3", "EI", "Filler Order Number", false),
        ("2.5.1", "OBR-4", "CE", "Universal Service Identifier", false),
        ("2.7", "OBR-4", "CWE", "Universal Service Identifier", false),
        ("2.5.1", "OBR-25", "ID", "Result Status", false),
        ("2.5.1", "OBX-2", "ID", "Value Type", false),
        ("2.5.1", "OBX-3", "CE", "Observation Identifier", false),
        ("2.5.1", "OBX-5", "varies", "Observation Value", true),
        ("2.5.1", "OBX-11", "ID", "Observation Result Status", false),
        ("2.5.1", "OBX-18", "EI", "Equipment Instance Identifier", true),
        ("2.6", "OBX-20", "CWE", "Observation Site", true),
        ("2.5.1", "MSH-9", "MSG", "Message Type", false),
        ("2.5.1", "MSH-10", "ST", "Message Control ID", false),
        ("2.5.1", "MSH-18", "ID", "Character Set", true),
        ("2.5.1", "MSH-21", "EI", "Message Profile Identifier", true),
        ("2.5.1", "ERR-3", "CWE", "HL7 Error Code", false),
        ("2.5.1", "MSA-1", "ID", "Acknowledgment Code", false),
        ("2.5.1", "ORC-1", "ID", "Order Control", false),
        ("2.5.1", "SPM-4", "CWE", "Specimen Type", false),
        ("2.5.1", "NTE-3", "FT", "Comment", true),
        ("2.5.1", "AL1-3", "CE", "Allergen Code/Mnemonic/Description", false),
        ("2.5.1", "IN1-36", "ST", "Policy Number", false),
        ("2.5.1", "TXA-12", "EI", "Unique Document Number", false),
        ("2.5.1", "BHS-11", "ST", "Batch Control ID", false),
        ("2.5.1", "RXA-5", "CE", "Administered Code", false),
    ] {
        check_field(version, place, data_type, name, repeats);
    }
}

#[test]
fn segments_grow_and_come_with_the_versions() {
    let count = |version: &str, id: &str| field_count(Version::parse(version), id);
    assert_eq!(count("2.3.1", "PID"), Some(30));
    assert_eq!(count("2.5.1", "PID"), Some(39));
    assert_eq!(count("2.8", "PID"), Some(40));
    assert_eq!(count("2.5.1", "PV1"), Some(52));
    assert_eq!(count("2.3", "OBX"), Some(17));
    assert_eq!(count("2.5.1", "MSH"), Some(21));
    assert_eq!(count("2.4", "SPM"), None);
    assert_eq!(count("2.5", "SPM"), Some(29));
    assert_eq!(count("2.6", "PRT"), None);
    assert!(count("2.7", "PRT").is_some());
}

#[test]
fn components_follow_the_type_and_the_version() {
    let of = |version: &str, data_type: &str, number| {
        component(Version::parse(version), data_type, number)
            .map(|component| (component.label.en, component.data_type))
    };
    assert_eq!(of("2.5.1", "CX", 1), Some(("ID Number", "ST")));
    assert_eq!(of("2.5.1", "CX", 4), Some(("Assigning Authority", "HD")));
    assert_eq!(of("2.5.1", "CX", 5), Some(("Identifier Type Code", "ID")));
    assert_eq!(of("2.5.1", "HD", 2), Some(("Universal ID", "ST")));
    assert_eq!(of("2.5.1", "XPN", 1), Some(("Family Name", "FN")));
    assert_eq!(of("2.5.1", "XPN", 2).unwrap().0, "Given Name");
    assert_eq!(of("2.5.1", "CE", 7), None);
    assert_eq!(of("2.5.1", "CWE", 9).unwrap().0, "Original Text");
    assert_eq!(of("2.5.1", "PL", 3).unwrap().0, "Bed");
    assert_eq!(of("2.5.1", "ST", 1), None);
    assert_eq!(of("2.5.1", "MSG", 3).unwrap().0, "Message Structure");
}

#[test]
fn an_unknown_version_falls_back_to_the_one_before_it() {
    for (text, known) in [
        ("2.5.1", "2.5.1"),
        ("2.9", "2.8.2"),
        ("2.7.1", "2.7"),
        ("2.3.z", "2.3"),
        ("2.0", "2.1"),
        (" 2.4 ", "2.4"),
        ("", "2.5.1"),
        ("3", "2.5.1"),
        ("two", "2.5.1"),
    ] {
        assert_eq!(Version::parse(text).name(), known, "{text:?}");
    }
}

#[test]
fn names_come_in_two_languages() {
    let version = Version::DEFAULT;
    assert_eq!(segment(version, "PID").unwrap().name.zh, "患者标识");
    assert_eq!(field(version, "PID", 3).unwrap().label.zh, "患者标识列表");
    assert_eq!(field(version, "PV1", 19).unwrap().label.zh, "就诊号");
    assert_eq!(field(version, "OBX", 5).unwrap().label.zh, "观察值");
    assert_eq!(data_type("CX").unwrap().zh, "带校验位的扩展复合标识");
}

#[test]
fn every_name_has_its_chinese() {
    let is_chinese =
        |label: Label| label.zh.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c));
    for version in Version::all() {
        for known in segments(version) {
            assert!(is_chinese(known.name), "{}", known.name.en);
            let missing: Vec<_> = fields(version, known.id)
                .filter(|field| !is_chinese(field.label) && field.label.en != "Ce")
                .map(|field| field.label.en)
                .collect();
            assert!(missing.is_empty(), "{version} {}: {missing:?}", known.id);
        }
    }
    for id in ["CX", "XPN", "XAD", "XTN", "CWE", "CE", "EI", "HD", "PL", "XCN", "SN", "FN"] {
        assert!(is_chinese(data_type(id).unwrap()), "{id}");
        let all = components(Version::DEFAULT, id).filter(|part| part.label.en != "ID");
        assert!(all.into_iter().all(|part| is_chinese(part.label)), "{id}");
    }
}

#[test]
fn table_values_are_explained() {
    assert_eq!(value(1, "F").unwrap(), Label { en: "Female", zh: "女" });
    assert_eq!(value(78, "HH").unwrap().zh, "危急高值");
    assert_eq!(value(357, "101").unwrap().en, "Required field missing");
    assert_eq!(value(1, "Q"), None);
    assert_eq!(table(8).unwrap().zh, "确认代码");
    assert_eq!(table(9999), None);
    assert_eq!(field(Version::DEFAULT, "PID", 8).unwrap().table, Some(1));
}

#[test]
fn a_mistyped_segment_has_a_neighbour() {
    let near = |id: &str| nearest_segment(Version::DEFAULT, id).map(|segment| segment.id);
    assert_eq!(near("PIF"), Some("PID"));
    assert_eq!(near("pid"), Some("PID"));
    assert_eq!(near("???"), None);
}

#[test]
fn every_row_can_be_read() {
    let rows = |letter: char| {
        include_str!("definitions.tsv").lines().filter(|line| line.starts_with([letter])).count()
    };
    let definitions = Definitions::get();
    let read = |ids: Vec<&'static str>, of: &dyn Fn(&str) -> usize| -> usize {
        ids.into_iter().map(of).sum()
    };
    let fields = read(definitions.segment_ids().collect(), &|id| {
        definitions.segment(id).map_or(0, |known| known.fields.len())
    });
    assert_eq!(fields, rows('F'));
    assert!(rows('F') > 4000 && rows('C') > 900);
}
