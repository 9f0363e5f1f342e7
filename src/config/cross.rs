//! What must fit between files: names, ports, TLS profiles, the outbound allow-list.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::config::engine::EngineConfig;
use crate::config::load::File;
use crate::config::outbound;
use crate::tls::{ClientTls, ServerTls, TlsProfile};
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::Node;

/// Checks all files against each other; findings go to the file they are about.
pub(super) fn check(
    engine: &EngineConfig,
    engine_root: Option<&Node>,
    files: &mut [File],
    findings: &mut Vec<Finding>,
) {
    names(files);
    ports(engine, engine_root, files);
    tls(engine, engine_root, files, findings);
    outbound::check(engine, engine_root, files, findings);
    repeats(engine, files);
}

/// A repeat is recognised by the message it repeats: once retention has taken that, it is a new one.
fn repeats(engine: &EngineConfig, files: &mut [File]) {
    for file in files {
        let (Some(root), Some(config)) = (&file.parsed.root, &file.parsed.config) else { continue };
        let within = root.get("accept").and_then(|accept| accept.get("duplicate")?.get("within"));
        let Some(node) = within else { continue };
        let Some(within) = node.text().and_then(|text| decode::duration(text).ok()) else {
            continue;
        };
        let kept = config.retention.messages.unwrap_or(engine.retention.messages);
        if within <= kept {
            continue;
        }
        let hours = kept.as_secs() / 3600;
        let said = format!(
            "repeats are recognised for {hours} h and no longer: then `retention.messages` takes what they repeat"
        );
        let finding = Finding::error("E0425", node, said)
            .hint("shorten `within`, or keep the channel's messages for longer")
            .warning();
        file.parsed.findings.push(finding);
    }
}

/// Two channels of one name; a name that differs from its file's.
fn names(files: &mut [File]) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let Some(node) = file.parsed.root.as_ref().and_then(|root| root.get("channel")) else {
            continue;
        };
        let Some(name) = node.text() else { continue };
        if let Some(first) = seen.get(name) {
            let finding =
                Finding::error("E0404", node, format!("the channel `{name}` is there twice"))
                    .label(format!("first in {first}"))
                    .hint("give one of them another name");
            file.parsed.findings.push(finding);
            continue;
        }
        seen.insert(name.to_owned(), file.source.name.clone());
        let stem = file.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if stem != name && decode::is_name(name) {
            let said = format!("the channel `{name}` stands in a file called `{stem}`");
            let finding = Finding::error("E0405", node, said)
                .hint(format!("call the file {name}.yaml, so that people find it"))
                .warning();
            file.parsed.findings.push(finding);
        }
    }
}

/// An address that something listens on.
struct Listener {
    address: SocketAddr,
    who: String,
}

fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let any = |address: IpAddr| address.is_unspecified();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || any(a.ip()) || any(b.ip()))
}

/// Two listeners on one address and port.
fn ports(engine: &EngineConfig, engine_root: Option<&Node>, files: &mut [File]) {
    let admin = engine_root.and_then(|root| root.get("admin")?.get("listen"));
    let place = if admin.is_some() { "engine.yaml" } else { "engine.yaml, by default" };
    let mut taken =
        vec![Listener { address: engine.admin.listen, who: format!("the admin API ({place})") }];
    for file in files {
        let mut found = Vec::new();
        for node in file.parsed.root.as_ref().map(listeners).unwrap_or_default() {
            let Some(address) = node.text().and_then(|text| decode::address(text).ok()) else {
                continue;
            };
            if let Some(other) = taken.iter().find(|other| clash(other.address, address)) {
                let finding =
                    Finding::error("E0406", node, format!("port {} is taken", address.port()))
                        .label(format!("by {}", other.who))
                        .hint("give one of them another port");
                found.push(finding);
            } else {
                let (line, _) = node.source.line_column(node.span.start);
                taken.push(Listener { address, who: format!("{}:{line}", node.source.name) });
            }
        }
        file.parsed.findings.extend(found);
    }
}

/// Where a channel's file says `listen`: its source, and destinations whose receivers connect to us.
fn listeners(root: &Node) -> Vec<&Node> {
    let from = root.get("from");
    let source = ["mllp", "http", "fhir"].iter().find_map(|key| from?.get(key)?.get("listen"));
    let destinations = root.get("to").map(Node::entries).unwrap_or_default();
    let reverse = destinations.iter().filter_map(|(_, node)| {
        let listen = node.get("mllp")?.get("listen")?;
        Some(listen.get("at").unwrap_or(listen))
    });
    source.into_iter().chain(reverse).collect()
}

/// Resources are written for a channel that serves them.
pub(super) fn resources(files: &mut [File]) {
    let serving = |root: &Node| {
        root.get("from")?.get("fhir")?;
        root.get("channel")?.text().map(str::to_owned)
    };
    let roots = files.iter().filter_map(|file| file.parsed.root.as_ref());
    let known: Vec<String> = roots.filter_map(serving).collect();
    for file in files {
        let Some(root) = &file.parsed.root else { continue };
        let destinations = root.get("to").map(Node::entries).unwrap_or_default();
        let named =
            destinations.iter().filter_map(|(_, node)| node.get("resources")?.get("channel"));
        let mut found = Vec::new();
        for node in named {
            let name = node.text().unwrap_or_default();
            if known.iter().any(|own| own == name) {
                continue;
            }
            let said = format!("no channel {name} has a FHIR endpoint (`from: {{fhir: …}}`)");
            let finding = Finding::error("E0424", node, said);
            found.push(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => finding.hint(format!("did you mean `{near}`?")).fix(near),
                None if known.is_empty() => finding.hint("add a channel with `from: {fhir: …}`"),
                None => finding.hint(format!("there are: {}", known.join(", "))),
            });
        }
        file.parsed.findings.extend(found);
    }
}

/// Profiles that are named must be there, and profiles that are there must load.
fn tls(
    engine: &EngineConfig,
    engine_root: Option<&Node>,
    files: &mut [File],
    findings: &mut Vec<Finding>,
) {
    let (mut listen, mut send) = (BTreeSet::new(), BTreeSet::new());
    for file in files.iter_mut() {
        let Some(root) = &file.parsed.root else { continue };
        let mut found = Vec::new();
        let from = root.get("from");
        for node in ["mllp", "http", "fhir"].iter().filter_map(|key| from?.get(key)?.get("tls")) {
            let connects = from.and_then(|from| from.get("mllp")?.get("connect")).is_some();
            named(engine, node, if connects { &mut send } else { &mut listen }, &mut found);
        }
        let jwt = from.and_then(|from| from.get("fhir")?.get("access")?.get("jwt"));
        if let Some(node) = jwt.and_then(|jwt| jwt.get("keys_tls")) {
            named(engine, node, &mut send, &mut found);
        }
        for (_, node) in root.get("to").map(Node::entries).unwrap_or_default() {
            let listens = node.get("mllp").is_some_and(|mllp| mllp.get("listen").is_some());
            for node in
                ["mllp", "webhook", "fhir"].iter().filter_map(|key| node.get(key)?.get("tls"))
            {
                named(engine, node, if listens { &mut listen } else { &mut send }, &mut found);
            }
        }
        file.parsed.findings.extend(found);
    }
    if let Some(node) = engine_root.and_then(|root| root.get("admin")?.get("tls")) {
        named(engine, node, &mut listen, findings);
    }
    let oidc = engine_root.and_then(|root| root.get("access")?.get("oidc"));
    if let Some(node) = oidc.and_then(|oidc| oidc.get("tls")) {
        named(engine, node, &mut send, findings);
    }
    let profiles = engine_root.and_then(|root| root.get("tls")).map(Node::entries);
    for (name, node) in profiles.unwrap_or_default() {
        let Some(profile) = engine.tls.get(&name.text) else { continue };
        let missing = missing_files(node, profile);
        if !missing.is_empty() {
            findings.extend(missing);
            continue;
        }
        if listen.contains(&name.text)
            && let Err(error) = ServerTls::load(profile)
        {
            findings.push(unusable(node, &name.text, "listen", &error.to_string()));
        }
        if send.contains(&name.text)
            && let Err(error) = ClientTls::load(profile)
        {
            findings.push(unusable(node, &name.text, "send", &error.to_string()));
        }
    }
}

fn unusable(node: &Node, name: &str, what: &str, error: &str) -> Finding {
    Finding::error(
        "E0415",
        node,
        format!("the TLS profile `{name}` cannot be used to {what}: {error}"),
    )
    .hint("mend the file it names, or the profile")
}

fn named(
    engine: &EngineConfig,
    node: &Node,
    used: &mut BTreeSet<String>,
    found: &mut Vec<Finding>,
) {
    let Some(name) = node.text() else { return };
    if engine.tls.contains_key(name) {
        used.insert(name.to_owned());
        return;
    }
    let finding = Finding::error("E0413", node, format!("there is no TLS profile `{name}`"));
    found.push(match nearest(name, engine.tls.keys().map(String::as_str)) {
        Some(near) => finding.hint(format!("did you mean `{near}`?")).fix(near),
        None if engine.tls.is_empty() => {
            finding.hint(format!("add it to engine.yaml: tls: {{{name}: {{ca: tls/ca.pem}}}}"))
        }
        None => {
            let names: Vec<_> = engine.tls.keys().map(String::as_str).collect();
            finding.hint(format!("engine.yaml has: {}", names.join(", ")))
        }
    });
}

/// Files of a profile that are not there.
fn missing_files(node: &Node, profile: &TlsProfile) -> Vec<Finding> {
    let files = [
        ("certificate", &profile.certificate),
        ("private_key", &profile.private_key),
        ("ca", &profile.ca),
        ("client_ca", &profile.client_ca),
        ("revoked", &profile.revoked),
    ];
    let mut missing = Vec::new();
    for (key, path) in files {
        let (Some(node), Some(path)) = (node.get(key), path) else { continue };
        if path.is_file() {
            continue;
        }
        let finding = Finding::error("E0414", node, format!("there is no file {}", path.display()));
        let beside = beside(path);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        missing.push(match nearest(name, beside.iter().map(String::as_str)) {
            Some(near) => finding.hint(format!("did you mean {near}?")),
            None => finding.hint("paths are relative to engine.yaml"),
        });
    }
    missing
}

/// The names of the files beside a path.
fn beside(path: &Path) -> Vec<String> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let entries = entries.into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
