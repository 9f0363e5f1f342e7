//! `to.NAME.fhir:` as the options of a FHIR destination.

use crate::config::read::Fields;
use crate::config::secrets::Secrets;
use crate::config::to::authorization;
use crate::destination::fhir::options::{
    Access, Action, Algorithm, Deletes, FhirOptions, Grant, SecretPlace,
};
use crate::yaml::finding::Finding;
use crate::yaml::node::Node;

pub(super) fn read(node: &Node, secrets: &Secrets, findings: &mut Vec<Finding>) -> FhirOptions {
    let fields = Fields::of(Some(node));
    let usual = FhirOptions::default();
    FhirOptions {
        base: fields.string("base").unwrap_or_default(),
        action: fields.choice("action", &Action::ALL, usual.action),
        identifier_system: fields.string("identifier_system"),
        deletes: fields.choice(
            "deletes",
            &[("refuse", Deletes::Refuse), ("send", Deletes::Send)],
            usual.deletes,
        ),
        tls: fields.string("tls"),
        access: access(fields, secrets, findings),
        allow: fields.texts("allow"),
        connect_within: fields.duration("connect_within", usual.connect_within),
        reply_within: fields.duration("reply_within", usual.reply_within),
        answer_bytes_max: fields.size("max_answer", usual.answer_bytes_max),
        in_flight: fields.integer("in_flight", usual.in_flight),
        idle_max: fields.duration("idle_max", usual.idle_max),
        retry_after_max: fields.duration("retry_after_max", usual.retry_after_max),
    }
}

fn access(fields: Fields<'_>, secrets: &Secrets, findings: &mut Vec<Finding>) -> Access {
    let ways = ["token", "basic", "oauth", "smart"];
    let mut named = ways.iter().filter_map(|way| fields.node(way));
    if let (Some(_), Some(second)) = (named.next(), named.next()) {
        findings.push(
            Finding::error(
                "E0107",
                second,
                "`token`, `basic`, `oauth` and `smart` exclude each other",
            )
            .hint("keep what the server asks for"),
        );
    }
    if fields.node("oauth").is_some() {
        let oauth = fields.below("oauth");
        let secret = oauth.node("client_secret").and_then(|node| secrets.read(node, findings));
        let place = oauth.choice(
            "send_secret",
            &[("basic", SecretPlace::Basic), ("form", SecretPlace::Form)],
            SecretPlace::Basic,
        );
        if let Some(secret) = secret {
            return Access::ClientCredentials { grant: grant(oauth), secret, place };
        }
    }
    if fields.node("smart").is_some() {
        let smart = fields.below("smart");
        let key = smart.node("key").and_then(|node| secrets.read(node, findings));
        let algorithms = [("RS384", Algorithm::Rs384), ("ES384", Algorithm::Es384)];
        if let Some(key) = key {
            return Access::Smart {
                grant: grant(smart),
                key,
                key_id: smart.string("key_id").unwrap_or_default(),
                algorithm: smart.choice("algorithm", &algorithms, Algorithm::Rs384),
            };
        }
    }
    Access::Header(authorization(fields, secrets, findings))
}

fn grant(fields: Fields<'_>) -> Grant {
    Grant {
        token_url: fields.string("token_url").unwrap_or_default(),
        client_id: fields.string("client_id").unwrap_or_default(),
        scope: fields.string("scope"),
    }
}
