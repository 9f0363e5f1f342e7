//! What a reload leaves behind: destinations that no channel has any more, an order that was changed while
//! deliveries waited, a source that could not be opened again.

use std::time::{Duration, Instant};

use axum::http::{Request, StatusCode};
use medway::delivery::queue::{Act, RunnerStatus};
use medway::message::id::{MessageId, Seq};
use serde_json::json;
use tokio::net::TcpListener;

use crate::access::House;
use crate::admin::message;

/// Waits until something holds.
async fn until<T>(what: &str, mut holds: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = holds().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        tokio::task::yield_now().await;
    }
}

impl House {
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(format!("channels/{name}.yaml")), text).unwrap();
    }

    fn runner(&self, destination: &str) -> Option<RunnerStatus> {
        let id = self.engine.destination_id(destination)?;
        self.engine.deliveries().status(id).ok()
    }

    async fn waiting(&self, destination: &str, count: u64) -> RunnerStatus {
        let what = format!("{count} wait at {destination}");
        until(&what, async || {
            self.runner(destination).filter(|status| !status.lagging && status.waiting() == count)
        })
        .await
    }

    async fn cancel(&self, destination: &str, seq: Seq) {
        let id = self.engine.destination_id(destination).unwrap();
        let deliveries = self.engine.deliveries();
        // While it is tried it cannot be cancelled.
        until("it can be cancelled", async || {
            deliveries.act(id, Act::Cancel, seq, "ana", "nobody wants it").await.ok()
        })
        .await;
    }

    async fn seq(&self, id: &str) -> Seq {
        self.engine.store().find(MessageId::parse(id).unwrap()).await.unwrap()
    }

    async fn readiness(&self) -> (StatusCode, String) {
        let answer = self.send(Request::get("/readyz").body(axum::body::Body::empty()).unwrap());
        let answer = answer.await;
        (answer.status, answer.body.as_str().unwrap_or_default().to_owned())
    }
}

/// A channel with these lines under `to:`, each a destination at that port.
fn channel(order: &str, destinations: &[(&str, u16)]) -> String {
    let to = destinations
        .iter()
        .map(|(name, port)| format!("  {name}:\n    mllp: {{host: 127.0.0.1, port: {port}}}\n"));
    format!(
        "channel: adt\norder_by: {order}\nfrom:\n  http: {{listen: 127.0.0.1:0}}\nto:\n{}",
        to.collect::<String>()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_a_removed_destination_is_shown_and_can_be_cancelled() {
    let both = channel("PID-3.1", &[("lis", 1), ("his", 1)]);
    let house = House::with(&[("adt", &both)]).await;
    let op = house.operator().await;
    let first = house.receive("adt", &message("1", "M1", "I")).await;
    let second = house.receive("adt", &message("2", "M2", "I")).await;
    house.waiting("adt/his", 2).await;

    house.write("adt", &channel("PID-3.1", &[("lis", 1)]));
    let report = house.engine.reload().await.unwrap();
    let stranded = json!([{"destination": "adt/his", "waiting": 2, "held": 0, "dead": 0}]);
    assert_eq!(report["stranded"], stranded, "{report}");
    let seen = house.get(&op, "/destinations/adt/his").await;
    assert_eq!(seen["state"], "removed", "{seen}");
    assert!(seen["stalled"].as_str().unwrap().contains("no channel has this destination"));
    let states = ["pending", "in_flight", "retry", "behind"];
    let counts = states.map(|state| seen[state].as_u64().unwrap());
    assert_eq!(counts.iter().sum::<u64>(), 2, "{seen}");
    let listed = house.get(&op, "/channels").await;
    assert_eq!(listed["removed"][0]["destination"], "adt/his", "{listed}");

    // It is one of those that wait also after a restart, and a person can end it.
    let house = house.again(|_| ()).await;
    house.waiting("adt/his", 2).await;
    assert!(house.runner("adt/his").unwrap().removed);
    house.cancel("adt/his", house.seq(&first).await).await;
    let left = house.waiting("adt/his", 1).await;
    assert!(left.removed);

    // Configured again, it goes on with what is left.
    house.write("adt", &both);
    let report = house.engine.reload().await.unwrap();
    assert_eq!((&report["changed"], &report["stranded"]), (&json!(["adt"]), &json!([])));
    assert!(!house.waiting("adt/his", 1).await.removed);

    // With nothing left, a removed destination is forgotten.
    house.write("adt", &channel("PID-3.1", &[("lis", 1)]));
    house.engine.reload().await.unwrap();
    house.cancel("adt/his", house.seq(&second).await).await;
    until("it is forgotten", async || house.runner("adt/his").is_none().then_some(())).await;
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_waits_for_no_receiver_and_is_not_given_up_with_whoever_asked() {
    let mut deaf = Vec::new();
    for name in ["a", "b", "c"] {
        deaf.push((name, TcpListener::bind("127.0.0.1:0").await.unwrap()));
    }
    let mut to: Vec<(&str, u16)> = vec![("lis", 1)];
    to.extend(deaf.iter().map(|(name, deaf)| (*name, deaf.local_addr().unwrap().port())));
    let house = House::with(&[("adt", &channel("PID-3.1", &to))]).await;
    house.receive("adt", &message("1", "M1", "I")).await;
    for (name, _) in &deaf {
        let name = format!("adt/{name}");
        until("it is being sent", async || {
            house.runner(&name).filter(|status| status.in_flight == 1)
        })
        .await;
    }
    house.write("adt", &channel("PID-3.1", &[("lis", 1)]));
    let given_up = tokio::time::timeout(Duration::ZERO, house.engine.reload()).await;
    assert!(given_up.is_err(), "whoever asked is gone before it is done");
    for (name, _) in &deaf {
        let name = format!("adt/{name}");
        let removed = async || house.runner(&name).filter(|status| status.removed);
        // What is being sent is neither cut off nor waited for.
        assert_eq!(until("it is removed", removed).await.in_flight, 1);
    }
    drop(deaf);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_change_of_order_waits_for_what_came_before() {
    let house = House::with(&[("adt", &channel("PID-3.1", &[("lis", 1)]))]).await;
    let first = house.receive("adt", &message("1", "M1", "I")).await;
    house.waiting("adt/lis", 1).await;
    house.write("adt", &channel("PV1-2", &[("lis", 1)]));
    assert_eq!(house.engine.reload().await.unwrap()["changed"], json!(["adt"]));
    house.receive("adt", &message("2", "M1", "I")).await;
    let fenced = |status: RunnerStatus| {
        let stalled = status.stalled.unwrap_or_default();
        stalled.contains("its order was changed: 1 deliveries").then_some(())
    };
    let check = async |house: &House| {
        let holds = async || house.runner("adt/lis").and_then(fenced);
        until("the new order waits", holds).await;
    };
    check(&house).await;
    let house = house.again(|_| ()).await;
    check(&house).await;
    house.cancel("adt/lis", house.seq(&first).await).await;
    let left = house.waiting("adt/lis", 1).await;
    assert!(fenced(left).is_none(), "nothing stands before it any more");
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_be_opened_again_makes_the_engine_unready_until_it_is() {
    let inbox = tempfile::tempdir().unwrap();
    let (here, away) = (inbox.path().join("in"), inbox.path().join("away"));
    std::fs::create_dir(&here).unwrap();
    let channel = |directory: &str| {
        format!(
            "channel: files\nfrom:\n  file: {{directory: {directory}}}\nto:\n  lis:\n    mllp: {{host: 127.0.0.1, port: 1}}\n"
        )
    };
    let house = House::with(&[("files", &channel(&here.display().to_string()))]).await;
    assert_eq!(house.readiness().await.0, StatusCode::OK);
    std::fs::rename(&here, &away).unwrap();
    house.write("files", &channel(&inbox.path().join("nowhere").display().to_string()));
    let report = house.engine.reload().await.unwrap();
    assert_eq!(report["refused"][0]["channel"], "files", "{report}");
    let (status, text) = house.readiness().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("channel files does not listen: "), "{text}");
    std::fs::rename(&away, &here).unwrap();
    until("it is open again", async || (house.readiness().await.0 == StatusCode::OK).then_some(()))
        .await;
    house.end().await;
}
