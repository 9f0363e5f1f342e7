//! Many subscriptions that hear of the same write.

use std::collections::BTreeMap;

use super::{Hook, Site, search};

/// Subscriptions that hear of every write, and writes.
const MATCHING: usize = 60;
const WRITES: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn many_subscriptions_hear_of_each_write() {
    let site = Site::new("schedule: [1h]").await;
    let hook = Hook::new(&[]).await;
    let names: Vec<String> = (0..MATCHING).map(|n| format!("s{n}")).collect();
    for name in &names {
        let endpoint = format!("{}/{name}", hook.url());
        site.put(
            &format!("Subscription/{name}"),
            &search(name, &endpoint, "Observation?status=final"),
        )
        .await;
    }
    for name in &names {
        site.status(name, "active").await;
    }
    for value in 1..=WRITES {
        site.observe("1", "a", value).await;
    }
    let all = MATCHING * usize::try_from(WRITES).unwrap();
    let calls = hook.called(all).await;
    let mut heard: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for call in &calls {
        let value = call.json()["valueInteger"].as_u64().unwrap();
        heard.entry(call.line.clone()).or_default().push(value);
    }
    let expected: Vec<u64> = (1..=u64::from(WRITES)).collect();
    assert_eq!(heard.len(), MATCHING);
    for (line, values) in heard {
        assert_eq!(values, expected, "{line}");
    }
    // Calls share connections: one for each call would leave the machine without ports.
    assert!(hook.connections() < MATCHING * 2, "{} connections", hook.connections());
    site.engine.stop().await;
}
