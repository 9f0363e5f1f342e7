//! Search by key, channel and time: in the tail of the index, in its runs, and after a restart.

use std::sync::Arc;

use medway::message::id::{MessageId, Seq};
use medway::message::time::Timestamp;
use medway::store::{MessageQuery, Store};

use super::build::{Fixture, START, message};

const MESSAGES: i64 = 10_000;

fn mrn_of(n: i64) -> String {
    // Not in order, each about 40 times.
    format!("{:05}", (n * 7919) % 251)
}

fn channel_of(n: i64) -> &'static str {
    if n % 1000 == 17 { "rare" } else { "adt" }
}

async fn fill(store: &Arc<dyn Store>) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for chunk in 0..(MESSAGES / 100) {
        let messages: Vec<_> = (1..=100)
            .map(|n| chunk * 100 + n)
            .map(|n| {
                message(n).channel(channel_of(n)).key("mrn", &mrn_of(n)).key("visit", "v").build()
            })
            .collect();
        ids.extend(messages.iter().map(|message| message.envelope.id));
        store.append(messages).await.unwrap();
    }
    ids
}

/// What a search must find: message `n` has place `n`.
fn expected(query: &MessageQuery) -> Vec<i64> {
    let matches = |n: &i64| {
        let at = Timestamp(START + n * 1000);
        let key = query.key.as_ref().is_none_or(|(name, value)| match name.as_deref() {
            Some("mrn") => **value == mrn_of(*n),
            Some("visit") => &**value == "v",
            Some("control") => **value == format!("C{n}"),
            Some(_) => false,
            None => **value == mrn_of(*n) || &**value == "v" || **value == format!("C{n}"),
        });
        key && query.channel.as_deref().is_none_or(|channel| channel == channel_of(*n))
            && query.before.is_none_or(|before| *n < before.0)
            && query.since.is_none_or(|since| at >= since)
            && query.until.is_none_or(|until| at < until)
    };
    let limit = usize::try_from(query.limit).unwrap();
    (1..=MESSAGES).rev().filter(matches).take(limit).collect()
}

async fn check(store: &Arc<dyn Store>, query: MessageQuery) {
    let found = store.search(query.clone()).await.unwrap();
    let places: Vec<i64> = found.iter().map(|message| message.seq.0).collect();
    assert_eq!(places, expected(&query), "{query:?}");
    assert!(found.iter().all(|message| message.payload.is_empty()));
}

fn key(name: Option<&str>, value: &str) -> MessageQuery {
    let key = Some((name.map(Into::into), value.into()));
    MessageQuery { key, limit: 500, ..MessageQuery::default() }
}

async fn check_all(store: &Arc<dyn Store>) {
    for n in [1, 4096, 4097, 9_999] {
        check(store, key(Some("mrn"), &mrn_of(n))).await;
        check(store, key(Some("control"), &format!("C{n}"))).await;
        check(store, key(None, &mrn_of(n))).await;
    }
    check(store, key(Some("mrn"), "nobody")).await;
    check(store, key(Some("unknown"), "v")).await;
    let mrn = key(Some("mrn"), &mrn_of(42));
    check(store, MessageQuery { limit: 3, ..mrn.clone() }).await;
    for before in [1, 300, 4500, 8200, 10_000] {
        check(store, MessageQuery { before: Some(Seq(before)), limit: 7, ..mrn.clone() }).await;
        check(store, MessageQuery { before: Some(Seq(before)), limit: 7, ..Default::default() })
            .await;
    }
    let (since, until) = (Some(Timestamp(START + 3_000_000)), Some(Timestamp(START + 5_000_000)));
    check(store, MessageQuery { since, until, ..mrn }).await;
    check(store, MessageQuery { since, until, limit: 20, ..Default::default() }).await;
    let rare = MessageQuery { channel: Some("rare".into()), limit: 100, ..Default::default() };
    check(store, rare.clone()).await;
    check(store, MessageQuery { since, until, ..rare.clone() }).await;
    check(store, MessageQuery { key: key(Some("visit"), "v").key, ..rare }).await;
    let nobody = MessageQuery { channel: Some("none".into()), limit: 9, ..Default::default() };
    assert!(store.search(nobody).await.unwrap().is_empty());
}

#[tokio::test]
async fn finds_in_the_tail_in_runs_and_after_a_restart() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let ids = fill(&store).await;
    check_all(&store).await;
    store.close().await;
    let store = fixture.open().await;
    check_all(&store).await;
    for n in [0, 5_000, 9_999] {
        let place = store.find(ids[n]).await.unwrap();
        assert_eq!(place, Seq(i64::try_from(n).unwrap() + 1));
    }
    assert!(store.find(MessageId::new()).await.is_err());
}

#[tokio::test]
async fn a_long_value_is_found_by_itself() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let long = "患".repeat(500);
    store.append(vec![message(1).key("mrn", &long).build()]).await.unwrap();
    assert_eq!(store.search(key(Some("mrn"), &long)).await.unwrap().len(), 1);
}
