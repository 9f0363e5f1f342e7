//! `from.fhir` as the options of a FHIR source.

use std::path::Path;
use std::time::Duration;

use crate::config::read::Fields;
use crate::config::secrets::Secrets;
use crate::fhir::definitions;
use crate::resources::plan::Validation;
use crate::source::fhir::access::options::{
    AccessOptions, CertificateHolder, HashedSecret, JwtOptions, KeySource, Known, SecretHolder,
};
use crate::source::fhir::access::scope::{Scope, Scopes};
use crate::source::fhir::options::{FhirSourceOptions, Hearing};
use crate::source::http::options::HttpTimeouts;
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::Node;

/// Reads `from.fhir`.
pub(super) fn read(
    fields: Fields<'_>,
    folder: &Path,
    secrets: &Secrets,
    findings: &mut Vec<Finding>,
) -> FhirSourceOptions {
    let usual = FhirSourceOptions::default();
    let waits = fields.below("timeouts");
    let base = fields.node("base").filter(|node| node.text().is_some_and(|t| !t.starts_with('/')));
    if let Some(node) = base {
        let text = node.text().unwrap_or_default();
        findings.push(
            Finding::error("E0104", node, "base: a path begins with a slash")
                .hint("e.g. /fhir")
                .fix(format!("/{text}")),
        );
    }
    FhirSourceOptions {
        listen: fields
            .text("listen")
            .and_then(|text| decode::address(text).ok())
            .unwrap_or(usual.listen),
        base: fields.text("base").map_or(usual.base, |text| text.trim_end_matches('/').into()),
        public_url: fields.text("public_url").map(Into::into),
        tls: fields.text("tls").map(Into::into),
        allow: fields.networks("allow", findings),
        access: access(fields, folder, secrets, findings),
        types: types(fields, findings),
        update_creates: fields.boolean("update_creates", usual.update_creates),
        validation: fields.choice(
            "validation",
            &[("strict", Validation::Strict), ("warn", Validation::Warn), ("off", Validation::Off)],
            usual.validation,
        ),
        body_bytes_max: fields.size("max_message", usual.body_bytes_max),
        depth_max: fields.integer("max_depth", usual.depth_max),
        entries_max: fields.integer("max_entries", usual.entries_max),
        page_size: fields.integer("page_size", usual.page_size),
        page_size_max: fields.integer("max_page_size", usual.page_size_max),
        includes_max: fields.integer("max_includes", usual.includes_max),
        hearing: hearing(fields, secrets, findings),
        repeat_within: fields.duration("repeat_within", usual.repeat_within),
        connections_max: fields.integer("max_connections", usual.connections_max),
        connections_per_peer_max: fields
            .integer("max_connections_per_peer", usual.connections_per_peer_max),
        retry_after: fields.duration("retry_after", usual.retry_after),
        timeouts: HttpTimeouts {
            handshake: waits.duration("handshake", usual.timeouts.handshake),
            header: waits.duration("header", usual.timeouts.header),
            body: waits.duration("body", usual.timeouts.body),
            answer: waits.duration("answer", usual.timeouts.answer),
        },
    }
}

/// `notifications`.
fn hearing(fields: Fields<'_>, secrets: &Secrets, findings: &mut Vec<Finding>) -> Option<Hearing> {
    fields.node("notifications")?;
    let fields = fields.below("notifications");
    let known = fields.many("secret");
    Some(Hearing {
        from: fields.text("from").unwrap_or_default().trim_end_matches('/').into(),
        secrets: known.into_iter().filter_map(|node| secrets.read(node, findings)).collect(),
        token: fields.node("token").and_then(|node| secrets.read(node, findings)),
    })
}

fn types(fields: Fields<'_>, findings: &mut Vec<Finding>) -> Vec<Box<str>> {
    let r4 = definitions::r4();
    for node in fields.many("types") {
        let text = node.text().unwrap_or_default();
        if r4.resource(text).is_none() {
            let finding =
                Finding::error("E0441", node, format!("FHIR R4 has no resource type {text}"));
            findings.push(match nearest(text, r4.resource_names()) {
                Some(near) => finding.hint(format!("did you mean {near}?")).fix(near),
                None => finding.hint("e.g. Patient"),
            });
        }
    }
    fields.texts("types").into_iter().map(Into::into).collect()
}

fn access(
    fields: Fields<'_>,
    folder: &Path,
    secrets: &Secrets,
    findings: &mut Vec<Finding>,
) -> AccessOptions {
    let Some(node) = fields.node("access") else { return AccessOptions::Open };
    if node.text().is_some() {
        return AccessOptions::Open;
    }
    let below = Fields::of(Some(node));
    let known = Known {
        jwt: below.node("jwt").map(|node| jwt(Fields::of(Some(node)), folder)),
        tokens: holders(below, ("tokens", "name", "secret"), secrets, findings),
        basic: holders(below, ("basic", "user", "password"), secrets, findings),
        certificates: below
            .many("certificates")
            .into_iter()
            .map(|node| CertificateHolder {
                name: Fields::of(Some(node)).text("name").unwrap_or_default().into(),
                scopes: scopes(node, findings),
            })
            .collect(),
    };
    if known == Known::default() {
        findings.push(
            Finding::error("E0442", node, "nobody could ever come in")
                .hint("name jwt, tokens, basic or certificates; or write `access: none`"),
        );
    }
    if let (Some(node), None) = (below.node("certificates"), fields.node("tls")) {
        findings.push(
            Finding::error("E0418", node, "`certificates` are asked for, but there is no `tls`")
                .hint("add `tls: NAME` of a profile with client_auth: required or optional"),
        );
    }
    AccessOptions::Known(Box::new(known))
}

fn jwt(fields: Fields<'_>, folder: &Path) -> JwtOptions {
    let text = |key: &str| fields.text(key).unwrap_or_default();
    let keys = text("keys");
    let url = keys.starts_with("https://") || keys.starts_with("http://");
    JwtOptions {
        issuer: text("issuer").into(),
        audience: text("audience").into(),
        keys: if url { KeySource::Url(keys.into()) } else { KeySource::File(folder.join(keys)) },
        keys_tls: fields.text("keys_tls").map(Into::into),
        keys_for: fields.duration("keys_for", Duration::from_hours(1)),
        token_endpoint: fields.text("token_endpoint").map(Into::into),
        withdrawn: fields.texts("withdrawn").into_iter().map(Into::into).collect(),
    }
}

fn holders(
    fields: Fields<'_>,
    (list, name, secret): (&str, &str, &str),
    secrets: &Secrets,
    findings: &mut Vec<Finding>,
) -> Vec<SecretHolder> {
    let mut holders = Vec::new();
    for node in fields.many(list) {
        let holder = Fields::of(Some(node));
        let found = holder.node(secret).and_then(|node| secrets.read(node, findings));
        if let Some(found) = found {
            holders.push(SecretHolder {
                name: holder.text(name).unwrap_or_default().into(),
                secret: HashedSecret::read(found.expose()),
                scopes: scopes(node, findings),
            });
        }
    }
    holders
}

/// Scopes of a holder; those that would give nothing are findings.
fn scopes(holder: &Node, findings: &mut Vec<Finding>) -> Scopes {
    let Some(node) = holder.get("scopes") else { return Scopes::All };
    let text = node.text().unwrap_or_default();
    for word in text.split_ascii_whitespace().filter(|word| Scope::read(word).is_none()) {
        findings.push(
            Finding::error("E0443", node, format!("`{word}` is no scope that is known here"))
                .hint("e.g. system/Patient.rs, system/*.cruds, system/Observation.read"),
        );
    }
    Scopes::read(text)
}
