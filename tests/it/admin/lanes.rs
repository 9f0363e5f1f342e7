//! Which deliveries wait for each other: those that share any lane with a message.

use axum::http::StatusCode;
use medway::access::role::Role;
use medway::message::id::MessageId;
use medway::message::outcome::Answer;
use medway::message::plan::Disposition;
use medway::store::{Change, Exception, ExceptionState};
use serde_json::{Value, json};

use crate::access::{House, KEYED};
use crate::admin::message;

impl House {
    /// Holds a message's delivery in the lanes of its plan.
    async fn held(&self, id: &str, destination: &str) {
        let store = self.engine.store();
        let seq = store.find(MessageId::parse(id).unwrap()).await.unwrap();
        let stored = store.messages(&[seq]).await.unwrap().remove(0);
        let destination = self.engine.destination_id(destination).unwrap();
        let Disposition::Deliver { lane, joins } =
            stored.plan.entry(destination).unwrap().disposition.clone()
        else {
            panic!("it goes there");
        };
        let (since, due) = (self.clock.now(), self.clock.now());
        let (state, cause, answer) =
            (ExceptionState::Held, "rejected".into(), Answer::new("AE", ""));
        let row = Exception {
            destination,
            seq,
            lane,
            joins,
            state,
            attempts: 1,
            since,
            due,
            cause,
            answer,
        };
        store.record(vec![Change::Except(row)]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_by_any_lane_of_a_message() {
    let channel = KEYED.replace("from:", "order_by: PID-3.1\nfrom:");
    let house = House::with(&[("adt", &channel)]).await;
    house.still("adt/lis").await;
    let merge = "MSH|^~\\&|A|B|C|D|20260101||ADT^A40^ADT_A39|m|P|2.5.1\rEVN|A40|20260101\r\
                 PID|1||K1^^^H^MR\rMRG|O1^^^H^MR\rPID|1||K2^^^H^MR\rMRG|O2^^^H^MR\r";
    let merge = house.receive("adt", merge).await;
    let mut ids = vec![merge.clone()];
    for patient in ["K1", "O1", "K2", "O2", "other"] {
        ids.push(house.receive("adt", &message(patient, patient, "I")).await);
    }
    for id in &ids {
        house.held(id, "adt/lis").await;
    }
    let ward = house.person("ward", &[Role::Viewer]).await;
    let found = async |id: &str, limit: u32| {
        let (mut found, mut after) = (Vec::new(), Value::Null);
        loop {
            let asked =
                json!({"destination": "adt/lis", "lane_of": id, "limit": limit, "after": after});
            let answer = house.call(&ward, "POST", "/exceptions/search", &asked).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            let rows = answer.body["exceptions"].as_array().unwrap().iter();
            found.extend(rows.map(|row| row["message"].as_str().unwrap().to_owned()));
            after = answer.body["next"].clone();
            if after.is_null() {
                return found;
            }
        }
    };
    for limit in [1, 2, 100] {
        assert_eq!(found(&merge, limit).await, ids[..5], "the merge waits with all it names");
        for id in &ids[1..5] {
            assert_eq!(found(id, limit).await, [merge.clone(), id.clone()]);
        }
        assert_eq!(found(&ids[5], limit).await, ids[5..]);
    }
    let asked = json!({"lane_of": merge});
    let answer = house.call(&ward, "POST", "/exceptions/search", &asked).await;
    assert_eq!(answer.body["code"], "bad_request", "lanes are of one destination");
    let auditor = house.person("auditor", &[Role::Auditor]).await;
    let asked = json!({"destination": "adt/lis", "lane_of": merge});
    let answer = house.call(&auditor, "POST", "/exceptions/search", &asked).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "it tells that two are of one patient");
    house.end().await;
}
