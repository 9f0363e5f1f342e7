//! A message and the response it is answered with later, stored in one transaction: after a crash either
//! both are there or none, so that whoever was told that the answer follows gets it, once.

use xxhash_rust::xxh3::xxh3_64;

use crate::message::id::MessageId;
use crate::message::time::Timestamp;
use crate::message::verdict::{DuplicateRule, IfChanged, Problem};
use crate::source::intake::{Intake, Received, Reply, settle};
use crate::store::NewMessage;

impl Intake {
    /// Takes one message together with the response that `respond` makes of its id and the time it was
    /// received. Both are durable before the reply, and the channels that listen to the response deliver it.
    /// A repeat of the message is one of its response too: neither is stored again.
    pub async fn receive_answered(
        &self,
        received: Received,
        respond: impl FnOnce(MessageId, Timestamp) -> Received,
    ) -> Reply {
        let batch = [received];
        let [received] = &batch;
        let _room = match self.enter(&batch) {
            Ok(room) => room,
            Err(reason) => {
                let reply = Reply::Unavailable { reason: reason.to_owned() };
                self.count(&batch, std::slice::from_ref(&reply));
                return reply;
            }
        };
        let reply = match self.both(received, respond) {
            Ok(both) => {
                let [message, _] = &both;
                let (id, received_at) = (message.envelope.id, message.envelope.received_at);
                let mut replies = [Reply::Accepted { id, received_at, repeat: false }];
                settle(&mut replies, self.append(Vec::from(both)).await);
                let [reply] = replies;
                reply
            }
            Err(problem) => Reply::Refused(problem),
        };
        self.count(&batch, std::slice::from_ref(&reply));
        if let Reply::Refused(problem) = &reply {
            self.keep(received, format!("{} {}", problem.code, problem.text)).await;
        }
        reply
    }

    fn both(
        &self,
        received: &Received,
        respond: impl FnOnce(MessageId, Timestamp) -> Received,
    ) -> Result<[NewMessage; 2], Problem> {
        let mut message = self.guarded(|admit| admit.admit(received))?;
        if message.duplicate.is_none() {
            message.duplicate.clone_from(&received.duplicate);
        }
        let response = respond(message.envelope.id, message.envelope.received_at);
        let mut response = self.guarded(|admit| admit.respond(&response, &message))?;
        response.duplicate = message.duplicate.as_ref().map(rule_of_response);
        Ok([message, response])
    }
}

/// Responses are as new, as repeated or as contradictory as what they answer. That one was held for a person
/// to look at is no reason to hold its answer, which says that it was stored.
fn rule_of_response(rule: &DuplicateRule) -> DuplicateRule {
    let mut named = rule.identity.to_be_bytes().to_vec();
    named.extend_from_slice(b"response");
    let if_changed = match rule.if_changed {
        IfChanged::Refuse => IfChanged::Refuse,
        IfChanged::Hold | IfChanged::Accept => IfChanged::Accept,
    };
    DuplicateRule { identity: xxh3_64(&named), if_changed, ..rule.clone() }
}
