//! `$validate` (FHIR R4 resource-operation-validate.html): 200 with an outcome whenever it could be run.

use serde_json::Value;

use crate::fhir::json::resource_type;
use crate::fhir::outcome::{Issue, outcome};
use crate::fhir::validate::validate;
use crate::message::resource::ResourceKey;
use crate::resources::condition::of_store;
use crate::resources::fault::{Fault, bad, gone, not_found};
use crate::resources::plan::{check_id, live};
use crate::source::fhir::access::scope::Permission;
use crate::source::fhir::answer::Answer;
use crate::source::fhir::ask::{Ask, Sent};
use crate::source::fhir::desk::Desk;

/// What is to be validated, and how.
struct Wanted {
    resource: Option<Value>,
    mode: Option<String>,
    profile: Option<String>,
}

impl Desk {
    pub(super) async fn validate(
        &self,
        ask: &Ask,
        kind: Option<&str>,
        id: Option<&str>,
    ) -> Result<Answer, Fault> {
        if let Some(kind) = kind {
            self.rules.check_kind(kind)?;
        }
        let wanted = self.wanted(ask)?;
        let mut issues = Vec::new();
        let stored = match (kind, id) {
            (Some(kind), Some(id)) => Some(self.stored(ask, kind, id).await?),
            _ => None,
        };
        match wanted.mode.as_deref() {
            // FHIR R4 resource-operation-validate.html: for a delete there is nothing to look at but
            // whether it could be done.
            Some("delete") => {
                stored.ok_or_else(|| bad("mode", "mode delete is for one resource"))?;
                return Ok(Answer::of(200, outcome(&[])));
            }
            None | Some("create" | "update" | "profile") => {}
            Some(_) => return Err(bad("mode", "mode is create, update, delete or profile")),
        }
        let resource = wanted.resource.or(stored);
        let resource =
            resource.ok_or_else(|| bad("resource", "there is no resource to validate"))?;
        let is = resource_type(&resource);
        match (kind, is) {
            (_, None) => issues.push(error("structure", "the resource does not name its type")),
            (Some(kind), Some(is)) if kind != is => {
                issues.push(error("invalid", "the resource is of another type than the URL names"));
            }
            _ => issues.extend(validate(&resource)),
        }
        if wanted.mode.as_deref() == Some("update") && resource.get("id").is_none() {
            issues.push(error("required", "an update needs the id of the resource"));
        }
        if wanted.profile.is_some() {
            let text =
                "profiles are not checked here; the resource was validated against FHIR R4 itself";
            issues.push(Issue { severity: "warning", ..error("not-supported", text) });
        }
        Ok(Answer::of(200, outcome(&issues)))
    }

    /// A bare resource, or a Parameters with `resource`, `mode` and `profile`.
    fn wanted(&self, ask: &Ask) -> Result<Wanted, Fault> {
        let own = |name: &str| ask.parameter(name).map(ToOwned::to_owned);
        let mut wanted = Wanted { resource: None, mode: own("mode"), profile: own("profile") };
        let empty = match &ask.sent {
            Sent::Nothing => true,
            Sent::Bytes(bytes, _) => bytes.is_empty(),
            Sent::Value(_) => false,
        };
        if empty {
            return Ok(wanted);
        }
        let body = ask.body(|bytes, name| self.resource(bytes, name))?.value;
        if resource_type(&body) != Some("Parameters") {
            wanted.resource = Some(body);
            return Ok(wanted);
        }
        let parameters = body.get("parameter").and_then(Value::as_array);
        for parameter in parameters.into_iter().flatten() {
            let value = |name: &str| parameter.get(name).and_then(Value::as_str).map(str::to_owned);
            match parameter.get("name").and_then(Value::as_str) {
                Some("resource") => wanted.resource = parameter.get("resource").cloned(),
                Some("mode") => wanted.mode = value("valueCode").or(wanted.mode),
                Some("profile") => {
                    wanted.profile =
                        value("valueUri").or(value("valueCanonical")).or(wanted.profile);
                }
                _ => {}
            }
        }
        Ok(wanted)
    }

    async fn stored(&self, ask: &Ask, kind: &str, id: &str) -> Result<Value, Fault> {
        ask.caller.principal.may(kind, Permission::Read)?;
        check_id(id)?;
        let found = self.parts.store.resource(&ResourceKey::new(kind, id)).await;
        let version = found.map_err(of_store)?;
        let version = version.ok_or_else(|| not_found("there is no such resource"))?;
        live(&version).ok_or_else(gone)
    }
}

fn error(code: &'static str, text: &str) -> Issue {
    Issue::error(code, "validate", text)
}
