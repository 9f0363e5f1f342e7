//! History, newest first, page by page.

use serde_json::json;

use super::Server;

#[tokio::test(flavor = "multi_thread")]
async fn history_tells_what_was_done_page_by_page() {
    let server = Server::start().await;
    for year in 1980..1985 {
        let body = json!({"resourceType": "Patient", "id": "p", "birthDate": year.to_string()});
        server.store(&body).await;
    }
    server.store(&json!({"resourceType": "Patient", "id": "q"})).await;
    server.store(&json!({"resourceType": "Device", "id": "d"})).await;
    server.call("DELETE", "Patient/p", &[], "").await;

    let versions = |got: &super::Got| -> Vec<String> {
        let entries = got.body["entry"].as_array().unwrap();
        let told = entries.iter().map(|entry| {
            format!(
                "{} {} {}",
                entry["request"]["method"].as_str().unwrap(),
                entry["request"]["url"].as_str().unwrap(),
                entry["response"]["etag"].as_str().unwrap()
            )
        });
        told.collect()
    };
    let first = server.get("Patient/p/_history?_count=4").await;
    assert_eq!((first.status, &first.body["type"]), (200, &json!("history")));
    assert_eq!(
        versions(&first),
        [
            "DELETE Patient/p W/\"6\"",
            "PUT Patient/p W/\"5\"",
            "PUT Patient/p W/\"4\"",
            "PUT Patient/p W/\"3\"",
        ]
    );
    assert!(first.body["entry"][0].get("resource").is_none());
    let second = server.get(&first.link("next").unwrap()).await;
    assert_eq!(versions(&second).len(), 2);
    assert_eq!(second.link("next"), None);

    assert_eq!(versions(&server.get("Patient/_history").await).len(), 7);
    let all = server.get("_history").await;
    assert_eq!(versions(&all).len(), 8);
    assert_eq!(versions(&all)[1], "PUT Device/d W/\"1\"");
    assert!(server.get("_history?_since=2999-01-01").await.body.get("entry").is_none());
    assert_eq!(versions(&server.get("_history?_since=2020-01-01T00:00:00Z").await).len(), 8);
    assert_eq!(server.get("_history?_since=soon").await.status, 400);
    assert_eq!(server.get("Patient/none/_history").await.status, 404);
    assert_eq!(server.get("Patient/p/_history?_page=forged").await.status, 400);
    server.end().await;
}
