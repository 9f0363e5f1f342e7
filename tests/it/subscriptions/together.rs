//! Several events in one notification (`backport-max-count`).

use serde_json::{Value, json};

use super::{BACKPORT, Called, Hook, Says, Site, TOPICS, topic};

fn in_threes(hook: &Hook) -> Value {
    let mut subscription = topic("t", &hook.url(), "full-resource");
    subscription["channel"]["extension"] =
        json!([{"url": format!("{BACKPORT}backport-max-count"), "valuePositiveInt": 3}]);
    subscription
}

/// The numbers of the events of a notification, and the values of its resources.
fn events(call: &Called) -> (Vec<u64>, Vec<u64>) {
    let bundle = call.json();
    let parameters = bundle["entry"][0]["resource"]["parameter"].as_array().unwrap().clone();
    let told = parameters.iter().filter(|one| one["name"] == "notification-event");
    let numbers = told.map(|one| one["part"][0]["valueString"].as_str().unwrap().parse().unwrap());
    let resources = bundle["entry"].as_array().unwrap().iter().skip(1);
    let values = resources.map(|entry| entry["resource"]["valueInteger"].as_u64().unwrap());
    (numbers.collect(), values.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_out_in_bundles_and_each_repeat_is_the_same() {
    let site = Site::new(&format!("{TOPICS}, schedule: [1h, 1h]")).await;
    let fails = Says::Status(422, "");
    let hook = Hook::new(&[Says::Status(200, ""), fails.clone()]).await;
    site.put("Subscription/t", &in_threes(&hook)).await;
    site.status("t", "active").await;
    // The first event goes alone and fails; the others wait behind it, whoever they are about.
    site.observe("1", "a", 1).await;
    hook.called(2).await;
    for value in 2..=8 {
        site.observe(&format!("{}", value % 3), &format!("o{}", value % 3), value).await;
    }
    let good = Says::Status(200, "");
    hook.say(&[good.clone(), good.clone(), good, fails]);
    site.put("Subscription/t", &in_threes(&hook)).await;
    // The greeting, the repeat of the first, one bundle, and one that fails.
    let calls = hook.called(5).await;
    assert_eq!(calls[2].kind(), "handshake");
    assert_eq!(events(&calls[3]).0, [1]);
    assert_eq!(
        (&calls[3].body, calls[3].header("webhook-id")),
        (&calls[1].body, calls[1].header("webhook-id"))
    );
    assert_eq!(events(&calls[4]), (vec![2, 3, 4], vec![2, 3, 4]));
    assert_eq!(calls[4].parameter("events-since-subscription-start"), "4");
    let calls = hook.called(6).await;
    assert_eq!(events(&calls[5]), (vec![5, 6, 7], vec![5, 6, 7]));
    // After a restart the bundle that failed is the same, although more waits.
    site.observe("1", "a", 9).await;
    let site = site.again().await;
    site.put("Subscription/t", &in_threes(&hook)).await;
    let calls = hook.called(9).await;
    assert_eq!(calls[6].kind(), "handshake");
    assert_eq!(
        (&calls[7].body, calls[7].header("webhook-id")),
        (&calls[5].body, calls[5].header("webhook-id"))
    );
    assert_eq!(events(&calls[8]), (vec![8, 9], vec![8, 9]));
    for sums in site.engine.store().conservation().await.unwrap() {
        assert_eq!(sums.unaccounted, [], "{sums:?}");
    }
    site.engine.stop().await;
}
