//! Shapes of answers that are put together by hand, for the document alone. A test holds them against real
//! answers: each member an answer has is here, and each that is here and not optional is in the answer.

use utoipa::ToSchema;

/// A refusal (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct ProblemShape {
    r#type: String,
    title: String,
    status: u16,
    /// A stable word.
    code: String,
    /// For people.
    detail: String,
}

/// Nothing.
#[derive(ToSchema)]
pub(crate) struct Empty {}

/// An act that was done.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Done {
    /// Which.
    done: String,
}

/// Who is signed in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Session {
    user: String,
    /// `counts`, `metadata`, `masked` or `full`.
    view: String,
    /// Channel groups; none: all channels.
    groups: Vec<String>,
    permissions: Vec<String>,
    /// Goes into `X-CSRF-Token`.
    csrf: String,
    /// When it ends at the latest.
    expires_at: Option<String>,
    /// Seconds until it ends when nobody uses it. A call with `X-Medway-Background` is no use of it.
    ends_in_seconds: Option<u64>,
    emergency_until: Option<String>,
}

/// Name and password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct SignIn {
    user: String,
    password: String,
    /// Of the second factor.
    code: Option<String>,
}

/// The first user.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct SetUp {
    /// Of the one-time link.
    token: String,
    user: String,
    password: String,
}

/// Another password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct NewPassword {
    old: String,
    new: String,
}

/// A second factor: nothing to draw one, both to enrol it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Factor {
    drawn: Option<String>,
    code: Option<String>,
}

/// A second factor as drawn, or enrolled.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct FactorAnswer {
    drawn: Option<String>,
    /// For an authenticator.
    link: Option<String>,
    enrolled: Option<bool>,
}

/// Who again, and why.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Emergency {
    password: String,
    reason: String,
}

/// Emergency access.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct EmergencyAnswer {
    emergency_until: String,
}

/// A user.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct User {
    name: String,
    /// For `If-Match`.
    etag: String,
    groups: Vec<String>,
    display: String,
    roles: Vec<String>,
    view: String,
    second_factor: bool,
    disabled: bool,
    locked: bool,
    created_at: String,
}

/// Everybody.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Users {
    users: Vec<User>,
    /// `after` of the next page.
    next: Option<String>,
    /// All roles there are.
    roles: Vec<String>,
}

/// An API token, without itself.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct ApiToken {
    name: String,
    /// For `If-Match`.
    etag: String,
    groups: Vec<String>,
    roles: Vec<String>,
    view: String,
    created_by: String,
    created_at: String,
    ends_at: String,
    revoked: bool,
}

/// All API tokens.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Tokens {
    tokens: Vec<ApiToken>,
    /// `after` of the next page.
    next: Option<String>,
}

/// An API token, this once.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct DrawnToken {
    name: String,
    token: String,
    ends_at: String,
}

/// A record of the trail.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct AuditLine {
    number: i64,
    at: String,
    actor: String,
    address: String,
    action: String,
    outcome: String,
    object: String,
    reason: String,
}

/// Records, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct AuditRecords {
    records: Vec<AuditLine>,
    /// `before` of the next page.
    next: Option<i64>,
}

/// Whether the trail is whole.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Verified {
    whole: bool,
    records: Option<u64>,
    /// Hash of the last record.
    head: Option<String>,
    /// The first that is wrong.
    record: Option<i64>,
    why: Option<String>,
}

/// The store.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct StoreStatusShape {
    /// Last place in the log. This and the next three: absent to who is limited to groups.
    #[schema(required = false, nullable = false)]
    head: Option<i64>,
    #[schema(required = false, nullable = false)]
    first: Option<i64>,
    #[schema(required = false, nullable = false)]
    size_bytes: Option<u64>,
    #[schema(required = false, nullable = false)]
    commits: Option<u64>,
    failing: Option<String>,
}

/// The engine as a whole.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Status {
    version: String,
    ready: bool,
    /// Why no message is taken.
    not_ready: Vec<String>,
    store: StoreStatusShape,
}

/// A source.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct SourceShape {
    kind: String,
    listens: Option<String>,
    /// Why it does not listen, although it should.
    down: Option<String>,
    connections: u64,
    last_message_at: Option<String>,
    received: u64,
    refused: u64,
    last_refusal: Option<String>,
}

/// An operator's stop.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct PausedShape {
    by: String,
    reason: String,
    at: String,
}

/// A destination; one that does not run has its name and state alone.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Destination {
    /// `channel/destination`.
    destination: String,
    /// `flowing`, `retrying`, `blocked`, `stalled`, `paused`, `removed` (no channel has it any more) or
    /// `stopped`.
    state: String,
    /// Since the start.
    delivered: Option<u64>,
    pending: Option<u64>,
    in_flight: Option<u64>,
    retry: Option<u64>,
    held: Option<u64>,
    behind: Option<u64>,
    dead: Option<u64>,
    oldest_seconds: Option<f64>,
    breaker: Option<String>,
    last_error: Option<String>,
    stalled: Option<String>,
    paused: Option<PausedShape>,
    lagging: Option<bool>,
    next_attempt: Option<String>,
}

/// A channel in force.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct ChannelLine {
    channel: String,
    version: u32,
    sources: Vec<SourceShape>,
    destinations: Vec<Destination>,
    /// Who stopped its source, when it is stopped.
    stopped: Option<PausedShape>,
}

/// A file that was refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct RefusedFile {
    file: String,
    channel: Option<String>,
    findings: String,
}

/// Every channel in force.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Channels {
    channels: Vec<ChannelLine>,
    /// `after` of the next page.
    next: Option<String>,
    /// Destinations that no channel has any more, with what waits there.
    removed: Vec<Destination>,
    refused: Vec<RefusedFile>,
}

/// Every destination.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Destinations {
    destinations: Vec<Destination>,
    /// `after` of the next page.
    next: Option<String>,
}

/// An endpoint.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct EndpointShape {
    endpoint: String,
    healthy: bool,
    in_flight: u64,
    last_error: Option<String>,
}

/// A lane that waits.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct LaneShape {
    /// Id of the message at its head.
    message: Option<String>,
    seq: i64,
    state: String,
    cause: String,
    since: String,
    behind: u64,
}

/// A destination with its endpoints and blocked lanes; the rest as of `Destination`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct DestinationDetail {
    destination: String,
    state: String,
    endpoints: Vec<EndpointShape>,
    lanes: Vec<LaneShape>,
}

/// A search key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct KeyShape {
    name: String,
    value: String,
}

/// A message without its deliveries.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct MessageLine {
    id: String,
    seq: i64,
    received_at: String,
    channel: String,
    kind: String,
    event: String,
    control_id: String,
    content_type: String,
    keys: Vec<KeyShape>,
}

/// Messages, newest first.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Messages {
    messages: Vec<MessageLine>,
    /// `before` of the next page.
    next: Option<i64>,
}

/// Why a message exists although no sender sent it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct OriginShape {
    parent: String,
    by: String,
    reason: String,
}

/// An attempt that did not succeed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct AttemptShape {
    number: u32,
    at: String,
    milliseconds: f64,
    outcome: String,
    code: String,
    text: String,
}

/// What became of a message at one destination.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct DeliveryShape {
    destination: String,
    version: u32,
    state: String,
    attempts: Vec<AttemptShape>,
    at: Option<String>,
    attempts_made: Option<u32>,
    milliseconds: Option<f64>,
    code: Option<String>,
    text: Option<String>,
    sent_hash: Option<String>,
    cause: Option<String>,
    since: Option<String>,
    due: Option<String>,
}

/// A message with what became of it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Message {
    id: String,
    seq: i64,
    received_at: String,
    channel: String,
    kind: String,
    event: String,
    control_id: String,
    content_type: String,
    keys: Vec<KeyShape>,
    size_bytes: u64,
    origin: Option<OriginShape>,
    deliveries: Vec<DeliveryShape>,
}

/// A delivery that left the straight path.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct ExceptionShape {
    destination: String,
    seq: i64,
    message: Option<String>,
    state: String,
    cause: String,
    attempts_made: u32,
    since: String,
    due: String,
    code: String,
    text: String,
}

/// Deliveries that left the straight path.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Exceptions {
    exceptions: Vec<ExceptionShape>,
    /// `after` of the next page.
    next: Option<(u32, i64)>,
}

/// The sums of one destination.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct ConservationSum {
    destination: String,
    planned: u64,
    filtered: u64,
    delivered: u64,
    retry: u64,
    held: u64,
    behind: u64,
    dead: u64,
    cancelled: u64,
    pending: u64,
    unaccounted: u64,
}

/// The sums of every destination.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct ConservationSums {
    destinations: Vec<ConservationSum>,
}

/// What waits for a subscriber.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct SubscriberDelivery {
    pending: u64,
    in_flight: u64,
    retry: u64,
    behind: u64,
    dead: u64,
    paused: Option<String>,
    next_attempt: Option<String>,
}

/// A FHIR subscription.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Subscription {
    id: String,
    channel: String,
    destination: String,
    status: String,
    since: String,
    topic: String,
    endpoint: Option<String>,
    content: String,
    error: Option<String>,
    events: u64,
    failures: u32,
    failing_since: Option<String>,
    last_success: Option<String>,
    last_failure: Option<String>,
    signed: bool,
    delivery: Option<SubscriberDelivery>,
}

/// All subscriptions that are not off, and those that the engine turned off in the last 30 days.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Subscriptions {
    subscriptions: Vec<Subscription>,
}

/// A secret; shown this once when it was drawn.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct RotatedSecret {
    id: String,
    secret: Option<String>,
    public: Option<String>,
    overlap_seconds: u64,
}

/// What the act answers.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Anything {
    id: Option<String>,
    accepted: Option<bool>,
    code: Option<String>,
}

/// What a reload changed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Reloaded {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    unchanged: Vec<String>,
    refused: Vec<RefusedFile>,
    /// What waits at destinations that no channel has any more.
    stranded: Vec<Stranded>,
}

/// What waits at a destination that no channel has any more.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its schema is all that is used of it")]
pub(crate) struct Stranded {
    /// `channel/destination`.
    destination: String,
    /// Neither delivered nor set aside.
    waiting: u64,
    /// Those of them that wait for a person.
    held: u64,
    dead: u64,
}
