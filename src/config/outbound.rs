//! The outbound allow-list: whether what channels name may be reached at all.
//!
//! A host name may resolve into an allowed network; that is decided when a connection is made. Here only
//! what can never be reached is refused.

use std::net::IpAddr;

use crate::config::engine::EngineConfig;
use crate::config::load::File;
use crate::network::Network;
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::node::{Node, Value};

/// One line of an allow-list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    /// `lis.hospital.example`, `*.hospital.example`, each with an optional port.
    Name(String, Option<u16>),
    /// `10.20.0.0/16`, with an optional port.
    Network(Network, Option<u16>),
}

impl Rule {
    /// Reads `host`, `*.domain`, `network`, each with an optional `:port`; IPv6 in brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(network) = text.parse() {
            return Some(Self::Network(network, None));
        }
        let (place, port) = match text.rsplit_once(':') {
            Some((place, port)) if !port.contains(']') => (place, Some(port.parse().ok()?)),
            _ => (text, None),
        };
        let bare = place.replace(['[', ']'], "");
        if let Ok(network) = bare.parse() {
            return Some(Self::Network(network, port));
        }
        let domain = place.strip_prefix("*.").unwrap_or(place);
        let known = decode::host(domain).is_ok() && !domain.contains('/');
        known.then(|| Self::Name(place.to_lowercase(), port))
    }

    /// Whether it may allow this host: surely, or once the name is resolved.
    fn allows(&self, host: &str, port: u16) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        let same_port = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::Network(network, wanted) => {
                same_port(wanted) && address.is_none_or(|address| network.contains(address))
            }
            Self::Name(name, wanted) => {
                let host = host.to_lowercase();
                let matches = match name.strip_prefix("*.") {
                    Some(domain) => {
                        host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
                    }
                    None => host == *name,
                };
                same_port(wanted) && matches
            }
        }
    }
}

/// Reads an allow-list; what is no rule becomes a finding.
fn rules(node: &Node, findings: &mut Vec<Finding>) -> Vec<Rule> {
    let nodes: Vec<&Node> = match &node.value {
        Value::Sequence(items) => items.iter().collect(),
        _ => vec![node],
    };
    let mut rules = Vec::new();
    for node in nodes {
        let Some(text) = node.text() else { continue };
        match Rule::parse(text) {
            Some(rule) => rules.push(rule),
            None => findings.push(
                Finding::error("E0104", node, format!("allow: `{text}` is neither a host nor a network"))
                    .hint("write lis.hospital.example, \"*.hospital.example\", 10.20.0.0/16, each with :port if wanted"),
            ),
        }
    }
    rules
}

/// Checks every destination against the engine's list and its own.
pub(super) fn check(
    engine: &EngineConfig,
    engine_root: Option<&Node>,
    files: &mut [File],
    findings: &mut Vec<Finding>,
) {
    let list = engine_root.and_then(|root| root.get("outbound")?.get("allow"));
    let allowed = list.map(|node| rules(node, findings));
    let allowed = allowed.filter(|_| engine.outbound_allow.is_some());
    let oidc = engine_root.and_then(|root| root.get("access")?.get("oidc"));
    findings.extend(oidc.and_then(|oidc| provider(oidc, allowed.as_deref())));
    for file in files {
        let Some(root) = &file.parsed.root else { continue };
        let mut found = Vec::new();
        for (_, node) in root.get("to").map(Node::entries).unwrap_or_default() {
            let http = node.get("webhook").or_else(|| node.get("fhir"));
            let own = http.and_then(|http| http.get("allow"));
            let own = own.map(|node| rules(node, &mut found));
            for (place, host, port) in targets(node) {
                let reachable = |rules: &[Rule]| rules.iter().any(|rule| rule.allows(&host, port));
                let list = match (&allowed, &own) {
                    (Some(rules), _) if !reachable(rules) => "outbound.allow of engine.yaml",
                    (_, Some(rules)) if !reachable(rules) => "this destination's allow",
                    _ => continue,
                };
                found.push(
                    Finding::error("E0412", place, format!("{host}:{port} is not in {list}"))
                        .hint("add it there, or correct the host"),
                );
            }
        }
        file.parsed.findings.extend(found);
    }
}

/// The sign-in provider's host must be on the engine's list and on its own.
fn provider(oidc: &Node, engine: Option<&[Rule]>) -> Option<Finding> {
    let place = oidc.get("issuer")?;
    let (host, port) = host_of_url(place.text()?)?;
    let reachable = |rules: &[Rule]| rules.iter().any(|rule| rule.allows(&host, port));
    // What cannot be read is found where the list is used.
    let own = oidc.get("allow").map(|node| rules(node, &mut Vec::new()));
    let list = match (engine, own) {
        (Some(engine), _) if !reachable(engine) => "outbound.allow of engine.yaml",
        (_, Some(own)) if !reachable(&own) => "access.oidc.allow",
        _ => return None,
    };
    let finding = Finding::error("E0412", place, format!("{host}:{port} is not in {list}"));
    Some(finding.hint("add it there, or correct the host"))
}

/// The hosts and ports a destination names.
fn targets(node: &Node) -> Vec<(&Node, String, u16)> {
    let mut targets = Vec::new();
    if let Some(mllp) = node.get("mllp") {
        if let (Some(host), Some(port)) = (mllp.get("host"), mllp.get("port"))
            && let (Some(name), Some(port)) =
                (host.text(), port.text().and_then(|text| text.parse().ok()))
        {
            targets.push((host, name.to_owned(), port));
        }
        for place in mllp.get("endpoints").map(Node::items).unwrap_or_default() {
            if let Some((host, port)) = place.text().and_then(|text| decode::endpoint(text).ok()) {
                targets.push((place, host, port));
            }
        }
    }
    for path in [
        &["webhook", "url"][..],
        &["fhir", "base"],
        &["fhir", "oauth", "token_url"],
        &["fhir", "smart", "token_url"],
    ] {
        let place = path.iter().try_fold(node, |node, key| node.get(key));
        if let Some(place) = place
            && let Some((host, port)) = place.text().and_then(host_of_url)
        {
            targets.push((place, host, port));
        }
    }
    targets
}

/// Host and port of a URL.
pub(super) fn host_of_url(url: &str) -> Option<(String, u16)> {
    decode::url(url).ok()?;
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let usual = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, usual),
    };
    Some((host.trim_matches(['[', ']']).to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_allow_what_they_say() {
        for (rule, host, port, allowed) in [
            ("lis.example", "lis.example", 1, true),
            ("lis.example:2575", "LIS.example", 2575, true),
            ("lis.example:2575", "lis.example", 2576, false),
            ("*.example", "a.b.example", 1, true),
            ("*.example", "example", 1, false),
            ("*.example", "badexample", 1, false),
            ("10.20.0.0/16", "10.20.9.9", 1, true),
            ("10.20.0.0/16", "10.21.0.1", 1, false),
            ("10.20.0.0/16:443", "10.20.0.1", 80, false),
            ("10.20.0.0/16", "some.name", 1, true),
            ("[2001:db8::]/32", "2001:db8::7", 1, true),
        ] {
            let parsed = Rule::parse(rule).unwrap();
            assert_eq!(parsed.allows(host, port), allowed, "{rule} {host}:{port}");
        }
        for wrong in ["a b", "10.20.0.0/99", "http://h", "h:x", ""] {
            assert_eq!(Rule::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn urls_name_hosts() {
        assert_eq!(host_of_url("https://h.example/x?y"), Some(("h.example".into(), 443)));
        assert_eq!(host_of_url("http://[::1]:8080/"), Some(("::1".into(), 8080)));
        assert_eq!(host_of_url("ftp://h"), None);
    }
}
