//! What is given up, and when: one event that is never taken, many that fail once, receivers that hang.

use serde_json::{Value, json};

use super::{Called, Hook, Says, Site, TOPICS, search, topic};

/// Patient and value of an event.
fn told(call: &Called) -> (String, u64) {
    let body = call.json();
    let resource = &body["entry"][1]["resource"];
    let patient = resource["subject"]["reference"].as_str().unwrap_or_default().to_owned();
    (patient, resource["valueInteger"].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_given_up_holds_what_follows_it() {
    let site = Site::new(&format!("{TOPICS}, schedule: [20ms, 20ms]")).await;
    let hook = Hook::new(&[]).await;
    hook.refuse(Some("\"valueInteger\":1001"));
    site.put("Subscription/t", &topic("t", &hook.url(), "full-resource")).await;
    site.status("t", "active").await;
    site.observe("1", "a", 1001).await;
    site.observe("1", "a", 1002).await;
    // Others get through all the while.
    for value in 1..=20 {
        site.observe("2", "b", value).await;
    }
    let stored = site.status("t", "error").await;
    assert!(stored["error"].as_str().unwrap().contains("422"), "{stored}");
    site.observe("1", "a", 1003).await;
    site.observe("2", "b", 21).await;
    let so_far = hook.called(4).await;
    let of_the_first: Vec<u64> = so_far
        .iter()
        .map(told)
        .filter(|(patient, _)| patient == "Patient/1")
        .map(|(_, v)| v)
        .collect();
    assert!(of_the_first.iter().all(|value| *value == 1001), "{of_the_first:?}");
    hook.refuse(None);
    site.put("Subscription/t", &topic("t", &hook.url(), "full-resource")).await;
    site.status("t", "active").await;
    let mut all = so_far.len();
    let (first, second) = loop {
        all += 1;
        let calls = hook.called(all).await;
        let mut values: Vec<(String, u64)> = calls.iter().map(told).collect();
        values.dedup();
        let of = |one: &str| -> Vec<u64> {
            let own = values.iter().filter(|(patient, _)| patient == one);
            let mut own: Vec<u64> = own.map(|(_, value)| *value).collect();
            own.dedup();
            own
        };
        let (first, second) = (of("Patient/1"), of("Patient/2"));
        if first.len() >= 3 && second.len() >= 21 {
            break (first, second);
        }
    };
    assert_eq!(first, [1001, 1002, 1003]);
    assert_eq!(second, (1..=21).collect::<Vec<u64>>());
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_fail_once_are_none_that_is_given_up() {
    let site = Site::new(&format!("{TOPICS}, schedule: [2s, 1h]")).await;
    let fails = Says::Status(500, "");
    let script: Vec<Says> =
        std::iter::once(Says::Status(200, "")).chain(std::iter::repeat_n(fails, 8)).collect();
    let hook = Hook::new(&script).await;
    site.put("Subscription/t", &topic("t", &hook.url(), "id-only")).await;
    site.status("t", "active").await;
    for patient in 0..8 {
        site.observe(&patient.to_string(), &format!("o{patient}"), 1).await;
    }
    let calls = hook.called(1 + 8 + 8).await;
    let mut numbers: Vec<String> =
        calls[9..].iter().map(|call| call.parameter("events-since-subscription-start")).collect();
    numbers.sort();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7", "8"]);
    let history = site.get("Subscription/t/_history").await;
    let statuses: Vec<&Value> =
        history["entry"].as_array().unwrap().iter().map(|one| &one["resource"]["status"]).collect();
    assert_eq!(statuses, ["active", "requested"]);
    site.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_hang_hold_up_no_other() {
    let site = Site::new("schedule: [1h], reply_within: 8s").await;
    let hanging = Hook::new(&[Says::Hangs, Says::Hangs, Says::Hangs, Says::Hangs]).await;
    for id in ["a", "b", "c", "d"] {
        site.put(
            &format!("Subscription/{id}"),
            &search(id, &hanging.url(), "Observation?status=final"),
        )
        .await;
        site.status(id, "active").await;
    }
    site.observe("1", "a", 1).await;
    hanging.called(4).await;
    let began = std::time::Instant::now();
    for id in ["a", "b", "c", "d"] {
        let mut off = search(id, &hanging.url(), "Observation?status=final");
        off["status"] = json!("off");
        let (status, answer) = site.put(&format!("Subscription/{id}"), &off).await;
        assert_eq!(status, 200, "{answer}");
    }
    let hook = Hook::new(&[]).await;
    site.put("Subscription/good", &search("good", &hook.url(), "Observation?status=final")).await;
    site.status("good", "active").await;
    site.observe("1", "a", 2).await;
    hook.called(1).await;
    assert!(began.elapsed().as_secs() < 6, "{:?}: it waited for those that hang", began.elapsed());
    site.engine.stop().await;
    for sums in site.engine.store().conservation().await.unwrap_or_default() {
        assert_eq!(sums.unaccounted, [], "{sums:?}");
    }
}
