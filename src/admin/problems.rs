//! Every code that a problem of the API may have, with what it means and what to do. A code never changes its meaning.

/// Code, what it means, what to do. In the order of the codes.
pub const PROBLEMS: &[(&str, &str, &str)] = &[
    ("bad_days", "a token's life is out of range", "1 to 366 days"),
    (
        "bad_group",
        "a channel group cannot be read",
        "small letters, digits, - and _, as `group:` in a channel file",
    ),
    ("bad_id", "an id cannot be read", "message ids are UUIDs; copy the whole id"),
    (
        "bad_idempotency_key",
        "an `Idempotency-Key` cannot be taken",
        "1 to 255 visible ASCII characters",
    ),
    ("bad_name", "a name cannot be taken", "see the text; `admin` is the engine's own token"),
    (
        "bad_page",
        "a saved view's page cannot be read",
        "the path of the page's address, e.g. `/messages`",
    ),
    (
        "bad_payload",
        "an edited message cannot be read",
        "base64 of the whole message; the text names the place that cannot be read",
    ),
    (
        "bad_query",
        "a saved view's query cannot be kept",
        "what stands behind `?` in the page's address, without patient data",
    ),
    (
        "bad_render",
        "`render` does not suit the request",
        "what is edited is rendered anew: leave `render` out",
    ),
    (
        "bad_request",
        "the request cannot be read",
        "see the text: it names the field or the place in the JSON",
    ),
    ("bad_role", "there is no such role", "the text lists the roles"),
    ("bad_secret", "a secret cannot be taken", "see the text for its length and letters"),
    ("bad_state", "there is no such state", "one of retry, held, behind, dead, cancelled"),
    ("bad_time", "a time cannot be read", "RFC 3339 with a zone, e.g. 2026-01-31T08:00:00Z"),
    ("bad_view", "there is no such view level", "one of counts, metadata, masked, full"),
    (
        "beyond_own",
        "it would give more than its giver has",
        "ask somebody who has these rights and groups",
    ),
    (
        "changed_meanwhile",
        "somebody changed it since it was read (`If-Match`)",
        "read it again and repeat the change",
    ),
    (
        "fault",
        "the engine failed in a way it should not",
        "the log says more; the request may be repeated with its `Idempotency-Key`",
    ),
    (
        "forbidden",
        "the caller lacks the permission or the view level",
        "the text names it; a security administrator gives roles",
    ),
    (
        "forged",
        "the request does not come from a page of this engine",
        "load the page again; programs use a token in `Authorization`",
    ),
    (
        "idempotency_in_progress",
        "the first call with this key is being answered",
        "ask again in a moment",
    ),
    (
        "idempotency_key_reused",
        "the key belongs to another request",
        "use a new key for a new request",
    ),
    (
        "idempotency_unknown",
        "what the first call with this key answered is not known",
        "look whether it was done, then use a new key",
    ),
    (
        "method_not_allowed",
        "the route does not answer this method",
        "the text names those it answers",
    ),
    ("name_taken", "the name is taken", "choose another one"),
    (
        "no_body",
        "the message's bytes are gone (retention)",
        "its metadata and attempts are still there; it cannot be sent again",
    ),
    (
        "no_destination",
        "none of the destinations belongs to the message and is in force",
        "choose among those the message was meant for",
    ),
    ("no_event", "the subscription has no such event any more", "see its list of events"),
    (
        "no_password",
        "a password is needed to replace the second factor",
        "send `password` with the code",
    ),
    ("no_reason", "a reason is required: it goes on record", "say why in `reason`"),
    ("no_selection", "a job selects nothing", "name a state, a destination, a cause or ids"),
    (
        "no_user",
        "only a person who is signed in has that",
        "programs have no password and no second factor",
    ),
    (
        "not_found",
        "there is nothing of this name, or nothing that the caller sees",
        "check the name; channel groups hide what is not of them",
    ),
    (
        "not_in_force",
        "no channel in force has it",
        "put its channel in force again, or choose another destination",
    ),
    ("not_possible", "its state does not allow that", "the text names the state"),
    (
        "not_reloaded",
        "the files as a whole cannot be read; nothing changed",
        "`medway check` shows the findings",
    ),
    (
        "not_rendered",
        "nothing can be made of the message for this destination",
        "the text says which rule failed: mend the channel, then try the group again",
    ),
    ("not_running", "the job has ended", "nothing is left to abort"),
    ("not_taken", "a name or password cannot be taken", "the text says what it needs"),
    ("not_yours", "it belongs to somebody else", "save one of your own"),
    (
        "own_rights",
        "nobody changes their own rights or proofs this way",
        "ask another administrator; the password is changed under the account",
    ),
    (
        "second_factor",
        "the second factor does not fit",
        "check the device's clock; draw a new secret",
    ),
    (
        "second_factor_needed",
        "name and password are right; the code is missing or wrong",
        "send the code; each counts once",
    ),
    (
        "set_up",
        "the set-up link is not valid any more",
        "start the engine again: it prints a new one while nobody can sign in",
    ),
    ("too_large", "the request is too large", "the text names the limit"),
    ("too_many_ids", "a job names too many messages", "at most 1000; select by cause instead"),
    ("too_many_jobs", "eight jobs run already", "wait for one, or abort one"),
    ("too_many_views", "too many views are saved", "take some away"),
    ("too_slow", "the request was not whole in time", "20 seconds; look at the network"),
    (
        "unauthorized",
        "nobody is known by these credentials, or not any more",
        "sign in again, or use a token that is in force",
    ),
    (
        "unavailable",
        "the engine cannot do it now",
        "the text says what to look at: the disk, the store, the number of connections",
    ),
    (
        "unknown",
        "name or password is wrong, or the account is locked or disabled",
        "one answer for all of them; locks end by themselves after a minute or more",
    ),
];

/// What a code means and what to do about it.
#[must_use]
pub fn explain(code: &str) -> Option<(&'static str, &'static str)> {
    PROBLEMS.iter().find(|known| known.0 == code).map(|(_, means, todo)| (*means, *todo))
}

/// The part of `docs/errors.md` that tells of the API.
#[must_use]
pub fn page() -> String {
    let mut page = "\n# Codes of the API's problems\n\nA refusal is a problem (RFC 9457) with one of these in \
        `code`; its `detail` says more. `medway explain forbidden` prints one of them.\n\n\
        | code | it means | what to do |\n| --- | --- | --- |\n"
        .to_owned();
    for (code, means, todo) in PROBLEMS {
        page.push_str(&format!("| `{code}` | {means} | {todo} |\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_in_their_order_once() {
        assert!(PROBLEMS.is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(
            explain("forged").map(|one| one.0),
            Some("the request does not come from a page of this engine")
        );
        assert_eq!(explain("none"), None);
    }
}
