//! The maps as data: read from YAML with places, checked, ready to be applied. A site's own file has the
//! same form and is laid over the maps of the engine.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::mapping::to_fhir::convert::BUILT_IN;
use crate::mapping::to_fhir::groups::GroupKind;
use crate::mapping::to_fhir::language::{self, Row, Source, Test};
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Node, Source as File, Value};
use crate::yaml::parse;

/// The engine's own maps.
const OWN: [(&str, &str); 12] = [
    ("types.yaml", include_str!("maps/types.yaml")),
    ("people.yaml", include_str!("maps/people.yaml")),
    ("visits.yaml", include_str!("maps/visits.yaml")),
    ("results.yaml", include_str!("maps/results.yaml")),
    ("orders.yaml", include_str!("maps/orders.yaml")),
    ("schedules.yaml", include_str!("maps/schedules.yaml")),
    ("documents.yaml", include_str!("maps/documents.yaml")),
    ("pharmacy.yaml", include_str!("maps/pharmacy.yaml")),
    ("devices.yaml", include_str!("maps/devices.yaml")),
    ("tables.yaml", include_str!("maps/tables.yaml")),
    ("systems.yaml", include_str!("maps/systems.yaml")),
    ("units.yaml", include_str!("maps/units.yaml")),
];

/// Everything that says how messages become resources.
#[derive(Debug, Clone, Default)]
pub struct Maps {
    messages: Vec<Arc<MessageMap>>,
    maps: HashMap<Box<str>, Arc<RowMap>>,
    tables: HashMap<Box<str>, Arc<CodeTable>>,
    systems: HashMap<Box<str>, Box<str>>,
    units: HashMap<Box<str>, Box<str>>,
}

/// What a message becomes.
#[derive(Debug)]
pub(super) struct MessageMap {
    pub(super) name: Box<str>,
    pub(super) title: Box<str>,
    /// `ADT^A01`.
    pub(super) events: Vec<Box<str>>,
    /// Only messages of which this holds; the first map that fits is taken.
    pub(super) when: Vec<Test>,
    pub(super) groups: Vec<GroupKind>,
    pub(super) resources: Vec<Rule>,
}

/// One kind of resource that is made of a message.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) resource: Box<str>,
    /// How others refer to it.
    pub(super) name: Box<str>,
    pub(super) each: Each,
    pub(super) when: Vec<Test>,
    /// The same identity is the same resource; otherwise a second one of the same identity is numbered.
    pub(super) shared: bool,
    /// The message is about something else and says of it what it happens to know: an update must not
    /// replace what is known better.
    pub(super) context: bool,
    /// Without an identity: made for this message alone, or not at all.
    pub(super) of_message: bool,
    pub(super) identity: Vec<Vec<IdentityPart>>,
    pub(super) maps: Vec<Box<str>>,
}

/// For what a resource is made.
#[derive(Debug)]
pub(super) enum Each {
    /// Once.
    Message,
    /// For each group of a kind.
    Group(usize),
    /// For each segment of a name.
    Segment([u8; 3]),
}

/// Rows with a name.
#[derive(Debug)]
pub(super) struct RowMap {
    /// It makes a resource of its own and leaves a reference to it.
    pub(super) resource: Option<Box<str>>,
    /// Made only when these all hold.
    pub(super) needs: Vec<Test>,
    pub(super) identity: Vec<Vec<IdentityPart>>,
    /// What people read where the reference stands.
    pub(super) display: Vec<Source>,
    pub(super) rows: Vec<Row>,
}

/// A part of what identifies a resource.
#[derive(Debug)]
pub(super) struct IdentityPart {
    pub(super) how: Identified,
    pub(super) sources: Vec<Source>,
    pub(super) is_optional: bool,
}

/// How a value identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identified {
    /// By its text.
    Text,
    /// As a CX: value, authority, type.
    Cx,
    /// As an EI: value, authority.
    Ei,
    /// As an XCN: value, authority.
    Person,
    /// As a CNN: value, authority.
    Cnn,
    /// As an XON: value, authority.
    Organization,
}

/// A v2 table and what its codes are in FHIR.
#[derive(Debug)]
pub(super) struct CodeTable {
    /// What people call it.
    pub(super) title: Box<str>,
    /// The system of the FHIR codes.
    pub(super) system: Option<Box<str>>,
    /// The system of the v2 codes.
    pub(super) from: Option<Box<str>>,
    pub(super) codes: HashMap<Box<str>, (Box<str>, Option<Box<str>>)>,
}

/// The engine's own maps, compiled once. What would be wrong with them is found by the tests.
pub fn own() -> &'static Arc<Maps> {
    static OWN_MAPS: LazyLock<Arc<Maps>> = LazyLock::new(|| Arc::new(compile_own().0));
    &OWN_MAPS
}

/// Compiles the engine's own maps and says what is wrong with them.
pub(super) fn compile_own() -> (Maps, Vec<Finding>) {
    let mut maps = Maps::default();
    let mut findings = Vec::new();
    for (name, text) in OWN {
        let file = File { name: format!("maps/{name}"), text: text.to_owned() };
        let (root, found) = parse::parse(Arc::new(file));
        findings.extend(found);
        if let Some(root) = root {
            maps.read(&root, &mut findings);
        }
    }
    maps.check(&mut findings);
    (maps, findings)
}

impl Maps {
    /// These maps with a site's file laid over them: what it names anew replaces what had the name.
    #[must_use]
    pub fn with(&self, root: &Node) -> (Self, Vec<Finding>) {
        let mut maps = self.clone();
        let mut findings = Vec::new();
        maps.read(root, &mut findings);
        maps.check(&mut findings);
        (maps, findings)
    }

    /// The maps for an event, in the order in which they are tried.
    pub(super) fn messages(&self, event: &str) -> impl Iterator<Item = &Arc<MessageMap>> {
        self.messages.iter().filter(move |map| map.events.iter().any(|own| **own == *event))
    }

    /// The events that have a map, sorted.
    #[must_use]
    pub fn events(&self) -> Vec<&str> {
        let all = self.messages.iter().flat_map(|map| map.events.iter());
        let mut events: Vec<&str> = all.map(|event| &**event).collect();
        events.sort_unstable();
        events.dedup();
        events
    }

    /// The types of resources that can come out.
    #[must_use]
    pub fn resources(&self) -> Vec<&str> {
        let rules = self.messages.iter().flat_map(|map| &map.resources);
        let inner = self.maps.values().filter_map(|map| map.resource.as_deref());
        let mut names: Vec<&str> = rules.map(|rule| &*rule.resource).chain(inner).collect();
        names.push("Provenance");
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn all_messages(&self) -> &[Arc<MessageMap>] {
        &self.messages
    }

    pub(super) fn map(&self, name: &str) -> Option<&Arc<RowMap>> {
        self.maps.get(name)
    }

    pub(super) fn all_maps(&self) -> Vec<(&str, &RowMap)> {
        let mut all: Vec<_> = self.maps.iter().map(|(name, map)| (&**name, &**map)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }

    pub(super) fn table(&self, name: &str) -> Option<&CodeTable> {
        self.tables.get(name).map(|table| &**table)
    }

    pub(super) fn all_tables(&self) -> Vec<(&str, &CodeTable)> {
        let mut all: Vec<_> = self.tables.iter().map(|(name, table)| (&**name, &**table)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all
    }

    /// The URI of a coding system by its v2 name (HL7 table 0396).
    pub(super) fn system(&self, name: &str) -> Option<&str> {
        self.systems.get(name).map(|uri| &**uri)
    }

    /// The UCUM unit that is meant by a spelling.
    pub(super) fn unit(&self, spelling: &str) -> Option<&str> {
        self.units.get(spelling).map(|unit| &**unit)
    }

    fn read(&mut self, root: &Node, findings: &mut Vec<Finding>) {
        const SECTIONS: [&str; 5] = ["messages", "maps", "tables", "systems", "units"];
        if !matches!(root.value, Value::Mapping(_)) {
            let finding = Finding::error("E0360", root, "a file of maps is a mapping");
            findings.push(finding.hint(format!("its keys: {}", SECTIONS.join(", "))));
        }
        for (key, node) in root.entries() {
            match key.text.as_str() {
                "messages" => self.read_messages(node, findings),
                "maps" => self.read_maps(node, findings),
                "tables" => self.read_tables(node, findings),
                "systems" => pairs(node, &mut self.systems, findings),
                "units" => {
                    pairs(node, &mut self.units, findings);
                    // A unit is a spelling of itself.
                    for unit in self.units.values().cloned().collect::<Vec<_>>() {
                        self.units.insert(unit.clone(), unit);
                    }
                }
                name => {
                    let said = format!("a file of maps has no key {name}");
                    let finding = Finding::at("E0360", &root.source, key.span, said);
                    findings.push(match nearest(name, SECTIONS) {
                        Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
                        None => finding.hint(format!("its keys: {}", SECTIONS.join(", "))),
                    });
                }
            }
        }
    }

    fn read_messages(&mut self, node: &Node, findings: &mut Vec<Finding>) {
        for (name, node) in node.entries() {
            if let Some(map) = message_map(&name.text, node, findings) {
                let map = Arc::new(map);
                match self.messages.iter_mut().find(|known| *known.name == *name.text) {
                    Some(known) => *known = map,
                    None => self.messages.push(map),
                }
            }
        }
    }

    fn read_maps(&mut self, node: &Node, findings: &mut Vec<Finding>) {
        for (name, node) in node.entries() {
            let map = row_map(node, findings);
            self.maps.insert(name.text.as_str().into(), Arc::new(map));
        }
    }

    fn read_tables(&mut self, node: &Node, findings: &mut Vec<Finding>) {
        for (name, node) in node.entries() {
            keys(node, &["title", "system", "from", "codes"], findings);
            let mut codes = HashMap::new();
            for (code, node) in node.get("codes").map(Node::entries).unwrap_or_default() {
                let Some(text) = node.text() else {
                    findings.push(wrong(node, "a code is a text: `code` or `code|display`"));
                    continue;
                };
                let (mapped, display) = match text.split_once('|') {
                    Some((mapped, display)) => (mapped, Some(display.into())),
                    None => (text, None),
                };
                codes.insert(code.text.as_str().into(), (mapped.into(), display));
            }
            let text = |key| node.get(key).and_then(Node::text).map(Into::into);
            let title = node.get("title").and_then(Node::text).unwrap_or_default().into();
            let table = CodeTable { title, system: text("system"), from: text("from"), codes };
            self.tables.insert(name.text.as_str().into(), Arc::new(table));
        }
    }

    /// Whether everything that is named is there. Rows have lost their places here; they are named.
    fn check(&self, findings: &mut Vec<Finding>) {
        let whole = Arc::new(File { name: "maps".to_owned(), text: String::new() });
        let mut miss = |said: String| {
            findings.push(Finding::at("E0360", &whole, crate::yaml::node::Span::default(), said));
        };
        for (name, map) in &self.maps {
            for row in &map.rows {
                let Some(convert) = &row.convert else { continue };
                let known = self.maps.contains_key(&convert.name)
                    || BUILT_IN.iter().any(|(own, _)| **own == *convert.name);
                if !known {
                    miss(format!("{name}: `{}` names nothing: {}", row.written, convert.name));
                }
                let is_table = matches!(
                    &*convert.name,
                    "code" | "known" | "known-boolean" | "concept" | "coding"
                );
                let table = convert.arguments.first().map(|name| &**name).unwrap_or_default();
                if is_table && !self.tables.contains_key(table) {
                    miss(format!("{name}: `{}` names no table", row.written));
                }
            }
        }
        for message in &self.messages {
            for map in message.resources.iter().flat_map(|rule| &rule.maps) {
                if !self.maps.contains_key(map) {
                    miss(format!("{}: there is no map {map}", message.name));
                }
            }
        }
    }
}

fn message_map(name: &str, node: &Node, findings: &mut Vec<Finding>) -> Option<MessageMap> {
    keys(node, &["title", "events", "when", "groups", "resources"], findings);
    let mut groups = vec![GroupKind::message()];
    for (name, node) in node.get("groups").map(Node::entries).unwrap_or_default() {
        keys(node, &["within", "opens", "holds"], findings);
        let within = node.get("within").and_then(Node::text).unwrap_or("message");
        let Some(within) = groups.iter().position(|group| *group.name == *within) else {
            findings.push(wrong(node, format!("there is no group {within} before this one")));
            continue;
        };
        let opens = node.get("opens").map(|node| segments(node, findings)).unwrap_or_default();
        let holds = node.get("holds").map(|node| segments(node, findings));
        groups.push(GroupKind { name: name.text.as_str().into(), within, opens, holds });
    }
    let rules = node.get("resources")?.items();
    let resources = rules.iter().filter_map(|node| rule(node, &groups, findings)).collect();
    Some(MessageMap {
        name: name.into(),
        title: node.get("title").and_then(Node::text).unwrap_or_default().into(),
        events: texts(node.get("events")),
        when: conditions(node.get("when"), findings),
        groups,
        resources,
    })
}

fn rule(node: &Node, groups: &[GroupKind], findings: &mut Vec<Finding>) -> Option<Rule> {
    const KEYS: [&str; 9] = [
        "resource",
        "name",
        "each",
        "when",
        "shared",
        "context",
        "without_identity",
        "identity",
        "maps",
    ];
    keys(node, &KEYS, findings);
    let text = |key| node.get(key).and_then(Node::text);
    let Some(resource) = text("resource") else {
        findings.push(wrong(node, "a rule names its `resource`"));
        return None;
    };
    let each = text("each").unwrap_or("message");
    let each = match groups.iter().position(|group| *group.name == *each) {
        Some(0) => Each::Message,
        Some(group) => Each::Group(group),
        None => match language::segment(each) {
            Some(segment) => Each::Segment(segment),
            None => {
                findings.push(wrong(node, format!("`{each}` is neither a group nor a segment")));
                return None;
            }
        },
    };
    let of_message = match text("without_identity").unwrap_or("of_message") {
        "of_message" => true,
        "none" => false,
        _ => {
            findings.push(wrong(node, "without_identity is `of_message` or `none`"));
            false
        }
    };
    Some(Rule {
        resource: resource.into(),
        name: text("name").unwrap_or(resource).into(),
        each,
        when: conditions(node.get("when"), findings),
        shared: text("shared") == Some("true"),
        context: text("context") == Some("true"),
        of_message,
        identity: identities(node.get("identity"), findings),
        maps: texts(node.get("maps")),
    })
}

fn row_map(node: &Node, findings: &mut Vec<Finding>) -> RowMap {
    let is_list = matches!(node.value, Value::Sequence(_));
    if !is_list {
        keys(node, &["resource", "needs", "identity", "display", "rows"], findings);
    }
    let rows = if is_list { Some(node) } else { node.get("rows") };
    let mut read = Vec::new();
    for node in rows.map(Node::items).unwrap_or_default() {
        match language::row(node.text().unwrap_or_default()) {
            Ok(row) => read.push(row),
            Err(said) => findings.push(wrong(node, said)),
        }
    }
    let display = node.get("display").and_then(Node::text).map(language::sources);
    let display = match display.transpose() {
        Ok(display) => display.unwrap_or_default(),
        Err(said) => {
            findings.push(wrong(node, said));
            Vec::new()
        }
    };
    RowMap {
        resource: node.get("resource").and_then(Node::text).map(Into::into),
        needs: conditions(node.get("needs"), findings),
        identity: identities(node.get("identity"), findings),
        display,
        rows: read,
    }
}

/// `[cx(PID-3), PID-5.1 + PID-7?]`: alternatives, each of parts; with `?` a part may be missing.
fn identities(node: Option<&Node>, findings: &mut Vec<Finding>) -> Vec<Vec<IdentityPart>> {
    let mut alternatives = Vec::new();
    for node in node.map(Node::items).unwrap_or_default() {
        let text = node.text().unwrap_or_default();
        let parts: Result<Vec<_>, _> = text.split(" + ").map(identity_part).collect();
        match parts {
            Ok(parts) => alternatives.push(parts),
            Err(said) => findings.push(wrong(node, said)),
        }
    }
    alternatives
}

fn identity_part(text: &str) -> Result<IdentityPart, String> {
    let (text, is_optional) = match text.trim().strip_suffix('?') {
        Some(text) => (text, true),
        None => (text.trim(), false),
    };
    let (how, text) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some(("cx", inside)) => (Identified::Cx, inside),
        Some(("ei", inside)) => (Identified::Ei, inside),
        Some(("person", inside)) => (Identified::Person, inside),
        Some(("cnn", inside)) => (Identified::Cnn, inside),
        Some(("organization", inside)) => (Identified::Organization, inside),
        _ => (Identified::Text, text),
    };
    Ok(IdentityPart { how, sources: language::sources(text)?, is_optional })
}

fn conditions(node: Option<&Node>, findings: &mut Vec<Finding>) -> Vec<Test> {
    let Some(node) = node else { return Vec::new() };
    match language::condition(node.text().unwrap_or_default()) {
        Ok(tests) => tests,
        Err(said) => {
            findings.push(wrong(node, said));
            Vec::new()
        }
    }
}

fn segments(node: &Node, findings: &mut Vec<Finding>) -> Vec<[u8; 3]> {
    let mut segments = Vec::new();
    for name in texts(Some(node)) {
        match language::segment(&name) {
            Some(segment) => segments.push(segment),
            None => findings.push(wrong(node, format!("`{name}` is no segment"))),
        }
    }
    segments
}

fn texts(node: Option<&Node>) -> Vec<Box<str>> {
    let Some(node) = node else { return Vec::new() };
    match node.text() {
        Some(text) => vec![text.into()],
        None => node.items().iter().filter_map(Node::text).map(Into::into).collect(),
    }
}

fn pairs(node: &Node, into: &mut HashMap<Box<str>, Box<str>>, findings: &mut Vec<Finding>) {
    for (key, node) in node.entries() {
        match node.text() {
            Some(text) => {
                into.insert(key.text.as_str().into(), text.into());
            }
            None => findings.push(wrong(node, "this is a text")),
        }
    }
}

fn keys(node: &Node, known: &[&str], findings: &mut Vec<Finding>) {
    for (key, _) in node.entries() {
        if !known.contains(&key.text.as_str()) {
            let said = format!("there is no key {} here", key.text);
            let finding = Finding::at("E0360", &node.source, key.span, said);
            findings.push(finding.hint(format!("its keys: {}", known.join(", "))));
        }
    }
}

fn wrong(node: &Node, said: impl Into<String>) -> Finding {
    Finding::error("E0360", node, said)
}
