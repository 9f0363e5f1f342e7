//! Whatever comes: an answer below 500, within bounds.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{JSON, Server};

/// Small pieces that grammars trip over.
const PIECES: [&str; 30] = [
    "{", "}", "[", "]", "\"", ":", ",", "null", "true", "1e999", "-0", "1.50", "\\u0000",
    "\\ud800", "\u{202e}", "é", "|", "$", "&", "=", "%", "%zz", "%00", ":not", ":missing", ".",
    "ge", "..", "/", "\t",
];

fn noise(random: &mut fastrand::Rng, most: usize) -> String {
    (0..random.usize(0..most)).map(|_| PIECES[random.usize(0..PIECES.len())]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_comes_in_breaks_the_endpoint() {
    let server = Server::start().await;
    server.store(&json!({"resourceType": "Patient", "id": "p", "active": true})).await;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let names = [
        "identifier",
        "birthdate",
        "family",
        "_lastUpdated",
        "_sort",
        "_include",
        "_count",
        "_page",
    ];
    for round in 0..150 {
        let junk = noise(&mut random, 12);
        let body = match round % 3 {
            0 => junk.clone(),
            1 => format!(r#"{{"resourceType":"Patient","name":[{{"family":{junk}}}]}}"#),
            _ => format!(
                r#"{{"resourceType":"Patient","extension":{}"#,
                "[".repeat(random.usize(0..200))
            ),
        };
        let patch = format!(r#"[{{"op":"add","path":"/{junk}","value":1}}]"#);
        let kind = ("Content-Type", "application/json-patch+json");
        let name = names[random.usize(0..names.len())];
        let query: String = form_urlencoded::byte_serialize(junk.as_bytes()).collect();
        for got in [
            server.call("POST", "Patient", &[JSON], &body).await,
            server.call("PATCH", "Patient/p", &[kind], &patch).await,
            server.call("GET", &format!("Patient?{name}={query}"), &[], "").await,
            server
                .call(
                    "POST",
                    "",
                    &[JSON],
                    &format!(
                        r#"{{"resourceType":"Bundle","type":"transaction","entry":[{body}]}}"#
                    ),
                )
                .await,
        ] {
            assert!(got.status < 500, "seed {seed}, round {round}: {junk:?} {got:?}");
        }
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_and_size_cost_no_more_than_their_bytes() {
    let server = Server::start().await;
    let deep = format!(
        r#"{{"resourceType":"Patient","a":{}{}}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let digits =
        format!(r#"{{"resourceType":"Patient","multipleBirthInteger":{}}}"#, "9".repeat(100_000));
    let wide = format!(r#"{{"resourceType":"Patient","name":[{}{{}}]}}"#, "{},".repeat(50_000));
    let began = Instant::now();
    for (body, statuses) in [(deep, 400..401), (digits, 201..423), (wide, 201..423)] {
        let got = server.call("POST", "Patient", &[JSON], &body).await;
        assert!(statuses.contains(&got.status), "{}", got.status);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    server.end().await;
}
