//! `from:` as the options of a source.

use std::path::PathBuf;

use crate::config::fhir;
use crate::config::read::Fields;
use crate::config::secrets::Secrets;
use crate::hl7::charset::{Charset, CharsetRule};
use crate::message::kind::ContentType;
use crate::source::fhir::options::FhirSourceOptions;
use crate::source::file::options::{Done, FileOrder, FileSourceOptions};
use crate::source::http::options::{BearerToken, HttpSourceOptions, HttpTimeouts};
use crate::source::mllp::options::{
    AckMode, AckOptions, ApplicationAck, BatchReply, BatchUnit, CertifiedSender, FrameEnd,
    MllpSourceOptions, MllpTimeouts, NestedStart, NoHeader, OnUnavailable, PeerFull, SenderAckMode,
    Side,
};
use crate::yaml::decode;
use crate::yaml::finding::Finding;
use crate::yaml::node::Node;

/// Where a channel's messages come from.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceOptions {
    /// HL7 v2 over MLLP.
    Mllp(Box<MllpSourceOptions>),
    /// HTTP POST.
    Http(Box<HttpSourceOptions>),
    /// A FHIR R4 endpoint.
    Fhir(Box<FhirSourceOptions>),
    /// Files of a directory.
    File(Box<FileSourceOptions>),
    /// Topics of this engine.
    Topics(Vec<String>),
}

/// Reads `from:`; `None` when it names no source.
pub(super) fn read(
    node: &Node,
    folder: &std::path::Path,
    secrets: &Secrets,
    findings: &mut Vec<Finding>,
) -> Option<SourceOptions> {
    let fields = Fields::of(Some(node));
    if let Some(node) = fields.node("mllp") {
        let ack = ack(fields, findings);
        return Some(SourceOptions::Mllp(Box::new(mllp(Fields::of(Some(node)), ack, findings))));
    }
    if let Some(node) = fields.node("ack") {
        findings.push(
            Finding::error("E0417", node, "`ack` concerns MLLP senders only")
                .hint("remove it: HTTP answers 2xx, and files move, once the message is stored"),
        );
    }
    if let Some(node) = fields.node("http") {
        return Some(SourceOptions::Http(Box::new(http(
            Fields::of(Some(node)),
            secrets,
            findings,
        ))));
    }
    if let Some(node) = fields.node("fhir") {
        let options = fhir::read(Fields::of(Some(node)), folder, secrets, findings);
        return Some(SourceOptions::Fhir(Box::new(options)));
    }
    if let Some(node) = fields.node("file") {
        return Some(SourceOptions::File(Box::new(file(Fields::of(Some(node)), folder))));
    }
    fields.node("topic").map(|_| SourceOptions::Topics(fields.texts("topic")))
}

fn boxed(texts: Vec<String>) -> Vec<Box<str>> {
    texts.into_iter().map(Into::into).collect()
}

fn mllp(fields: Fields<'_>, ack: AckOptions, findings: &mut Vec<Finding>) -> MllpSourceOptions {
    let usual = MllpSourceOptions::default();
    let listen = fields.text("listen").and_then(|text| decode::address(text).ok());
    let connect = fields.text("connect").and_then(|text| decode::endpoint(text).ok());
    let side = match (listen, connect) {
        (_, Some((host, port))) => Side::Connect { host, port },
        (Some(address), None) => Side::Listen(address),
        (None, None) => usual.side,
    };
    let senders = fields.many("senders").into_iter().map(|node| {
        let sender = Fields::of(Some(node));
        CertifiedSender {
            certificate: sender.text("certificate").unwrap_or_default().into(),
            applications: boxed(sender.texts("applications")),
            facilities: boxed(sender.texts("facilities")),
        }
    });
    if let (Some(node), None) = (fields.node("senders"), fields.node("tls")) {
        findings.push(
            Finding::error(
                "E0418",
                node,
                "`senders` are named by their certificates, but there is no `tls`",
            )
            .hint("add `tls: NAME` of a profile with client_auth: required"),
        );
    }
    MllpSourceOptions {
        side,
        tls: fields.text("tls").map(Into::into),
        senders: senders.collect(),
        allow: fields.networks("allow", findings),
        connections_max: fields.integer("max_connections", usual.connections_max),
        connections_per_peer_max: fields
            .integer("max_connections_per_peer", usual.connections_per_peer_max),
        peer_full: fields.choice(
            "peer_full",
            &[("refuse_new", PeerFull::RefuseNew), ("close_oldest", PeerFull::CloseOldest)],
            usual.peer_full,
        ),
        message_bytes_max: fields.size("max_message", usual.message_bytes_max),
        garbage_bytes_max: u64::try_from(fields.size("max_garbage", 64 << 10)).unwrap_or(u64::MAX),
        nested_start: fields.choice(
            "nested_start",
            &[("resync", NestedStart::Resync), ("reject", NestedStart::Reject)],
            usual.nested_start,
        ),
        frame_end: fields.choice(
            "frame_end",
            &[("strict", FrameEnd::Strict), ("lenient", FrameEnd::Lenient)],
            usual.frame_end,
        ),
        frames_in_flight_max: fields.integer("frames_in_flight", usual.frames_in_flight_max),
        timeouts: mllp_timeouts(fields.below("timeouts")),
        ack,
    }
}

fn mllp_timeouts(fields: Fields<'_>) -> MllpTimeouts {
    let usual = MllpTimeouts::default();
    MllpTimeouts {
        handshake: fields.duration("handshake", usual.handshake),
        first_byte: fields.duration("first_byte", usual.first_byte),
        in_frame: fields.duration("in_frame", usual.in_frame),
        frame: fields.duration("frame", usual.frame),
        idle: fields.duration("idle", usual.idle),
        ack: fields.duration("ack", usual.ack),
        write: fields.duration("write", usual.write),
        keepalive: fields.duration("keepalive", usual.keepalive),
        user: fields.duration("unconfirmed", usual.user),
        connect: fields.duration("connect", usual.connect),
        reconnect_max: fields.duration("reconnect_max", usual.reconnect_max),
    }
}

const MODES: [(&str, AckMode); 5] = [
    ("auto", AckMode::Auto),
    ("original", AckMode::Original),
    ("enhanced", AckMode::Enhanced),
    ("byte", AckMode::Byte),
    ("none", AckMode::None),
];

/// `from.ack`: a word or a mapping.
fn ack(from: Fields<'_>, findings: &mut Vec<Finding>) -> AckOptions {
    let usual = AckOptions::default();
    if from.text("ack").is_some() {
        let mode = from.choice("ack", &[("none", AckMode::None)], usual.mode);
        return AckOptions { mode, charset: charset(from), ..usual };
    }
    let fields = from.below("ack");
    let modes = fields.many("modes").into_iter().map(|node| sender_mode(node, findings)).collect();
    AckOptions {
        mode: fields.choice("mode", &MODES, usual.mode),
        modes,
        on_unavailable: fields.choice(
            "on_unavailable",
            &[
                ("error", OnUnavailable::Error),
                ("reject", OnUnavailable::Reject),
                ("close", OnUnavailable::Close),
            ],
            usual.on_unavailable,
        ),
        application_ack: fields.choice(
            "application",
            &[("same_connection", ApplicationAck::SameConnection), ("none", ApplicationAck::None)],
            usual.application_ack,
        ),
        batch_reply: fields.choice(
            "batch_reply",
            &[
                ("individual", BatchReply::Individual),
                ("errors_only", BatchReply::ErrorsOnly),
                ("single", BatchReply::Single),
            ],
            usual.batch_reply,
        ),
        batch_unit: fields.choice(
            "batch",
            &[("messages", BatchUnit::Messages), ("whole", BatchUnit::Whole)],
            usual.batch_unit,
        ),
        no_header: fields.choice(
            "no_header",
            &[("reject", NoHeader::Reject), ("silence", NoHeader::Silence)],
            usual.no_header,
        ),
        batch_messages_max: fields.integer("max_batch", usual.batch_messages_max),
        charset: charset(from),
    }
}

/// `from.charset`; names it does not know are refused where the channel is compiled.
fn charset(from: Fields<'_>) -> CharsetRule {
    let usual = CharsetRule::default();
    let below = from.below("charset");
    CharsetRule {
        forced: from.text("charset").and_then(Charset::from_name),
        otherwise: below.text("otherwise").and_then(Charset::from_name).unwrap_or(usual.otherwise),
    }
}

fn sender_mode(node: &Node, findings: &mut Vec<Finding>) -> SenderAckMode {
    let fields = Fields::of(Some(node));
    let (application, facility) = (fields.text("application"), fields.text("facility"));
    if application.is_none() && facility.is_none() {
        findings.push(
            Finding::error("E0102", node, "this line of `modes` names no sender")
                .hint("add `application` (MSH-3) or `facility` (MSH-4)"),
        );
    }
    SenderAckMode {
        application: application.map(Into::into),
        facility: facility.map(Into::into),
        mode: fields.choice("mode", &MODES, AckMode::Auto),
    }
}

/// The names of content types in files.
const CONTENT: [(&str, ContentType); 5] = [
    ("hl7", ContentType::Hl7v2),
    ("json", ContentType::Json),
    ("fhir", ContentType::FhirJson),
    ("text", ContentType::Text),
    ("bytes", ContentType::Bytes),
];

fn http(fields: Fields<'_>, secrets: &Secrets, findings: &mut Vec<Finding>) -> HttpSourceOptions {
    let usual = HttpSourceOptions::default();
    let mut tokens = Vec::new();
    for node in fields.many("tokens") {
        tokens.extend(secrets.read(node, findings).map(|secret| BearerToken::new(secret.expose())));
    }
    if let Some(node) =
        fields.node("path").filter(|node| node.text().is_some_and(|t| !t.starts_with('/')))
    {
        let text = node.text().unwrap_or_default();
        findings.push(
            Finding::error("E0104", node, "path: a path begins with a slash")
                .hint("e.g. /adt")
                .fix(format!("/{text}")),
        );
    }
    let contents = CONTENT.map(|(name, content)| (name, Some(content)));
    let waits = fields.below("timeouts");
    HttpSourceOptions {
        listen: fields
            .text("listen")
            .and_then(|text| decode::address(text).ok())
            .unwrap_or(usual.listen),
        path: fields.text("path").map_or(usual.path, Into::into),
        tls: fields.text("tls").map(Into::into),
        allow: fields.networks("allow", findings),
        tokens,
        content_type: fields.choice("content", &contents, usual.content_type),
        body_bytes_max: fields.size("max_message", usual.body_bytes_max),
        batch_messages_max: fields.integer("max_batch", usual.batch_messages_max),
        connections_max: fields.integer("max_connections", usual.connections_max),
        connections_per_peer_max: fields
            .integer("max_connections_per_peer", usual.connections_per_peer_max),
        retry_after: fields.duration("retry_after", usual.retry_after),
        idempotency_within: fields.duration("idempotency_within", usual.idempotency_within),
        timeouts: HttpTimeouts {
            handshake: waits.duration("handshake", usual.timeouts.handshake),
            header: waits.duration("header", usual.timeouts.header),
            body: waits.duration("body", usual.timeouts.body),
            answer: waits.duration("answer", usual.timeouts.answer),
        },
    }
}

/// Relative directories are meant from the folder of the channel file.
fn file(fields: Fields<'_>, folder: &std::path::Path) -> FileSourceOptions {
    let usual = FileSourceOptions::default();
    let done = match fields.text("done") {
        None => usual.done,
        Some("delete") => Done::Delete,
        Some(place) => Done::MoveTo(PathBuf::from(place)),
    };
    FileSourceOptions {
        directory: folder.join(fields.text("directory").unwrap_or_default()),
        pattern: fields.text("pattern").map_or(usual.pattern, Into::into),
        content_type: fields.choice("content", &CONTENT, usual.content_type),
        poll: fields.duration("poll", usual.poll),
        min_age: fields.duration("min_age", usual.min_age),
        order: fields.choice(
            "order",
            &[("name", FileOrder::Name), ("changed", FileOrder::Changed)],
            usual.order,
        ),
        file_bytes_max: fields.size("max_file", usual.file_bytes_max),
        files_max: fields.integer("max_files", usual.files_max),
        done,
        failed: fields.text("failed").map_or(usual.failed, PathBuf::from),
        answer: fields.duration("answer", usual.answer),
        repeat_within: fields.duration("repeat_within", usual.repeat_within),
        batch_messages_max: fields.integer("max_batch", usual.batch_messages_max),
    }
}
