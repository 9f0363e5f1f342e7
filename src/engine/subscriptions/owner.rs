//! Who wrote a subscription: what he may read decides what it is sent, at its creation and before each call
//! (backport safety_security.html).
//!
//! It stands sealed in an extension of the resource, so that no client can write himself another. A
//! subscription that the engine made, or that was written while nobody was asked, has none.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Value, json};

use crate::destination::subscriber::Grant;
use crate::engine::subscriptions::read_of;
use crate::engine::subscriptions::vault::Vault;
use crate::fhir::subscription::OWNER;
use crate::source::fhir::access::Principal;
use crate::source::fhir::access::options::AccessOptions;
use crate::source::fhir::access::scope::{Permission, Scopes};

/// Who may use each channel's endpoint today.
#[derive(Debug, Default)]
pub(super) struct Accesses(RwLock<BTreeMap<Box<str>, AccessOptions>>);

impl Accesses {
    pub(super) fn set(&self, channel: &str, options: AccessOptions) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(channel.into(), options);
    }
}

/// The grant of one subscription.
pub(super) struct Owner {
    pub(super) channel: Arc<str>,
    pub(super) who: Option<Principal>,
    pub(super) accesses: Arc<Accesses>,
}

impl Grant for Owner {
    fn may_hear_of(&self, kind: Option<&str>) -> Result<(), Box<str>> {
        let Some(who) = &self.who else { return Ok(()) };
        let all = read_of(&self.accesses.0);
        let Some(access) = all.get(&*self.channel) else {
            return Err("the endpoint it was written through is not there any more".into());
        };
        let scopes = access.scopes_of(who)?;
        match kind {
            Some(kind) if !scopes.allow(kind, Permission::Read) => {
                Err(format!("whoever wrote it may not read {kind} any more").into())
            }
            _ => Ok(()),
        }
    }
}

/// Writes into a Subscription who wrote it. The same writer as before leaves it as it is.
pub(super) fn mark(
    resource: &mut Value,
    previous: Option<&Value>,
    who: &Principal,
    vault: &Vault,
) -> std::io::Result<()> {
    let before = previous.and_then(sealed).filter(|text| opened(text, vault).as_ref() == Some(who));
    let own = match (who.means, before) {
        ("none", _) => None,
        (_, Some(before)) => Some(before.to_owned()),
        (means, None) => {
            let told = json!({"name": who.name, "means": means, "scopes": who.scopes.text()});
            Some(vault.sealed(&told.to_string())?)
        }
    };
    let Value::Object(members) = resource else { return Ok(()) };
    if let Some(Value::Array(list)) = members.get_mut("extension") {
        list.retain(|one| one.get("url").is_none_or(|url| url != OWNER));
        if list.is_empty() {
            members.shift_remove("extension");
        }
    }
    if let Some(own) = own {
        let list = members.entry("extension").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({"url": OWNER, "valueString": own}));
        }
    }
    Ok(())
}

/// Who wrote a Subscription.
pub(super) fn of(resource: &Value, vault: &Vault) -> Option<Principal> {
    opened(sealed(resource)?, vault)
}

fn sealed(resource: &Value) -> Option<&str> {
    let list = resource.get("extension")?.as_array()?;
    list.iter()
        .find(|one| one.get("url").is_some_and(|url| url == OWNER))?
        .get("valueString")?
        .as_str()
}

fn opened(text: &str, vault: &Vault) -> Option<Principal> {
    if !Vault::is_sealed(text) {
        return None;
    }
    let told: Value = serde_json::from_str(vault.opened(text)?.expose()).ok()?;
    let means = ["jwt", "token", "basic", "certificate"]
        .into_iter()
        .find(|means| told.get("means").is_some_and(|own| own == means))?;
    let scopes = told.get("scopes").and_then(Value::as_str);
    Some(Principal {
        name: told.get("name")?.as_str()?.into(),
        means,
        scopes: scopes.map_or(Scopes::All, Scopes::read),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_himself_another_owner() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let scopes = Scopes::read("system/Observation.rs system/Patient.cruds");
        let who = Principal { name: "emr".into(), means: "token", scopes };
        let mut written = json!({"extension": [{"url": OWNER, "valueString": "boss"}]});
        mark(&mut written, None, &who, &vault).unwrap();
        assert_eq!(of(&written, &vault), Some(who.clone()));
        assert!(!written.to_string().contains("emr") && !written.to_string().contains("boss"));
        // The same writer changes nothing; another does.
        let mut again = json!({});
        mark(&mut again, Some(&written), &who, &vault).unwrap();
        assert_eq!(again, written);
        let other = Principal { name: "lab".into(), ..who };
        mark(&mut again, Some(&written), &other, &vault).unwrap();
        assert_eq!(of(&again, &vault), Some(other));
        assert_eq!(of(&json!({"extension": [{"url": OWNER, "valueString": "{}"}]}), &vault), None);
    }
}
