//! Bulk work on dead letters: grouped, begun, followed, aborted.

use axum::http::StatusCode;
use medway::access::role::Role;
use medway::message::id::{DestinationId, MessageId};
use medway::message::outcome::Answer;
use medway::message::plan::{Joins, Lane};
use medway::store::{Change, Exception, ExceptionState};
use serde_json::{Value, json};

use crate::access::{Caller, House};
use crate::admin::{adt, message};

impl House {
    /// Sets a message's delivery aside, as its runner does when the receiver refuses it.
    pub(crate) async fn dead(&self, id: &str, destination: &str, text: &str) {
        let seq = self.engine.store().find(MessageId::parse(id).unwrap()).await.unwrap();
        let row = Exception {
            destination: self.number(destination),
            seq,
            lane: Lane::NONE,
            joins: Joins::NONE,
            state: ExceptionState::Dead,
            attempts: 1,
            since: self.clock.now(),
            due: self.clock.now(),
            cause: "rejected".into(),
            answer: Answer::new("AE", text),
        };
        self.engine.store().record(vec![Change::Except(row)]).await.unwrap();
    }

    /// Nothing is sent there, so that what a test says of its deliveries stays so.
    pub(crate) async fn still(&self, destination: &str) {
        let paused = self.engine.deliveries().pause(self.number(destination), "test", "test").await;
        paused.unwrap();
    }

    fn number(&self, destination: &str) -> DestinationId {
        self.engine.destination_id(destination).unwrap()
    }

    /// The job once it has ended.
    async fn ended(&self, caller: &Caller, id: &str) -> Value {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let job = self.get(caller, &format!("/jobs/{id}")).await;
            if job["state"] != "running" {
                return job;
            }
            assert!(std::time::Instant::now() < until, "{job}");
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until a job has acted so often.
async fn far(house: &House, caller: &Caller, id: &str, done: u64) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while house.get(caller, &format!("/jobs/{id}")).await["done"].as_u64().unwrap() < done {
        assert!(std::time::Instant::now() < until, "the job does not move");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_after_a_start_and_does_nothing_twice() {
    for act in ["replay", "skip"] {
        let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
        let op = house.operator().await;
        for n in 0..30 {
            let id = house.receive("adt", &message(&n.to_string(), "M1", "O")).await;
            house.dead(&id, "adt/his", "no visit").await;
        }
        let ask = json!({"act": act, "selection": {"destination": "adt/his", "state": "dead"},
                         "reason": "the HIS is back", "rate_per_second": 20});
        let begun = house.call(&op, "POST", "/jobs", &ask).await;
        let id = begun.body["id"].as_str().unwrap().to_owned();
        if act == "replay" {
            far(&house, &op, &id, 3).await;
        }
        // As after a loss of power: the last acts are on the disk, the note of them is not.
        let file = format!("jobs/{id}.json");
        let house = house
            .again(|data| {
                let text = std::fs::read_to_string(data.join(&file)).unwrap();
                let mut job: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(job["state"], "running");
                (job["done"], job["failed"]) = (json!(0), json!(0));
                std::fs::write(data.join(&file), job.to_string()).unwrap();
            })
            .await;
        let job = house.ended(&op, &id).await;
        assert_eq!((&job["state"], &job["total"]), (&json!("done"), &json!(30)), "{job}");
        let tried = job["done"].as_u64().unwrap() + job["failed"].as_u64().unwrap();
        assert_eq!(tried, 30, "{job}");
        let all = json!({"value": "M1", "limit": 100});
        let all = house.call(&op, "POST", "/messages/search", &all).await;
        let count = all.body["messages"].as_array().unwrap().len();
        assert_eq!(count, if act == "replay" { 60 } else { 30 }, "{act}: one replay each");
        let left = house.folder.path().join("data/jobs").join(format!("{id}.work"));
        // A moment after the job says that it is done.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while left.exists() {
            assert!(std::time::Instant::now() < until, "what was selected is forgotten at the end");
            tokio::task::yield_now().await;
        }
        house.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_one_cause_are_one_group_whatever_numbers_their_texts_hold() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(house.receive("adt", &message(&n.to_string(), "M1", "O")).await);
        let text = if n < 3 { format!("no visit {n}") } else { "bad code".to_owned() };
        house.dead(&ids[n], "adt/his", &text).await;
        house.pass(std::time::Duration::from_secs(60));
    }
    let found = house.call(&op, "POST", "/exceptions/groups", &json!({})).await;
    let groups = found.body["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2, "{}", found.body);
    assert_eq!((&groups[0]["count"], &groups[0]["text"]), (&json!(3), &json!("no visit 0")));
    assert_eq!(groups[0]["sample"], json!(ids[0]));
    assert_eq!((&groups[1]["count"], &groups[1]["code"]), (&json!(2), &json!("AE")));
    let viewer = house.person("ward", &[Role::Viewer]).await;
    let masked = house.call(&viewer, "POST", "/exceptions/groups", &json!({})).await;
    assert_eq!(masked.body["groups"].as_array().unwrap().len(), 1);
    assert_eq!(masked.body["groups"][0]["text"], "");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sends_all_dead_letters_of_a_cause_again_and_says_how_far_it_is() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    house.still("adt/his").await;
    for n in 0..7 {
        let id = house.receive("adt", &message(&n.to_string(), "M1", "O")).await;
        house.dead(&id, "adt/his", "no visit").await;
    }
    let ask = |act: &str, cause: &str| {
        json!({"act": act, "selection": {"cause": cause, "destination": "adt/his"},
               "reason": "the HIS is back", "rate_per_second": 1000})
    };
    let begun = house.call(&op, "POST", "/jobs", &ask("replay", "rejected")).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED, "{}", begun.body);
    let job = house.ended(&op, begun.body["id"].as_str().unwrap()).await;
    assert_eq!((&job["state"], &job["total"]), (&json!("done"), &json!(7)));
    assert_eq!(
        (&job["done"], &job["failed"], &job["by"]),
        (&json!(7), &json!(0), &json!("user:op"))
    );
    let all = house.call(&op, "POST", "/messages/search", &json!({"value": "M1"})).await;
    assert_eq!(all.body["messages"].as_array().unwrap().len(), 14, "each has its replay");
    let left = house.call(&op, "POST", "/exceptions/search", &json!({"state": "dead"})).await;
    assert_eq!(left.body["exceptions"], json!([]), "nobody waits for what was sent again");
    // Asked for once more, also by the messages' names and in the state they are in now, nothing is sent twice.
    let ids: Vec<Value> =
        all.body["messages"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    let named = json!({"act": "replay", "selection": {"ids": ids, "state": "cancelled"}, "reason": "again"});
    for (ask, total) in [(ask("replay", "rejected"), 0), (named, 7)] {
        let begun = house.call(&op, "POST", "/jobs", &ask).await;
        let job = house.ended(&op, begun.body["id"].as_str().unwrap()).await;
        assert_eq!((&job["total"], &job["failed"]), (&json!(total), &json!(0)), "{job}");
    }
    let all = house.call(&op, "POST", "/messages/search", &json!({"value": "M1"})).await;
    assert_eq!(all.body["messages"].as_array().unwrap().len(), 14, "sent once");
    let none = house.call(&op, "POST", "/jobs", &ask("retry", "no_such_cause")).await;
    let job = house.ended(&op, none.body["id"].as_str().unwrap()).await;
    assert_eq!(job["total"], 0);
    let listed = house.get(&op, "/jobs").await;
    assert_eq!(listed["jobs"].as_array().unwrap().len(), 4);
    assert!(house.trail().await.contains(&"user:op job.begin granted adt/his".to_owned()));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_ends_when_somebody_aborts_it_and_needs_a_reason_and_a_selection() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    for n in 0..50 {
        let id = house.receive("adt", &message(&n.to_string(), "M1", "O")).await;
        house.dead(&id, "adt/his", "no visit").await;
    }
    let slow = json!({"act": "replay", "selection": {"state": "dead"}, "reason": "try", "rate_per_second": 1});
    let begun = house.call(&op, "POST", "/jobs", &slow).await;
    let id = begun.body["id"].as_str().unwrap().to_owned();
    let abort = format!("/jobs/{id}/abort");
    let stranger = house.person_of("lab", &[Role::Operator], &["laboratory"]).await;
    let hidden = house.call(&stranger, "POST", &abort, &json!({"reason": "no"})).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    let stopped = house.call(&op, "POST", &abort, &json!({"reason": "wrong one"})).await;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.body);
    let job = house.ended(&op, &id).await;
    assert_eq!(job["state"], "aborted");
    assert!(job["done"].as_u64().unwrap() < 50);
    let again = house.call(&op, "POST", &abort, &json!({"reason": "again"})).await;
    assert_eq!(again.body["code"], "not_running");
    for (body, code) in [
        (json!({"act": "retry", "selection": {}, "reason": "x"}), "no_selection"),
        (json!({"act": "retry", "selection": {"state": "dead"}, "reason": " "}), "no_reason"),
    ] {
        let refused = house.call(&op, "POST", "/jobs", &body).await;
        assert_eq!(refused.body["code"], code);
    }
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_one_group_leaves_the_other_group_of_the_same_cause_alone() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    house.still("adt/his").await;
    for n in 0..5 {
        let id = house.receive("adt", &message(&n.to_string(), "M1", "O")).await;
        let text = if n < 3 { format!("no visit {n}") } else { "bad code".to_owned() };
        house.dead(&id, "adt/his", &text).await;
    }
    let found = house.call(&op, "POST", "/exceptions/groups", &json!({})).await;
    let group = &found.body["groups"][1];
    assert_eq!(group["count"], 2, "{}", found.body);
    let selection = json!({"state": group["state"], "destination": group["destination"], "cause": group["cause"],
                           "code": group["code"], "fingerprint": group["fingerprint"]});
    let ask = json!({"act": "replay", "selection": selection, "reason": "the code is known now", "rate_per_second": 1000});
    let begun = house.call(&op, "POST", "/jobs", &ask).await;
    let job = house.ended(&op, begun.body["id"].as_str().unwrap()).await;
    assert_eq!((&job["total"], &job["done"]), (&json!(2), &json!(2)), "{job}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_releases_what_is_held_at_its_rate() {
    // A code that no table has holds a message until a person comes.
    let map = "    change:\n      - map: {at: PV1-2, codes: {I: IMP}}\n";
    let channel = adt("adt", "wards").replace("    change:\n", map);
    let channel = channel.replace("from:\n", "order_by: PID-3.1\nfrom:\n");
    let house = House::with(&[("adt", &channel)]).await;
    let op = house.operator().await;
    for n in 0..6 {
        // Each of another patient: a lane of its own.
        house.receive("adt", &message(&n.to_string(), &format!("M{n}"), "O")).await;
    }
    let held = json!({"state": "held", "destination": "adt/his"});
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let found = house.call(&op, "POST", "/exceptions/search", &held).await;
        if found.body["exceptions"].as_array().unwrap().len() == 6 {
            break;
        }
        assert!(std::time::Instant::now() < until, "{}", found.body);
        tokio::task::yield_now().await;
    }
    let release = json!({"act": "release", "selection": held, "reason": "the HIS is back", "rate_per_second": 5});
    let begun = std::time::Instant::now();
    let job = house.call(&op, "POST", "/jobs", &release).await;
    let job = house.ended(&op, job.body["id"].as_str().unwrap()).await;
    assert_eq!(
        (&job["state"], &job["done"], &job["failed"]),
        (&json!("done"), &json!(6), &json!(0)),
        "{job}"
    );
    // The first at once, and five more at five a second.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(900), "{:?}", begun.elapsed());
    let found = house.call(&op, "POST", "/messages/search", &json!({"value": "M0"})).await;
    let id = found.body["messages"][0]["id"].as_str().unwrap();
    let seen = house.get(&op, &format!("/messages/{id}")).await;
    let attempts = seen["deliveries"].to_string();
    assert!(attempts.contains("released"), "{attempts}");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pages_that_ask_for_groups_at_once_are_shown_what_is() {
    let house = House::with(&[("adt", &adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let ward = house.person_of("ward", &[Role::Viewer], &["others"]).await;
    for n in 0..3 {
        let id = house.receive("adt", &message(&n.to_string(), "M1", "O")).await;
        house.dead(&id, "adt/his", "no visit").await;
        let asked = json!({});
        let all = (0..20).map(|_| house.call(&op, "POST", "/exceptions/groups", &asked));
        for found in futures_util::future::join_all(all).await {
            assert_eq!(found.body["groups"][0]["count"], n + 1, "nobody is shown what was before");
        }
        let hidden = house.call(&ward, "POST", "/exceptions/groups", &asked).await;
        assert_eq!(hidden.body["groups"], json!([]), "what is shared is not shown to others");
    }
    house.end().await;
}
