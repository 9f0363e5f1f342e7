//! Who sees which channels: a user or token limited to groups sees the channels whose file says one of
//! them (`group:`), and the messages that came to or went through such a channel. What is not seen is
//! answered as if it did not exist.

use serde_json::Value;

use crate::access::door::Actor;
use crate::access::role::View;
use crate::admin::problem::Problem;
use crate::engine::Engine;
use crate::message::StoredMessage;
use crate::message::id::DestinationId;

/// Whether a channel is within the actor's groups.
pub(crate) fn sees_channel(engine: &Engine, actor: &Actor, channel: &str) -> bool {
    actor.groups.is_empty()
        || engine.group_of(channel).is_some_and(|group| actor.groups.contains(&group))
}

/// Whether a destination's channel is within the actor's groups.
pub(crate) fn sees_destination(engine: &Engine, actor: &Actor, id: DestinationId) -> bool {
    if actor.groups.is_empty() {
        return true;
    }
    let name = engine.destination_name(id);
    name.split_once('/').is_some_and(|(channel, _)| sees_channel(engine, actor, channel))
}

/// Whether a message came to, or goes to, a channel within the actor's groups.
pub(crate) fn sees_message(engine: &Engine, actor: &Actor, message: &StoredMessage) -> bool {
    sees_channel(engine, actor, &message.envelope.channel)
        || message
            .plan
            .entries
            .iter()
            .any(|entry| sees_destination(engine, actor, entry.destination))
}

/// Whether a search key of a message is hidden at this view level: all of them where no values are shown, and below
/// the full view those that the channel file says to `mask`. What the file of a channel said that is not in
/// force any more is not known, so it hides all of them.
pub(crate) fn hides_key(engine: &Engine, view: View, message: &StoredMessage, name: &str) -> bool {
    if view != View::Masked {
        return view < View::Masked;
    }
    let channels = engine.registry().channels();
    let own = channels.get(&message.envelope.channel);
    own.is_none_or(|own| own.channel.masked_keys().any(|masked| **masked == *name))
}

/// The number of a destination that the actor sees.
pub(crate) fn destination(
    engine: &Engine,
    actor: &Actor,
    name: &str,
) -> Result<DestinationId, Problem> {
    let found = engine.destination_id(name).filter(|id| sees_destination(engine, actor, *id));
    found.ok_or_else(|| Problem::missing("destination"))
}

/// Whether something is within the actor's groups that concerns the engine as a whole.
pub(crate) fn sees_all(actor: &Actor) -> bool {
    actor.groups.is_empty()
}

/// The refused files that the actor sees: of channels in force within their groups. A file whose channel is
/// not in force has no group yet.
pub(crate) fn refused(engine: &Engine, actor: &Actor) -> Value {
    let all = engine.refused_files();
    let Value::Array(files) = all else { return all };
    let seen = |file: &Value| {
        let channel = file.get("channel").and_then(Value::as_str);
        sees_all(actor) || channel.is_some_and(|channel| sees_channel(engine, actor, channel))
    };
    Value::Array(files.into_iter().filter(seen).collect())
}
