//! Who may sign in by whom: `access:` of `engine.yaml`.

use crate::config::outbound::host_of_url;
use crate::config::read::Fields;
use crate::config::secrets::Secrets;
use crate::message::secret::Secret;
use crate::yaml::finding::Finding;
use crate::yaml::node::Node;

/// A provider of OpenID Connect.
#[derive(Debug, Clone)]
pub struct OidcOptions {
    /// What the sign-in page calls it.
    pub label: String,
    /// Its issuer, a URL without the well-known part.
    pub issuer: String,
    /// What it calls this engine.
    pub client_id: String,
    /// What it knows this engine by; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// Where it sends browsers back to: this engine's `/api/v1/session/oidc/callback`, as browsers name it.
    pub redirect_url: String,
    /// What is asked of it beside `openid`.
    pub scopes: Vec<String>,
    /// Name of the TLS profile it is asked by.
    pub tls: Option<String>,
    /// Hosts and networks it may have; empty: those of `outbound.allow`, and without them its issuer's host.
    pub allow: Vec<String>,
    /// The claim that names a person here.
    pub name_claim: String,
    /// The claim that `mapping` looks at.
    pub claim: String,
    /// What its values give; empty: people are added here, and have the roles they have here.
    pub mapping: Vec<MappedRole>,
}

/// What one value of the claim gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedRole {
    /// The value, e.g. the name of a group at the provider.
    pub value: String,
    /// Names of roles.
    pub roles: Vec<String>,
    /// Channel groups; empty: no limit by this one.
    pub groups: Vec<String>,
}

/// Reads `access.oidc`.
pub(super) fn oidc(
    access: Fields<'_>,
    outbound: Option<&Vec<String>>,
    secrets: &Secrets,
    findings: &mut Vec<Finding>,
) -> Option<OidcOptions> {
    let fields = access.below("oidc");
    for key in ["issuer", "redirect_url"] {
        findings.extend(fields.node(key).and_then(open_url));
    }
    let scopes = fields.texts("scopes");
    let own = fields.texts("allow");
    let allow = if own.is_empty() { outbound.cloned().unwrap_or_default() } else { own };
    Some(OidcOptions {
        label: fields.text("label").unwrap_or("single sign-on").to_owned(),
        issuer: fields.string("issuer")?,
        client_id: fields.string("client_id")?,
        client_secret: fields.node("client_secret").and_then(|node| secrets.read(node, findings)),
        redirect_url: fields.string("redirect_url")?,
        scopes: if scopes.is_empty() { vec!["profile".to_owned()] } else { scopes },
        tls: fields.string("tls"),
        allow,
        name_claim: fields.text("name_claim").unwrap_or("preferred_username").to_owned(),
        claim: fields.text("claim").unwrap_or("groups").to_owned(),
        mapping: fields.many("mapping").into_iter().map(mapped).collect(),
    })
}

fn mapped(node: &Node) -> MappedRole {
    let fields = Fields::of(Some(node));
    MappedRole {
        value: fields.string("value").unwrap_or_default(),
        roles: fields.texts("roles"),
        groups: fields.texts("groups"),
    }
}

/// Codes and tokens go over these: without TLS only within the machine.
fn open_url(node: &Node) -> Option<Finding> {
    let url = node.text()?;
    let (host, _) = host_of_url(url)?;
    let within = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    let open = url.starts_with("http://") && !within;
    open.then(|| {
        Finding::error("E0104", node, "sign-in goes over https, except on a loopback address")
            .hint("write https://…")
    })
}
