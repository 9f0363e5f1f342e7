//! Fix, test on all members, retry the group.

use axum::http::StatusCode;
use medway::access::role::Role;
use serde_json::{Value, json};

use crate::access::House;
use crate::admin::message;

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_tried_by_the_version_in_force_before_it_is_sent_again() {
    let house = House::with(&[("adt", &super::adt("adt", "wards"))]).await;
    let op = house.operator().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        let id = house.receive("adt", &message(&n.to_string(), "M1", "O")).await;
        house.dead(&id, "adt/his", "no visit").await;
        ids.push(id);
    }
    let group = json!({"destination": "adt/his", "state": "dead", "cause": "rejected"});
    let tried = house.call(&op, "POST", "/exceptions/groups/test", &group).await;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.body);
    let counts = |body: &Value| {
        let count = |name: &str| body[name].as_u64().unwrap();
        (count("tested"), count("ok"), count("failed"))
    };
    assert_eq!(counts(&tried.body), (4, 4, 0), "{}", tried.body);

    // A change that cannot be made of these messages.
    let broken = super::adt("adt", "wards").replace(
        "      - set: {MSH-5: HIS}",
        "      - map: {at: PV1-2, codes: {I: IMP}}\n      - set: {MSH-5: HIS}",
    );
    std::fs::write(house.folder.path().join("channels/adt.yaml"), broken).unwrap();
    let releaser = house.person("rel", &[Role::Releaser]).await;
    let applied = house.call(&releaser, "POST", "/reload", &json!({"reason": "stricter"})).await;
    assert_eq!(applied.body["changed"], json!(["adt"]), "{}", applied.body);
    let tried = house.call(&op, "POST", "/exceptions/groups/test", &group).await;
    assert_eq!(counts(&tried.body), (4, 0, 4), "{}", tried.body);
    assert_eq!(tried.body["failures"].as_array().unwrap().len(), 4);
    let first = &tried.body["failures"][0];
    assert_eq!(first["message"], json!(ids[0]));
    assert_ne!(first["findings"][0]["text"], "");
    let ward = house.person("ward", &[Role::Viewer]).await;
    let masked = house.call(&ward, "POST", "/exceptions/groups/test", &group).await;
    assert_eq!(masked.body["failures"][0]["findings"][0]["text"], "");
    let other_text = house.receive("adt", &message("9", "M1", "O")).await;
    house.dead(&other_text, "adt/his", "no bed").await;
    let groups =
        house.call(&op, "POST", "/exceptions/groups", &json!({})).await.body["groups"].clone();
    let counted: Vec<u64> =
        groups.as_array().unwrap().iter().map(|one| one["count"].as_u64().unwrap()).collect();
    assert_eq!(counted, [4, 1]);
    for (at, expected) in [(0, (4, 0, 4)), (1, (1, 0, 1))] {
        let mut one = group.clone();
        one["fingerprint"] = groups[at]["fingerprint"].clone();
        let tried = house.call(&op, "POST", "/exceptions/groups/test", &one).await;
        assert_eq!(counts(&tried.body), expected, "of one cause, the group of this text alone");
    }
    let other = json!({"destination": "adt/his", "state": "dead", "cause": "another"});
    let none = house.call(&op, "POST", "/exceptions/groups/test", &other).await;
    assert_eq!(counts(&none.body), (0, 0, 0));
    let found = house.call(&op, "POST", "/messages/search", &json!({"value": "M1"})).await;
    assert_eq!(found.body["messages"].as_array().unwrap().len(), 5, "nothing was sent");
    house.end().await;
}
