//! `to.NAME:` as the options of a destination and of its delivery.

use std::path::Path;

use crate::config::read::Fields;
use crate::config::secrets::Secrets;
use crate::config::to_fhir;
use crate::delivery::breaker::BreakerOptions;
use crate::delivery::options::DeliveryOptions;
use crate::delivery::policy::{AckPolicy, CODES, Reaction};
use crate::delivery::retry::{Exhausted, RetryPolicy};
use crate::destination::fhir::options::FhirOptions;
use crate::destination::file::{FileDestinationOptions, IfExists};
use crate::destination::mllp::options::{
    AnswerForm, CommitAck, ControlIdCheck, KeepOpen, Listening, MllpDestinationOptions,
};
use crate::destination::pool::{Address, Balance, PoolOptions};
use crate::destination::resources::ResourcesOptions;
use crate::destination::topic::TopicOptions;
use crate::destination::webhook::options::{Authorization, WebhookOptions};
use crate::message::secret::Secret;
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::nearest::nearest;
use crate::yaml::node::{Key, Node, Value};

/// By which transport, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportOptions {
    /// HL7 v2 over MLLP.
    Mllp(Box<MllpDestinationOptions>),
    /// HTTP POST.
    Webhook(Box<WebhookOptions>),
    /// One file a message.
    File(Box<FileDestinationOptions>),
    /// A topic of this engine.
    Topic(TopicOptions),
    /// A FHIR server.
    Fhir(Box<FhirOptions>),
    /// The engine's own resources.
    Resources(ResourcesOptions),
}

/// One destination of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct DestinationConfig {
    /// Its name, unique in the channel.
    pub name: String,
    /// By which transport, and where to.
    pub transport: TransportOptions,
    /// How its deliveries are made.
    pub delivery: DeliveryOptions,
}

impl DestinationConfig {
    /// How its deliveries are made on this transport: no more at the same time than there are connections
    /// for, since the others would only wait.
    #[must_use]
    pub fn effective_delivery(&self) -> DeliveryOptions {
        let places = match &self.transport {
            TransportOptions::Mllp(options) => options.places(),
            _ => u32::MAX,
        };
        DeliveryOptions { parallel: self.delivery.parallel.min(places), ..self.delivery.clone() }
    }
}

/// Reads one destination; `None` when it names no transport.
pub(super) fn read(
    name: &Key,
    node: &Node,
    folder: &Path,
    secrets: &Secrets,
    findings: &mut Vec<Finding>,
) -> Option<DestinationConfig> {
    let fields = Fields::of(Some(node));
    let delivery = delivery(fields, findings);
    let transport = if let Some(node) = fields.node("mllp") {
        TransportOptions::Mllp(Box::new(mllp(node, findings)))
    } else if let Some(node) = fields.node("webhook") {
        TransportOptions::Webhook(Box::new(webhook(node, secrets, findings)))
    } else if let Some(node) = fields.node("fhir") {
        TransportOptions::Fhir(Box::new(to_fhir::read(node, secrets, findings)))
    } else if let Some(node) = fields.node("file") {
        TransportOptions::File(Box::new(file(node, folder)))
    } else if let Some(node) = fields.node("resources") {
        let channel = node.get("channel").and_then(Node::text);
        TransportOptions::Resources(ResourcesOptions {
            channel: channel.unwrap_or_default().to_owned(),
            stored_within: Fields::of(Some(node))
                .duration("stored_within", ResourcesOptions::default().stored_within),
        })
    } else {
        let node = fields.node("channel")?;
        let topic = node.text().or_else(|| node.get("topic").and_then(Node::text));
        TransportOptions::Topic(TopicOptions {
            topic: topic.unwrap_or_default().to_owned(),
            stored_within: Fields::of(Some(node))
                .duration("stored_within", TopicOptions::default().stored_within),
        })
    };
    Some(DestinationConfig { name: name.text.clone(), transport, delivery })
}

fn delivery(fields: Fields<'_>, findings: &mut Vec<Finding>) -> DeliveryOptions {
    let usual = DeliveryOptions::default();
    let window = fields.below("window");
    let per_second = fields.below("limit").node("per_second");
    DeliveryOptions {
        parallel: fields.integer("parallel", usual.parallel),
        window: window.integer("messages", usual.window),
        window_bytes: window.size("bytes", usual.window_bytes),
        exceptions_max: window.integer("exceptions", usual.exceptions_max),
        behind_max: window.integer("behind", usual.behind_max),
        policy: fields.node("on_ack").map_or(usual.policy, |node| policy(node, findings)),
        retry: retry(fields.below("retry"), findings),
        breaker: BreakerOptions {
            failures: fields.below("breaker").integer("failures", usual.breaker.failures),
        },
        per_second: per_second.map(|_| fields.below("limit").integer("per_second", u32::MAX)),
        drain: fields.duration("drain", usual.drain),
        ..DeliveryOptions::default()
    }
}

/// `on_ack`: the name of a preset, or answer codes and what each means.
fn policy(node: &Node, findings: &mut Vec<Finding>) -> AckPolicy {
    let preset = |name: Option<&str>| name.and_then(AckPolicy::preset).unwrap_or_default();
    if node.text().is_some() {
        return preset(node.text());
    }
    let mut policy = preset(node.get("like").and_then(Node::text));
    for (code, reaction) in node.entries().iter().filter(|(code, _)| code.text != "like") {
        let Some(reaction) = reaction.text().and_then(Reaction::parse) else { continue };
        if policy.set(&code.text, reaction).is_err() {
            let said = format!("on_ack: nobody answers `{}`", code.text);
            let finding = Finding::at("E0419", &node.source, code.span, said);
            let known = CODES.iter().copied().chain(["like"]);
            findings.push(match nearest(&code.text, known) {
                Some(near) => finding.hint(format!("did you mean `{near}`?")).fix(near),
                None => finding.hint(format!(
                    "codes are: {}, an HTTP status (404) or a class of them (4xx)",
                    CODES.join(", ")
                )),
            });
        }
    }
    policy
}

fn retry(fields: Fields<'_>, findings: &mut Vec<Finding>) -> RetryPolicy {
    let usual = RetryPolicy::default();
    let age_max = match fields.node("for").and_then(Node::text) {
        None => usual.age_max,
        Some("ever") => None,
        Some(text) => match (decode::duration(text), fields.node("for")) {
            (Err(wrong), Some(node)) => {
                findings.push(wrong.at(node, "for").hint("write e.g. 24h, or `ever`"));
                None
            }
            (age, _) => age.ok(),
        },
    };
    let (first, max) = (fields.duration("first", usual.first), fields.duration("max", usual.max));
    if let Some(node) = fields.node("max").or_else(|| fields.node("first")).filter(|_| first > max)
    {
        findings.push(
            Finding::error(
                "E0420",
                node,
                format!("retry: the first wait ({first:?}) is longer than the longest ({max:?})"),
            )
            .hint("make `first` shorter or `max` longer"),
        );
    }
    RetryPolicy {
        first,
        factor: fields.factor("factor", usual.factor),
        max,
        steps: usual.steps,
        jitter: fields.share("jitter", usual.jitter),
        age_max,
        attempts_max: fields.node("attempts").map(|_| fields.integer("attempts", u32::MAX)),
        then: fields.choice(
            "then",
            &[("dead_letter", Exhausted::DeadLetter), ("hold", Exhausted::Hold)],
            usual.then,
        ),
        retry_after_max: fields.duration("retry_after_max", usual.retry_after_max),
    }
}

fn mllp(node: &Node, findings: &mut Vec<Finding>) -> MllpDestinationOptions {
    let fields = Fields::of(Some(node));
    let usual = MllpDestinationOptions::default();
    let pool = PoolOptions::default();
    let balances = Balance::ALL.map(|balance| (balance.name(), balance));
    let options = MllpDestinationOptions {
        endpoints: endpoints(node, findings),
        listen: listening(node, findings),
        pool: PoolOptions {
            balance: fields.choice("balance", &balances, pool.balance),
            failures_max: fields.integer("failures_max", pool.failures_max),
            cool_down: fields.duration("cool_down", pool.cool_down),
            cool_down_max: fields.duration("cool_down_max", pool.cool_down_max),
        },
        tls: fields.string("tls"),
        connections: fields.integer("connections", usual.connections),
        in_flight: fields.integer("in_flight", usual.in_flight),
        connect_within: fields.duration("connect_within", usual.connect_within),
        write_within: fields.duration("write_within", usual.write_within),
        reply_within: fields.duration("reply_within", usual.reply_within),
        connection: if fields.boolean("keep_open", true) {
            KeepOpen::Keep
        } else {
            KeepOpen::CloseAfterEach
        },
        idle_max: fields.duration("idle_max", usual.idle_max),
        keepalive: fields.duration("keepalive", usual.keepalive),
        unconfirmed_max: fields.duration("unconfirmed_max", usual.unconfirmed_max),
        frame_start: frame_bytes(fields.node("frame_start"), usual.frame_start, findings),
        frame_end: frame_bytes(fields.node("frame_end"), usual.frame_end, findings),
        answer_bytes_max: fields.size("max_answer", usual.answer_bytes_max),
        answer: fields.choice(
            "answer",
            &[
                ("hl7", AnswerForm::Hl7),
                ("byte", AnswerForm::Byte),
                ("nothing", AnswerForm::Nothing),
            ],
            usual.answer,
        ),
        commit_ack: fields.choice(
            "commit_ack",
            &[("final", CommitAck::Final), ("wait", CommitAck::Wait)],
            usual.commit_ack,
        ),
        application_within: fields.duration("application_within", usual.application_within),
        control_id: fields.choice(
            "control_id",
            &[("required", ControlIdCheck::Required), ("ignored", ControlIdCheck::Ignored)],
            usual.control_id,
        ),
    };
    contradictions(fields, &options, findings);
    options
}

/// What each may be set to, but not together.
fn contradictions(
    fields: Fields<'_>,
    options: &MllpDestinationOptions,
    findings: &mut Vec<Finding>,
) {
    let nameless = match options.answer {
        AnswerForm::Byte => fields.node("answer"),
        AnswerForm::Hl7 => {
            fields.node("control_id").filter(|_| options.control_id == ControlIdCheck::Ignored)
        }
        AnswerForm::Nothing => None,
    };
    if let Some(node) = nameless.filter(|_| options.in_flight > 1) {
        findings.push(
            Finding::error(
                "E0420",
                node,
                "answers without a control id cannot be told apart with several messages in flight",
            )
            .hint(match options.answer {
                AnswerForm::Byte => "set `in_flight: 1`",
                _ => "set `in_flight: 1`, or `control_id: required`",
            }),
        );
    }
    if let Some(node) = fields
        .node("commit_ack")
        .filter(|_| options.answer != AnswerForm::Hl7 && options.commit_ack == CommitAck::Wait)
    {
        findings.push(
            Finding::error("E0420", node, "a second answer is only known where HL7 is answered")
                .hint("remove `commit_ack`, or set `answer: hl7`"),
        );
    }
}

/// `listen`, an address or a mapping with who may connect: messages go to whoever does.
fn listening(node: &Node, findings: &mut Vec<Finding>) -> Option<Listening> {
    let listen = node.get("listen")?;
    let at = listen.get("at").unwrap_or(listen);
    let address = decode::address(at.text()?).ok()?;
    let allow = Fields::of(Some(listen)).networks("allow", findings);
    if allow.is_empty() && !address.ip().is_loopback() && node.get("tls").is_none() {
        findings.push(
            Finding::error(
                "E0420",
                at,
                "whoever connects here is sent messages, and everybody may connect",
            )
            .hint(format!(
                "write {{at: {address}, allow: 10.20.0.7}}, or `tls` with a profile that asks for certificates"
            )),
        );
    }
    Some(Listening { address, allow })
}

/// `host` and `port`, or `endpoints`.
fn endpoints(node: &Node, findings: &mut Vec<Finding>) -> Vec<Address> {
    let fields = Fields::of(Some(node));
    let port = fields.node("port");
    match (fields.node("host"), port) {
        (Some(host), None) => findings.push(
            Finding::error("E0102", host, "`port` is missing beside `host`")
                .hint("add e.g. `port: 2575`"),
        ),
        (None, Some(port)) if fields.node("endpoints").is_some() => findings.push(
            Finding::error("E0107", port, "`port` goes with `host`; endpoints name their ports")
                .hint("remove it, and write endpoints as host:port"),
        ),
        _ => {}
    }
    if let Some(list) = fields.node("endpoints").filter(|node| node.items().is_empty())
        && matches!(list.value, Value::Sequence(_))
    {
        findings.push(
            Finding::error("E0102", list, "`endpoints` names no receiver")
                .hint("add e.g. [mpi-a.hospital.example:2575]"),
        );
    }
    if let Some(host) = fields.text("host") {
        return vec![Address::new(host, fields.integer("port", 0))];
    }
    let mut seen: Vec<Address> = Vec::new();
    for node in fields.many("endpoints") {
        let Some(address) = node.text().and_then(|text| decode::endpoint(text).ok()) else {
            continue;
        };
        let address = Address::new(&address.0, address.1);
        if seen.contains(&address) {
            findings.push(
                Finding::error(
                    "E0420",
                    node,
                    format!("{address} stands twice among the endpoints"),
                )
                .hint("remove one"),
            );
        } else {
            seen.push(address);
        }
    }
    seen
}

/// One or two bytes in hexadecimal.
fn frame_bytes(node: Option<&Node>, usual: Vec<u8>, findings: &mut Vec<Finding>) -> Vec<u8> {
    let Some((node, text)) = node.and_then(|node| Some((node, node.text()?))) else { return usual };
    let digits: Vec<u32> =
        text.chars().filter(|c| *c != ' ').map_while(|c| c.to_digit(16)).collect();
    let whole = digits.len() == text.chars().filter(|c| *c != ' ').count();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .filter_map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect();
    if !whole || bytes.len() * 2 != digits.len() || !(1..=4).contains(&bytes.len()) {
        findings.push(
            Finding::error("E0104", node, format!("`{text}` is no row of one to four bytes"))
                .hint("write two hexadecimal digits a byte, e.g. 1C0D"),
        );
        return usual;
    }
    bytes
}

fn webhook(node: &Node, secrets: &Secrets, findings: &mut Vec<Finding>) -> WebhookOptions {
    let fields = Fields::of(Some(node));
    let usual = WebhookOptions::default();
    let sign = fields.many("sign");
    let sign = sign.into_iter().filter_map(|node| secrets.read(node, findings)).collect();
    WebhookOptions {
        url: fields.string("url").unwrap_or_default(),
        tls: fields.string("tls"),
        sign,
        authorization: authorization(fields, secrets, findings),
        headers: headers(fields.node("headers"), secrets, findings),
        content_type: fields.string("content_type"),
        allow: fields.texts("allow"),
        connect_within: fields.duration("connect_within", usual.connect_within),
        reply_within: fields.duration("reply_within", usual.reply_within),
        answer_bytes_max: fields.size("max_answer", usual.answer_bytes_max),
        in_flight: fields.integer("in_flight", usual.in_flight),
        idle_max: fields.duration("idle_max", usual.idle_max),
        retry_after_max: fields.duration("retry_after_max", usual.retry_after_max),
    }
}

pub(super) fn authorization(
    fields: Fields<'_>,
    secrets: &Secrets,
    findings: &mut Vec<Finding>,
) -> Authorization {
    let basic = fields.node("basic");
    if let (Some(_), Some(basic)) = (fields.node("token"), basic) {
        findings.push(
            Finding::error("E0107", basic, "`token` and `basic` exclude each other")
                .hint("keep what the receiver asks for"),
        );
    }
    if let Some(token) = fields.node("token") {
        return secrets.read(token, findings).map_or(Authorization::None, Authorization::Bearer);
    }
    let user = basic.and_then(|basic| basic.get("user")?.text()).unwrap_or_default().to_owned();
    let password = basic.and_then(|basic| basic.get("password"));
    let password = password.and_then(|node| secrets.read(node, findings));
    password.map_or(Authorization::None, |password| Authorization::Basic { user, password })
}

/// Headers that the transport sets itself.
const OWN_HEADERS: [&str; 6] =
    ["host", "content-length", "transfer-encoding", "connection", "content-type", "authorization"];

fn headers(
    node: Option<&Node>,
    secrets: &Secrets,
    findings: &mut Vec<Finding>,
) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for (name, value) in node.map(Node::entries).unwrap_or_default() {
        let lower = name.text.to_lowercase();
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let refused = if !name.text.chars().all(token) || name.text.is_empty() {
            Some("is no name of a header")
        } else if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("webhook-") {
            Some("is set by the engine itself")
        } else {
            None
        };
        if let Some(why) = refused {
            let said = format!("headers: `{}` {why}", name.text);
            findings.push(
                Finding::at("E0421", &value.source, name.span, said)
                    .hint("remove it; `content_type`, `token` and `sign` have keys of their own"),
            );
        }
        let text = value.text().unwrap_or_default();
        let secret = if text.starts_with("secret/") {
            secrets.read(value, findings)
        } else {
            if matches!(lower.as_str(), "x-api-key" | "api-key" | "cookie" | "proxy-authorization")
            {
                let wrong = decode::secret(text).err();
                findings.extend(wrong.map(|wrong| wrong.at(value, &name.text)));
            }
            Some(Secret::new(text))
        };
        headers.extend(secret.map(|secret| (name.text.clone(), secret)));
    }
    headers
}

fn file(node: &Node, folder: &Path) -> FileDestinationOptions {
    let fields = Fields::of(Some(node));
    let usual = FileDestinationOptions::default();
    FileDestinationOptions {
        directory: folder.join(fields.text("directory").unwrap_or_default()),
        folder: fields.string("folder"),
        name: fields.string("name"),
        extension: fields.string("extension").unwrap_or(usual.extension),
        if_exists: fields.choice(
            "if_exists",
            &[("reject", IfExists::Reject), ("replace", IfExists::Replace)],
            usual.if_exists,
        ),
        files_max: fields.integer("max_files", usual.files_max),
        write_within: fields.duration("write_within", usual.write_within),
    }
}
