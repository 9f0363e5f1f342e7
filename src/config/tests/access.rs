//! `access.oidc` of `engine.yaml`.

use crate::config::load::{LoadOptions, Loaded, load};
use crate::config::tests::directory;

fn loaded(oidc: &str, rest: &str) -> Loaded {
    let text = format!(
        "access:\n  oidc:\n    client_id: medway\n    redirect_url: https://medway.example/api/v1/session/oidc/callback\n{oidc}{rest}"
    );
    let folder = directory(&[("engine.yaml", &text), ("channels/.keep", "")]);
    load(folder.path(), &LoadOptions::default())
}

fn codes(loaded: &Loaded) -> Vec<&str> {
    let found = loaded.findings.iter().map(|finding| finding.code);
    found.filter(|code| *code != "E0402").collect()
}

#[test]
fn a_provider_is_read_with_what_its_groups_give() {
    let text = "    issuer: https://id.example\n    label: Hospital\n    mapping:\n      - {value: ops, roles: [operator, viewer], groups: lab}\n      - {value: audit, roles: auditor}\n";
    let loaded = loaded(text, "outbound: {allow: [id.example, 10.0.0.0/8]}\n");
    assert_eq!(codes(&loaded), Vec::<&str>::new());
    let oidc = loaded.engine.oidc.unwrap();
    assert_eq!((oidc.label.as_str(), oidc.claim.as_str()), ("Hospital", "groups"));
    assert_eq!(oidc.allow, ["id.example", "10.0.0.0/8"], "the engine's list holds here too");
    assert_eq!(oidc.mapping[0].roles, ["operator", "viewer"]);
    assert_eq!(oidc.mapping[0].groups, ["lab"]);
    assert_eq!((oidc.mapping[1].roles.len(), oidc.mapping[1].groups.len()), (1, 0));
}

#[test]
fn what_cannot_work_is_found() {
    let issuer = "    issuer: https://id.example\n";
    let outside = loaded(issuer, "outbound: {allow: [10.0.0.0/8, \"*.hospital.example\"]}\n");
    assert_eq!(codes(&outside), Vec::<&str>::new(), "a name may lead into a network");
    for (oidc, rest, code) in [
        ("    issuer: http://id.example\n", "", "E0104"),
        (issuer, "outbound: {allow: [\"*.hospital.example\"]}\n", "E0412"),
        ("    issuer: https://id.example\n    allow: [other.example]\n", "", "E0412"),
        ("    issuer: https://id.example\n    tls: nowhere\n", "", "E0413"),
    ] {
        let loaded = loaded(oidc, rest);
        assert_eq!(codes(&loaded), [code], "{oidc}{rest}");
    }
    let role = format!("{issuer}    mapping: [{{value: a, roles: [king]}}]\n");
    assert!(!loaded(&role, "").starts(), "a role that is none");
}
