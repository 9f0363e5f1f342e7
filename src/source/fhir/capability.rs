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
                "operation": [
                    operation("process-message", "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message"),
                    operation("validate", "http://hl7.org/fhir/OperationDefinition/Resource-validate"),
                ],
            }],
            "messaging": [{
                "endpoint": [{
                    "protocol": {
                        "system": "http://terminology.hl7.org/CodeSystem/message-transport",
                        "code": "http",
                    },
                    "address": format!("{base}/$process-message"),
                }],
                "documentation": "Every event is taken that the channel accepts; a message is stored before it is answered.",
            }],
        });
        self.parts.extension.describe(&self.channel, &mut statement);
        statement
    }

    fn resource_entry(&self, kind: &str, offered: &[Offered]) -> Value {
        let interactions: Vec<Value> = [
            "read",
            "vread",
            "update",
            "patch",
            "delete",
            "history-instance",
            "history-type",
            "create",
            "search-type",
        ]
        .into_iter()
        .map(code)
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
            "updateCreate": self.rules.update_creates,
            "conditionalCreate": true,
            "conditionalRead": "full-support",
            "conditionalUpdate": true,
            "conditionalDelete": "single",
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
