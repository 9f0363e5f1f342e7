//! The CapabilityStatement (FHIR R4 capabilitystatement.html), made from the configuration in force.

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::fhir::definitions;
use crate::fhir::json::compact;
use crate::fhir::search::parameters::{ParameterType, common};
use crate::resources::fault::{Fault, bad};
use crate::resources::lens;
use crate::source::fhir::answer::Answer;
use crate::source::fhir::ask::Ask;
use crate::source::fhir::desk::Desk;
use crate::source::fhir::extension::Offered;

impl Desk {
    pub(super) fn capabilities(&self, ask: &Ask, security: &Value) -> Result<Answer, Fault> {
        match ask.parameter("mode") {
            None | Some("full" | "normative" | "") => {}
            _ => return Err(bad("mode", "mode is full or normative")),
        }
        let statement = self.statement(&ask.caller.base, security);
        // So that a client sees a change of the configuration as a new version. The date is part of it: the
        // engine says when this configuration came into force, an endpoint by itself when it began to listen.
        let version = xxh3_64(&compact(&statement));
        let tags = ask.conditions.if_none_match.as_deref().unwrap_or_default();
        if tags.split(',').any(|tag| tag.trim() == format!("W/\"{version}\"")) {
            return Ok(Answer { version: Some(version), ..Answer::empty(304) });
        }
        Ok(Answer { version: Some(version), ..Answer::of(200, statement) })
    }

    fn statement(&self, base: &str, security: &Value) -> Value {
        let offered = self.parts.extension.offers(&self.channel);
        let all: Vec<&str> = definitions::r4().resource_names().collect();
        let types: Vec<&str> = if self.rules.types.is_empty() {
            all
        } else {
            self.rules.types.iter().map(|kind| &**kind).collect()
        };
        let resources: Vec<Value> =
            types.into_iter().map(|kind| self.resource_entry(kind, &offered)).collect();
        let interactions: Vec<Value> = ["transaction", "batch", "search-system", "history-system"]
            .into_iter()
            .map(code)
            .collect();
        let messaging = self.messaging(base);
        let mut operations = vec![operation(
            "validate",
            "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        )];
        if messaging.is_some() {
            let definition =
                "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message";
            operations.insert(0, operation("process-message", definition));
        }
        let mut statement = json!({
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": self.started.to_string(),
            "kind": "instance",
            "software": {"name": "Medway", "version": env!("CARGO_PKG_VERSION")},
            "implementation": {"description": format!("Medway, channel {}", self.channel), "url": base},
            "fhirVersion": "4.0.1",
            "format": ["application/fhir+json", "json"],
            "patchFormat": [
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/fhir+json",
            ],
            "rest": [{
                "mode": "server",
                "security": security,
                "resource": resources,
                "interaction": interactions,
                "searchParam": everywhere(),
                "operation": operations,
            }],
        });
        if let (Some((messaging, definitions)), Some(members)) =
            (messaging, statement.as_object_mut())
        {
            members.insert("messaging".to_owned(), json!([messaging]));
            if !definitions.is_empty() {
                members.shift_insert(1, "contained".to_owned(), definitions.into());
            }
        }
        self.parts.extension.describe(&self.channel, &mut statement);
        statement
    }

    /// What messages are taken, with the definitions of those that the channel names (FHIR R4
    /// capabilitystatement-definitions.html#CapabilityStatement.messaging.supportedMessage); nothing when it
    /// takes none.
    fn messaging(&self, base: &str) -> Option<(Value, Vec<Value>)> {
        let rules = self.intake.rules();
        let named = rules.events_of(&self.channel, "message");
        // No event has this name: whether all are let in.
        let any = rules.lets_in(&self.channel, "message^");
        if named.is_empty() && !any {
            return None;
        }
        let definitions: Vec<Value> =
            named.iter().enumerate().map(|(at, event)| self.definition(at, event)).collect();
        let mut messaging = json!({
            "endpoint": [{
                "protocol": {
                    "system": "http://terminology.hl7.org/CodeSystem/message-transport",
                    "code": "http",
                },
                "address": format!("{base}/$process-message"),
            }],
            "documentation": if any {
                "Messages of every event are taken; each is stored before it is answered."
            } else {
                "Messages of these events are taken; each is stored before it is answered."
            },
        });
        if let (Some(members), false) = (messaging.as_object_mut(), definitions.is_empty()) {
            let supported: Vec<Value> = (0..definitions.len())
                .map(|at| json!({"mode": "receiver", "definition": format!("#event-{at}")}))
                .collect();
            members.insert("supportedMessage".to_owned(), supported.into());
        }
        Some((messaging, definitions))
    }

    /// An event as its MessageDefinition: what the channel's configuration says of it.
    fn definition(&self, at: usize, event: &str) -> Value {
        let mut definition = json!({
            "resourceType": "MessageDefinition",
            "id": format!("event-{at}"),
            "title": event,
            "status": "active",
            "date": self.started.to_string(),
        });
        if let Some(members) = definition.as_object_mut() {
            // FHIR R4 messageheader.html: an event is a coding or a URI.
            if event.contains(':') {
                members.insert("eventUri".to_owned(), event.into());
            } else {
                members.insert("eventCoding".to_owned(), json!({"code": event}));
            }
        }
        definition
    }

    fn resource_entry(&self, kind: &str, offered: &[Offered]) -> Value {
        let rules = self.intake.rules();
        let lets_in = |event: &str| rules.lets_in(&self.channel, &format!("{kind}^{event}"));
        let interactions: Vec<Value> = [
            ("read", true),
            ("vread", true),
            ("update", lets_in("update")),
            ("patch", lets_in("patch")),
            ("delete", lets_in("delete")),
            ("history-instance", true),
            ("history-type", true),
            ("create", lets_in("create")),
            ("search-type", true),
        ]
        .into_iter()
        .filter(|(_, is_offered)| *is_offered)
        .map(|(name, _)| code(name))
        .collect();
        let mut includes = Vec::new();
        let mut parameters = Vec::new();
        for parameter in lens::parameters(kind) {
            if parameter.kind == ParameterType::Reference {
                includes.push(json!(format!("{kind}:{}", parameter.code)));
            }
            parameters.push(json!({
                "name": parameter.code,
                "definition": format!("http://hl7.org/fhir/SearchParameter/{}", parameter.definition),
                "type": parameter.kind.name(),
            }));
        }
        let mut operations = vec![operation(
            "validate",
            "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        )];
        let own = offered.iter().filter(|one| &*one.kind == kind);
        operations.extend(own.map(|one| operation(&one.name, &one.definition)));
        let mut entry = json!({
            "type": kind,
            "profile": format!("http://hl7.org/fhir/StructureDefinition/{kind}"),
            "interaction": interactions,
            "versioning": "versioned",
            "readHistory": true,
            "updateCreate": self.rules.update_creates && lets_in("update"),
            "conditionalCreate": lets_in("create"),
            "conditionalRead": "full-support",
            "conditionalUpdate": lets_in("update"),
            "conditionalDelete": if lets_in("delete") { "single" } else { "not-supported" },
            "referencePolicy": ["literal", "logical"],
            "searchParam": parameters,
            "operation": operations,
        });
        if let (Some(members), false) = (entry.as_object_mut(), includes.is_empty()) {
            members.insert("searchInclude".to_owned(), includes.into());
        }
        entry
    }
}

/// What searches over all types take, and every type's.
fn everywhere() -> Vec<Value> {
    let special = [("_type", "Resource-type", "token"), ("_has", "Resource-has", "composite")];
    let common = common().iter().map(|one| (one.code, one.definition, one.kind.name()));
    let parameter = |(name, definition, kind)| {
        let definition = format!("http://hl7.org/fhir/SearchParameter/{definition}");
        json!({"name": name, "definition": definition, "type": kind})
    };
    common.chain(special).map(parameter).collect()
}

fn code(name: &str) -> Value {
    json!({"code": name})
}

fn operation(name: &str, definition: &str) -> Value {
    json!({"name": name, "definition": definition})
}
