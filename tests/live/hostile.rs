//! A client of the FHIR endpoint that wants to bring the engine down: each of its requests is small or within the
//! limits, and made to cost as much as it can. The engine answers each, takes no memory for them beyond a bound, and
//! serves others afterwards. What such requests cost in work is counted in the tests of `fhir::patch` and
//! `fhir::search`; here the process is looked at.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::{Engine, free_port};

/// The most memory that the process may ever have held, in MiB: a body may have 10 MiB and is held a few times over.
const MEMORY_MIB_MAX: u64 = 512;

const FHIR: &str = "application/fhir+json";
const JSON_PATCH: &str = "application/json-patch+json";

fn ask(port: u16, method: &str, path: &str, kind: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
    let mut head = format!("{method} /fhir/{path} HTTP/1.1\r\nHost: localhost\r\n");
    write!(
        head,
        "Connection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    // An endpoint that refuses a body may close before its end.
    stream.write_all(body.as_bytes()).ok();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("every request is answered");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The most memory that the process has held, in MiB.
fn memory_mib(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn by_path(path: &str) -> String {
    let operation = json!({"name": "operation", "part": [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": path},
        {"name": "value", "valueUri": "v"}]});
    json!({"resourceType": "Parameters", "parameter": vec![operation; 1000]}).to_string()
}

fn operations(operation: Value) -> String {
    Value::Array(vec![operation; 1000]).to_string()
}

/// Requests, with the status that each must get.
fn requests() -> Vec<(&'static str, String, &'static str, String, u16)> {
    let patient = |member: &str| format!(r#"{{"resourceType":"Patient",{member}}}"#);
    let deep = format!(r#""a":{}{}"#, "[".repeat(2 << 20), "]".repeat(2 << 20));
    let wide = format!(r#""name":[{}0]"#, "0,".repeat(3 << 20));
    let digits = format!(r#""multipleBirthInteger":{}"#, "9".repeat(2 << 20));
    let keys = format!(
        r#""a":{{{}"z":1}}"#,
        (0..50_000).fold(String::new(), |mut all, n| {
            write!(all, r#""k{n}":1,"#).unwrap();
            all
        })
    );
    let many = |name: &str, count: usize| {
        (0..count).map(|n| format!("{name}={n}")).collect::<Vec<_>>().join("&")
    };
    let entries: Vec<Value> = (0..1000)
        .map(|n| {
            json!({"request": {"method": "POST", "url": "Observation"}, "resource": {
            "resourceType": "Observation", "status": "final", "code": {"text": "x"},
            "subject": {"reference": format!("Patient?identifier={n}")}}})
        })
        .collect();
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    let get = |path: String, status| ("GET", path, FHIR, String::new(), status);
    let post = |body: String, status| ("POST", "Patient".to_owned(), FHIR, body, status);
    let patch = |kind, body, status| ("PATCH", "Basic/big".to_owned(), kind, body, status);
    let copy = json!({"op": "copy", "from": "/extension", "path": "/extension/-"});
    let zeros = json!({"op": "add", "path": "/z", "value": vec![0; 100_000]});
    let again = json!({"op": "copy", "from": "/z", "path": "/z/-"});
    let zeros = json!([zeros, again, again, again, again, again, again, again]).to_string();
    let first = json!({"op": "move", "from": "/extension/0", "path": "/extension/-"});
    vec![
        post(patient(&deep), 400),
        post(patient(&wide), 400),
        post(patient(&digits), 422),
        post(patient(&keys), 422),
        patch(JSON_PATCH, operations(copy), 413),
        patch(JSON_PATCH, zeros, 413),
        patch(JSON_PATCH, operations(first), 422),
        patch(FHIR, by_path("Basic.extension[19998].url"), 422),
        patch(FHIR, by_path("Basic.descendants().where(url = 'http://x/3').url"), 422),
        patch(FHIR, by_path("Basic.extension.where(url.matches('(a{500}){500}')).url"), 422),
        get(format!("Patient?_sort={}", vec!["family"; 2000].join(",")), 400),
        get(format!("Patient?{}", many("family", 65)), 400),
        get(format!("Patient?identifier={}", vec!["x"; 300].join(",")), 400),
        get(format!("Observation?{}", many("subject.name", 60)), 200),
        get(format!("Patient?{}", many("_has:Observation:patient:code", 60)), 200),
        get(format!("Observation?{}.name=x", vec!["subject"; 1000].join(".")), 400),
        get(format!("Patient?{}code=x", "_has:Group:member:".repeat(500)), 400),
        ("POST", String::new(), FHIR, bundle.to_string(), 412),
    ]
}

#[test]
fn no_request_costs_more_memory_than_a_bound_and_each_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut engine = Engine::new(folder.path(), "  out:\n    file: {directory: out}\n");
    let channel = format!(
        "channel: fhir\nfrom:\n  fhir: {{listen: \"127.0.0.1:{port}\", access: none}}\nto:\n  out:\n    file: {{directory: out}}\n"
    );
    std::fs::write(folder.path().join("channels/fhir.yaml"), channel).unwrap();
    engine.start("");
    engine.ready().expect("the engine starts");
    let extensions: Vec<Value> = (0..20_000)
        .map(|n| json!({"url": format!("http://x/{n}"), "valueString": "y".repeat(50)}))
        .collect();
    let big = json!({"resourceType": "Basic", "id": "big", "code": {"text": "x"},
        "extension": extensions});
    assert_eq!(ask(port, "PUT", "Basic/big", FHIR, &big.to_string()).0, 201);

    let requests = requests();
    // Several such clients at once.
    std::thread::scope(|scope| {
        for half in requests.chunks(requests.len().div_ceil(3)) {
            scope.spawn(move || {
                for (method, path, kind, body, status) in half {
                    let (got, said) = ask(port, method, path, kind, body);
                    let asked = path.get(..60).unwrap_or(path);
                    let said = said.get(..600).unwrap_or(&said);
                    assert_eq!(got, *status, "{method} {asked}, {} bytes: {said}", body.len());
                }
            });
        }
    });
    assert!(!engine.ended(), "the engine runs:\n{}", engine.log());
    let memory = memory_mib(&engine);
    assert!(memory <= MEMORY_MIB_MAX, "{memory} MiB");
    let (status, patient) = ask(port, "GET", "Basic/big", FHIR, "");
    assert_eq!(status, 200);
    assert!(patient.starts_with(r#"{"resourceType":"Basic","id":"big""#));
}
