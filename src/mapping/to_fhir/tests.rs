//! The maps of the engine are sound.
use super::*;

#[test]
fn the_maps_have_no_findings() {
    let (_, findings) = maps::compile_own();
    let said: Vec<String> = findings
        .iter()
        .map(|finding| {
            let (line, column) = finding.source.line_column(finding.span.start);
            format!("{}:{line}:{column} {}", finding.source.name, finding.message)
        })
        .collect();
    assert_eq!(said, Vec::<String>::new());
}
