//! The reference of what becomes what, made of the maps themselves (`docs/mapping.md`).

use std::fmt::Write as _;

use crate::mapping::to_fhir::convert::BUILT_IN;
use crate::mapping::to_fhir::maps::{Each, Maps, MessageMap};

const INTRODUCTION: &str = include_str!("maps/introduction.md");

/// The page.
#[must_use]
pub fn page(maps: &Maps) -> String {
    let mut page = String::from(INTRODUCTION);
    page.push_str("\n## Messages\n\n| message | becomes |\n| --- | --- |\n");
    for message in maps.all_messages() {
        let mut resources: Vec<&str> =
            message.resources.iter().map(|rule| &*rule.resource).collect();
        resources.dedup();
        let events = message.events.join(" ");
        line(&mut page, format_args!("| {}: {events} | {} |", message.title, resources.join(", ")));
    }
    for message in maps.all_messages() {
        describe(&mut page, message);
    }
    page.push_str(
        "\n## Maps\nA row reads `source -> element`, `as` which type, `when` what holds.\n",
    );
    for (name, map) in maps.all_maps() {
        line(&mut page, format_args!("\n### {name}"));
        if let Some(resource) = &map.resource {
            line(&mut page, format_args!("Makes a {resource} and leaves a reference to it.\n"));
        }
        page.push_str("```text\n");
        for row in &map.rows {
            line(&mut page, format_args!("{}", row.written));
        }
        page.push_str("```\n");
    }
    page.push_str("\n## Built-in types\n\n| name | makes |\n| --- | --- |\n");
    for (name, makes) in BUILT_IN {
        line(&mut page, format_args!("| `{name}` | {makes} |"));
    }
    page.push_str("\n## Tables\n\n| table | codes |\n| --- | --- |\n");
    for (name, table) in maps.all_tables() {
        let mut codes: Vec<String> =
            table.codes.iter().map(|(code, (mapped, _))| format!("{code}→{mapped}")).collect();
        codes.sort_unstable();
        line(&mut page, format_args!("| `{name}`: {} | {} |", table.title, codes.join(", ")));
    }
    page
}

fn describe(page: &mut String, message: &MessageMap) {
    line(page, format_args!("\n### {}", message.title));
    page.push_str("| resource | for each | maps |\n| --- | --- | --- |\n");
    for rule in &message.resources {
        let each = match &rule.each {
            Each::Message => "message".to_owned(),
            Each::Group(group) => {
                message.groups.get(*group).map(|group| group.name.to_string()).unwrap_or_default()
            }
            Each::Segment(segment) => String::from_utf8_lossy(segment).into_owned(),
        };
        let maps: Vec<String> = rule.maps.iter().map(|map| format!("`{map}`")).collect();
        line(page, format_args!("| {} | {each} | {} |", rule.resource, maps.join(", ")));
    }
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _written = writeln!(page, "{text}").is_ok();
}
