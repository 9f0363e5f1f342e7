//! A reload that fails in the middle: at each of its steps a fault of the store, the trail or a port leaves the
//! version before in force whole, says so, and what is mended goes in force the next time.

use axum::http::StatusCode;
use medway::message::id::MessageId;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::access::House;
use crate::admin::message;

/// The channel with these destinations, a first search key that tells versions apart, and its listener.
fn channel(key: &str, listen: &str, destinations: &[&str]) -> String {
    let to = destinations
        .iter()
        .map(|name| format!("  {name}:\n    mllp: {{host: 127.0.0.1, port: 1}}\n"));
    format!(
        "channel: adt\norder_by: PID-3.1\nfrom:\n  http: {{listen: {listen}}}\nsearch_keys:\n  {key}: PID-3.1\nto:\n{}",
        to.collect::<String>()
    )
}

/// What people and messages see of the version in force.
async fn in_force(house: &House) -> Value {
    let op = house.engine_itself();
    let get = async |path: &str| house.call(&op, "GET", path, &Value::Null).await.body;
    let detail = get("/channels/adt").await;
    let id = house.receive("adt", &message(&MessageId::new().to_string(), "M1", "I")).await;
    let seen = get(&format!("/messages/{id}")).await;
    let names = |list: &Value, field: &str| {
        let list = list.as_array().unwrap().iter();
        let mut names: Vec<String> =
            list.map(|one| one[field].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let destinations = get("/destinations").await;
    json!({
        "hash": house.engine.config_hash(),
        "loaded_at": get("/system").await["config"]["loaded_at"],
        "version": detail["version"],
        "yaml": detail["yaml"],
        "keys": names(&seen["keys"], "name"),
        "goes_to": names(&seen["deliveries"], "destination"),
        "runners": names(&destinations["destinations"], "destination"),
    })
}

/// A store that cannot be written, while it lives.
struct Locked(#[expect(dead_code, reason = "it is there")] rusqlite::Connection);

impl House {
    fn database(&self, name: &str) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("data").join(name)).unwrap()
    }

    /// Another program writes the store, and does not end.
    fn locked(&self) -> Locked {
        let other = self.database("medway.db");
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Locked(other)
    }

    /// The trail takes no record, or takes them again.
    fn trail_fails(&self, fails: bool) {
        let sql =
            "CREATE TRIGGER fault BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END";
        self.database("access.db")
            .execute_batch(if fails { sql } else { "DROP TRIGGER fault" })
            .unwrap();
    }

    async fn ready(&self) -> bool {
        let request = axum::http::Request::get("/readyz").body(axum::body::Body::empty());
        self.send(request.unwrap()).await.status == StatusCode::OK
    }
}

/// A fault: how it begins, and how it ends, given what was said of it.
struct Fault<T, E> {
    begins: fn(&House) -> T,
    ends: E,
}

/// Holds the version before against a reload that must fail, then lets the new one in.
async fn check<T>(house: &House, new: &str, fault: Fault<T, impl AsyncFnOnce(T, String)>) {
    let before = in_force(house).await;
    std::fs::write(house.folder.path().join("channels/adt.yaml"), new).unwrap();
    house.pass(std::time::Duration::from_secs(60));
    let author = medway::engine::author::Author::engine("test");
    let begun = (fault.begins)(house);
    let report = house.engine.reload_by(&author).await.unwrap();
    assert_eq!(report["changed"], json!([]), "{report}");
    assert_eq!(report["refused"][0]["channel"], "adt", "{report}");
    let said = report["refused"][0]["findings"].as_str().unwrap().to_owned();
    (fault.ends)(begun, said).await;
    // Nothing was done behind it meanwhile, and nothing is done afterwards.
    assert_eq!(in_force(house).await, before, "{report}");
    assert!(house.ready().await, "the source listens");
    let status = house.call(&house.engine_itself(), "GET", "/channels", &Value::Null).await.body;
    assert_eq!(status["refused"][0]["channel"], "adt", "it is said: {status}");

    let report = house.engine.reload_by(&author).await.unwrap();
    assert_eq!((&report["changed"], &report["refused"]), (&json!(["adt"]), &json!([])));
    let after = in_force(house).await;
    assert_ne!(after["hash"], before["hash"]);
    assert_eq!(after["keys"], json!(["visit"]));
    assert_eq!(after["goes_to"], json!(["adt/his", "adt/lis"]));
    assert!(house.ready().await);
}

async fn house() -> House {
    House::with(&[("adt", &channel("mrn", ANY, &["lis"]))]).await
}

/// A port that nobody has now.
async fn port() -> std::net::SocketAddr {
    TcpListener::bind(ANY).await.unwrap().local_addr().unwrap()
}

const ANY: &str = "127.0.0.1:0";
const BOTH: &[&str] = &["lis", "his"];

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_leaves_the_version_before_whole() {
    let house = house().await;
    let ends = async |locked: Locked, said: String| {
        drop(locked);
        assert!(said.contains("locked"), "{said}");
    };
    check(&house, &channel("visit", ANY, BOTH), Fault { begins: House::locked, ends }).await;
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_cannot_go_on_record_is_not_put_in_force() {
    let house = house().await;
    let ends = async |(), said: String| {
        house.trail_fails(false);
        assert!(said.contains("no room"), "{said}");
    };
    let begins = |house: &House| house.trail_fails(true);
    check(&house, &channel("visit", ANY, BOTH), Fault { begins, ends }).await;
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_leaves_the_version_before_whole_and_listening() {
    let house = house().await;
    let taken = TcpListener::bind(ANY).await.unwrap();
    let new = channel("visit", &taken.local_addr().unwrap().to_string(), BOTH);
    let ends = async |(), said: String| {
        assert!(said.contains(&taken.local_addr().unwrap().port().to_string()), "{said}");
        drop(taken);
    };
    check(&house, &new, Fault { begins: |_| (), ends }).await;
    house.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_behind_the_port_gives_the_port_back() {
    let house = house().await;
    let port = port().await;
    let ends = async |(), said: String| {
        house.trail_fails(false);
        assert!(said.contains("no room"), "{said}");
        TcpListener::bind(port).await.expect("nobody listens at the new port");
    };
    let begins = |house: &House| house.trail_fails(true);
    check(&house, &channel("visit", &port.to_string(), BOTH), Fault { begins, ends }).await;
    house.end().await;
}
