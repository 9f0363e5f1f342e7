//! Searches: each kind of test, sorting, paging, chains; in memory, in the table, and after a start.

use std::sync::Arc;

use medway::message::resource::{Criterion, Prefix, ResourceQuery, ResourceWrite, Test};
use medway::message::time::Timestamp;
use medway::store::Store;
use medway::store::resources::ResourceBatch;

use super::build::{
    create, date, delete, done, identifier_reference, key, quantity, reference, text, token,
    update, uri, write_one,
};
use crate::store::build::Fixture;

fn is(param: &str, test: Test) -> Criterion {
    Criterion { param: param.into(), any: vec![test], negate: false }
}

fn code(system: Option<&str>, code: Option<&str>) -> Test {
    Test::Token { system: system.map(Into::into), code: code.map(Into::into) }
}

fn to(kind: &str, id: &str) -> Test {
    Test::Reference { kind: kind.into(), id: id.into() }
}

fn at(prefix: Prefix, from: i64, to: i64) -> Test {
    Test::Date { prefix, from: Timestamp(from), to: Timestamp(to) }
}

fn amount(prefix: Prefix, low: f64, high: f64, unit: Option<&str>) -> Test {
    Test::Quantity { prefix, low, high, system: None, code: unit.map(Into::into) }
}

fn query(kind: &str, criteria: Vec<Criterion>) -> ResourceQuery {
    ResourceQuery { kind: kind.into(), criteria, limit: 100, ..ResourceQuery::default() }
}

async fn ids(store: &Arc<dyn Store>, query: &ResourceQuery) -> String {
    let page = store.resource_search(query).await.unwrap();
    let ids: Vec<&str> = page.matches.iter().map(|one| &*one.key.id).collect();
    ids.join(" ")
}

/// Three observations, two patients, and what was and is no more.
async fn scene(store: &Arc<dyn Store>) {
    let patients = [("anna", "Müller", "urn:a"), ("bo", "Miller", "urn:b")];
    for (id, name, system) in patients {
        let index = vec![token("identifier", system, "1"), text("family", name)];
        write_one(store, create("Patient", id, 1, index)).await;
    }
    let observation = |id: &str, patient: &str, code: &str, day: i64, value: f64| {
        let index = vec![
            token("code", "urn:loinc", code),
            token("code", "", "local"),
            reference("subject", "Patient", patient),
            identifier_reference("encounter", "urn:visit", &format!("V{day}")),
            date("date", day * 10, day * 10 + 9),
            quantity("value-quantity", value, "urn:ucum", "mg"),
            uri("_profile", "http://profile"),
        ];
        create("Observation", id, 1, index)
    };
    write_one(store, observation("o1", "anna", "hr", 1, 70.0)).await;
    write_one(store, observation("o2", "bo", "hr", 2, 80.0)).await;
    write_one(store, observation("o3", "anna", "rr", 3, 12.5)).await;
    write_one(store, create("Observation", "o4", 1, vec![token("code", "urn:loinc", "hr")])).await;
    write_one(store, update("Observation", "o4", 2, vec![token("status", "", "final")])).await;
    write_one(store, observation("o5", "anna", "hr", 5, 75.0)).await;
    write_one(store, delete("Observation", "o5", 2)).await;
}

/// Observations that a criterion finds.
const fn cases() -> [(&'static str, fn() -> Criterion, &'static str); 36] {
    use Prefix::{Ap, Eb, Eq, Ge, Gt, Le, Lt, Ne, Sa};
    [
        ("code", || is("code", code(None, Some("hr"))), "o1 o2"),
        ("system and code", || is("code", code(Some("urn:loinc"), Some("rr"))), "o3"),
        ("another system", || is("code", code(Some("urn:x"), Some("rr"))), ""),
        ("no system", || is("code", code(Some(""), Some("local"))), "o1 o2 o3"),
        ("no system, but it has one", || is("code", code(Some(""), Some("rr"))), ""),
        ("system alone", || is("code", code(Some("urn:loinc"), None)), "o1 o2 o3"),
        ("not", || Criterion { negate: true, ..is("code", code(None, Some("hr"))) }, "o3 o4"),
        ("missing", || is("code", Test::Missing(true)), "o4"),
        ("not missing", || is("code", Test::Missing(false)), "o1 o2 o3"),
        ("no such parameter", || is("nothing", code(None, Some("x"))), ""),
        ("no such parameter, missing", || is("nothing", Test::Missing(true)), "o1 o2 o3 o4"),
        ("reference", || is("subject", to("Patient", "anna")), "o1 o3"),
        ("reference of any type", || is("subject", to("", "bo")), "o2"),
        ("reference of another type", || is("subject", to("Group", "bo")), ""),
        (
            "identifier of a reference",
            || {
                let value = "V2".into();
                is("encounter", Test::ReferenceIdentifier { system: None, value })
            },
            "o2",
        ),
        ("date eq", || is("date", at(Eq, 20, 29)), "o2"),
        ("date eq, wider", || is("date", at(Eq, 10, 29)), "o1 o2"),
        ("date eq, narrower", || is("date", at(Eq, 21, 29)), ""),
        ("date ne", || is("date", at(Ne, 20, 29)), "o1 o3"),
        ("date gt", || is("date", at(Gt, 20, 29)), "o3"),
        ("date gt within", || is("date", at(Gt, 22, 25)), "o2 o3"),
        ("date lt", || is("date", at(Lt, 20, 29)), "o1"),
        ("date ge", || is("date", at(Ge, 20, 29)), "o2 o3"),
        ("date le", || is("date", at(Le, 20, 29)), "o1 o2"),
        ("date sa", || is("date", at(Sa, 22, 25)), "o3"),
        ("date eb", || is("date", at(Eb, 22, 25)), "o1"),
        ("date ap", || is("date", at(Ap, 29, 30)), "o2 o3"),
        ("quantity eq", || is("value-quantity", amount(Eq, 69.5, 70.5, None)), "o1"),
        ("quantity gt", || is("value-quantity", amount(Gt, 70.0, 70.0, Some("mg"))), "o2"),
        ("quantity le", || is("value-quantity", amount(Le, 70.0, 70.0, None)), "o1 o3"),
        ("quantity of another unit", || is("value-quantity", amount(Gt, 0.0, 0.0, Some("g"))), ""),
        ("uri", || is("_profile", Test::Uri("http://profile".into())), "o1 o2 o3"),
        ("uri, not a part of it", || is("_profile", Test::Uri("http://prof".into())), ""),
        ("id", || is("_id", code(None, Some("o3"))), "o3"),
        ("last updated", || is("_lastUpdated", at(Gt, 0, 0)), "o1 o2 o3 o4"),
        (
            "any of two",
            || Criterion {
                any: vec![code(None, Some("rr")), code(None, Some("final"))],
                ..is("code", Test::Missing(true))
            },
            "o3",
        ),
    ]
}

async fn check_cases(store: &Arc<dyn Store>) {
    for (name, criterion, expected) in cases() {
        let mut query = query("Observation", vec![criterion()]);
        query.total = true;
        assert_eq!(ids(store, &query).await, expected, "{name}");
        let total = store.resource_search(&query).await.unwrap().total;
        let count = expected.split_whitespace().count();
        assert_eq!(total, Some(u64::try_from(count).unwrap()), "{name}");
    }
    let names = |test| query("Patient", vec![is("family", test)]);
    assert_eq!(ids(store, &names(Test::Starts("mull".into()))).await, "anna");
    assert_eq!(ids(store, &names(Test::Starts("m".into()))).await, "anna bo");
    assert_eq!(ids(store, &names(Test::Contains("ill".into()))).await, "bo");
    assert_eq!(ids(store, &names(Test::Exact("Müller".into()))).await, "anna");
    assert_eq!(ids(store, &names(Test::Exact("Muller".into()))).await, "");
    let both = vec![is("subject", to("Patient", "anna")), is("code", code(None, Some("hr")))];
    assert_eq!(ids(store, &query("Observation", both)).await, "o1");
    let chain = |criterion: Criterion| {
        let (kind, criterion) = ("Patient".into(), Box::new(criterion));
        query("Observation", vec![is("subject", Test::Chain { kind, criterion })])
    };
    assert_eq!(ids(store, &chain(is("family", Test::Starts("mull".into())))).await, "o1 o3");
    assert_eq!(ids(store, &chain(is("identifier", code(Some("urn:b"), Some("1"))))).await, "o2");
    assert_eq!(ids(store, &chain(is("family", Test::Starts("x".into())))).await, "");
    assert_eq!(ids(store, &query("", vec![is("_id", code(None, Some("bo")))])).await, "bo");
    assert_eq!(ids(store, &query("", vec![])).await, "anna bo o1 o2 o3 o4");
    assert_eq!(ids(store, &query("Device", vec![])).await, "");
    let of = [key("Patient", "anna"), key("Patient", "nobody")];
    let referrers = store.resource_referrers("Observation", "subject", &of, 10).await.unwrap();
    assert_eq!(referrers.iter().map(|one| &*one.key.id).collect::<Vec<_>>(), ["o1", "o3"]);
}

#[tokio::test]
async fn each_criterion_finds_what_it_says() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    scene(&store).await;
    check_cases(&store).await;
    store.close().await;
    check_cases(&fixture.open().await).await;
}

fn filler(n: usize) -> ResourceWrite {
    let index = vec![
        token("identifier", "urn:serial", &format!("S{}", n * 7919 % 10_007)),
        token("status", "", if n.is_multiple_of(2) { "active" } else { "inactive" }),
        reference("patient", "Patient", &format!("p{}", n % 100)),
        text("model", &format!("Model {}", n % 10)),
    ];
    create("Device", &format!("d{n}"), 1, index)
}

#[tokio::test]
async fn ten_thousand_resources_are_searched_by_the_index() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    scene(&store).await;
    for hundred in 0..100 {
        let writes = (hundred * 100..hundred * 100 + 100).map(filler).collect();
        done(store.write(ResourceBatch { writes, ..ResourceBatch::default() }).await);
    }
    let check = async |store: &Arc<dyn Store>| {
        check_cases_but_all(store).await;
        for n in [3, 4711, 9999] {
            let serial = format!("S{}", n * 7919 % 10_007);
            let by_serial = is("identifier", code(Some("urn:serial"), Some(&serial)));
            assert_eq!(ids(store, &query("Device", vec![by_serial])).await, format!("d{n}"));
        }
        let mut active = query("Device", vec![is("status", code(None, Some("active")))]);
        active.total = true;
        assert_eq!(store.resource_search(&active).await.unwrap().total, Some(5000));
        let of_patient = query("Device", vec![is("patient", to("Patient", "p7"))]);
        assert_eq!(store.resource_search(&of_patient).await.unwrap().matches.len(), 100);
    };
    check(&store).await;
    store.close().await;
    let store = fixture.open().await;
    check(&store).await;
    // What stands in the table and changes is found by what it is now.
    write_one(&store, update("Device", "d3", 2, vec![token("status", "", "gone")])).await;
    write_one(&store, delete("Device", "d5", 2)).await;
    let serial = is("identifier", code(None, Some(&format!("S{}", 3 * 7919 % 10_007))));
    assert_eq!(ids(&store, &query("Device", vec![serial])).await, "");
    let gone = || query("Device", vec![is("status", code(None, Some("gone")))]);
    assert_eq!(ids(&store, &gone()).await, "d3");
    assert_eq!(ids(&store, &query("Device", vec![is("_id", code(None, Some("d5")))])).await, "");
    store.close().await;
    assert_eq!(ids(&fixture.open().await, &gone()).await, "d3");
}

/// The cases that more resources of other types do not change.
async fn check_cases_but_all(store: &Arc<dyn Store>) {
    for (name, criterion, expected) in cases() {
        let query = query("Observation", vec![criterion()]);
        assert_eq!(ids(store, &query).await, expected, "{name}");
    }
}

#[tokio::test]
async fn results_are_sorted_and_pages_hold_still_while_others_write() {
    let fixture = Fixture::new();
    let store = fixture.open().await;
    let sizes = [("a", 3), ("b", 1), ("c", 2), ("d", 3), ("e", 5)];
    for (id, size) in sizes {
        let index = vec![date("date", size, size + 1), text("name", id)];
        write_one(&store, create("Task", id, 1, index)).await;
    }
    write_one(&store, create("Task", "f", 1, vec![])).await;
    let check = async |sort: &[(&str, bool)], expected: &str| {
        let sort: Vec<_> = sort.iter().map(|(param, down)| ((*param).into(), *down)).collect();
        let all = ResourceQuery { sort: sort.clone(), ..query("Task", vec![]) };
        assert_eq!(ids(&store, &all).await, expected);
        let mut paged = ResourceQuery { sort, limit: 2, ..query("Task", vec![]) };
        let mut found = Vec::new();
        loop {
            let page = store.resource_search(&paged).await.unwrap();
            found.extend(page.matches.iter().map(|one| one.key.id.to_string()));
            paged.page = page.next;
            if paged.page.is_none() {
                break;
            }
        }
        assert_eq!(found.join(" "), expected);
    };
    check(&[], "a b c d e f").await;
    check(&[("date", false)], "b c a d e f").await;
    check(&[("date", true)], "e a d c b f").await;
    check(&[("date", true), ("name", true)], "e d a c b f").await;
    check(&[("_lastUpdated", false)], "a b c d e f").await;
    let mut paged =
        ResourceQuery { sort: vec![("date".into(), false)], limit: 3, ..query("Task", vec![]) };
    let first = store.resource_search(&paged).await.unwrap();
    assert_eq!(first.matches.len(), 3);
    // The last of the page moves, one before it goes, one comes before it.
    write_one(&store, update("Task", "a", 2, vec![date("date", 0, 0)])).await;
    write_one(&store, delete("Task", "b", 2)).await;
    write_one(&store, create("Task", "g", 1, vec![date("date", 2, 2)])).await;
    paged.page = first.next;
    assert_eq!(ids(&store, &paged).await, "d e f");
}
