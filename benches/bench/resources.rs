//! FHIR resources in the store: what a create costs beside an HL7 v2 message of about the same content.

use std::sync::Arc;
use std::time::Instant;

use medway::message::payload::Payload;
use medway::message::resource::{
    Expect, Guard, IndexValue, Indexed, Interaction, ResourceKey, ResourceWrite,
};
use medway::message::time::Timestamp;
use medway::store::Store;
use medway::store::resources::{ResourceBatch, ResourceStore, Written};
use medway::store::sqlite::{SqliteOptions, SqliteStore};
use tokio::runtime::Runtime;

use crate::report::{Report, bytes_written, cpu_us, figure, median, pairs};
use crate::sample::{START, message};

/// Resources a commit (as so many clients that wait), and commits a round.
const BATCHES: [(usize, usize); 2] = [(10, 150), (100, 60)];
/// Resources that are there before: ids and references come in no order among them.
const BEFORE: usize = 100_000;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

struct Bench {
    runtime: Runtime,
    store: Arc<SqliteStore>,
    next: u64,
}

impl Bench {
    fn open(folder: &std::path::Path) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let options = SqliteOptions::new(folder.join("medway.db"));
        let store = Arc::new(runtime.block_on(SqliteStore::open(options)).unwrap());
        Self { runtime, store, next: 0 }
    }

    fn numbers(&mut self, count: usize) -> std::ops::Range<u64> {
        let first = self.next;
        self.next += u64::try_from(count).unwrap();
        first..self.next
    }

    /// HL7 v2 messages, each its own call.
    fn append(&mut self, per_commit: usize, commits: usize) -> f64 {
        let started = Instant::now();
        for _ in 0..commits {
            let calls = self.numbers(per_commit).map(|n| self.store.append(vec![message(n, &[])]));
            let answers = self.runtime.block_on(futures_util::future::join_all(calls));
            assert!(answers.iter().all(Result::is_ok));
        }
        figure(per_commit * commits) / started.elapsed().as_secs_f64()
    }

    /// Creates of observations, each its own call, with the message each is.
    fn create(&mut self, per_commit: usize, commits: usize, conditional: bool) -> f64 {
        let started = Instant::now();
        for _ in 0..commits {
            let numbers = self.numbers(per_commit);
            let calls = numbers.map(|n| self.store.write(observation(n, conditional)));
            let answers = self.runtime.block_on(futures_util::future::join_all(calls));
            assert!(answers.iter().all(|answer| matches!(answer, Ok(Written::Done(_)))));
        }
        figure(per_commit * commits) / started.elapsed().as_secs_f64()
    }
}

/// Numbers in no order.
fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn observation(n: u64, conditional: bool) -> ResourceBatch {
    let id = format!("{:016x}", scattered(n));
    let patient = format!("p{}", scattered(n / 7) % 20_000);
    let identifier = format!("OBS{:012}", scattered(n) % 1_000_000_000_000);
    let number = |n: u64| i64::try_from(n).unwrap();
    let body = format!(
        r#"{{"resourceType":"Observation","id":"{id}","meta":{{"versionId":"1","lastUpdated":"2026-03-01T10:11:12.131Z","source":"urn:lab#1"}},"identifier":[{{"system":"urn:oid:1.2.3","value":"{identifier}"}}],"status":"final","category":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}}]}}],"code":{{"coding":[{{"system":"http://loinc.org","code":"{}-1","display":"Analyte {}"}}],"text":"Analyte"}},"subject":{{"reference":"Patient/{patient}","display":"Moreno, Ana"}},"encounter":{{"reference":"Encounter/e{patient}"}},"effectiveDateTime":"2026-03-01T10:11:12Z","issued":"2026-03-01T10:11:12.131Z","performer":[{{"reference":"Organization/lab"}}],"valueQuantity":{{"value":{}.{},"unit":"mmol/L","system":"http://unitsofmeasure.org","code":"mmol/L"}},"interpretation":[{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"N"}}]}}],"referenceRange":[{{"low":{{"value":1}},"high":{{"value":9}}}}]}}"#,
        n % 900,
        n % 900,
        n % 10,
        n % 97
    );
    let token = |param: &str, system: &str, code: &str| IndexValue {
        param: param.into(),
        value: Indexed::Token { system: system.into(), code: code.into() },
    };
    let reference = |param: &str, kind: &str, id: &str| IndexValue {
        param: param.into(),
        value: Indexed::Reference { kind: kind.into(), id: id.into() },
    };
    let code = format!("{}-1", n % 900);
    let at = Timestamp(START + number(n) * 1000);
    let date = IndexValue { param: "date".into(), value: Indexed::Date { from: at, to: at } };
    let value = Indexed::Quantity {
        value: f64::from(u32::try_from(n % 97).unwrap()),
        system: "http://unitsofmeasure.org".into(),
        code: "mmol/L".into(),
    };
    let identified = token("identifier", "urn:oid:1.2.3", &identifier);
    let guards = if conditional {
        vec![Guard::NoMatch { kind: "Observation".into(), value: identified.clone() }]
    } else {
        Vec::new()
    };
    let mut new = message(n, &[]);
    new.payload = Some(Payload::new(body.clone()));
    let write = ResourceWrite {
        key: ResourceKey::new("Observation", &id),
        expect: Expect::Absent,
        version: 1,
        interaction: Interaction::Create,
        at,
        message: Some(0),
        body: Payload::new(body),
        index: vec![
            identified,
            token("status", "", "final"),
            token(
                "category",
                "http://terminology.hl7.org/CodeSystem/observation-category",
                "laboratory",
            ),
            token("code", "http://loinc.org", &code),
            token("combo-code", "http://loinc.org", &code),
            reference("subject", "Patient", &patient),
            reference("patient", "Patient", &patient),
            reference("encounter", "Encounter", &format!("e{patient}")),
            reference("performer", "Organization", "lab"),
            date,
            IndexValue { param: "value-quantity".into(), value: value.clone() },
            IndexValue { param: "combo-value-quantity".into(), value },
            IndexValue { param: "_source".into(), value: Indexed::Uri("urn:lab#1".into()) },
        ],
    };
    ResourceBatch { messages: vec![new], writes: vec![write], guards, events: Vec::new() }
}

/// Creates against messages, in stores of their own; the creates' store holds many resources already.
pub(crate) fn write(report: &mut Report) {
    let (messages, resources) = (folder(), folder());
    let mut plain = Bench::open(messages.path());
    let mut fhir = Bench::open(resources.path());
    fhir.create(1000, BEFORE / 1000, false);
    for (per_commit, commits) in BATCHES {
        for conditional in [false, true] {
            let (mut own, mut theirs) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
            let count = figure(per_commit * commits);
            let measured = |into: &mut (Vec<f64>, Vec<f64>), work: &mut dyn FnMut() -> f64| {
                let before = (bytes_written(), cpu_us());
                let rate = work();
                into.0.push((bytes_written() - before.0) / count);
                into.1.push((cpu_us() - before.1) / count);
                rate
            };
            let (probe, rate, ratio) = pairs(
                || measured(&mut theirs, &mut || plain.append(per_commit, commits)),
                || measured(&mut own, &mut || fhir.create(per_commit, commits, conditional)),
            );
            let name = if conditional { "fhir_store_conditional" } else { "fhir_store_write" };
            report.row(
                &format!("{name}_{per_commit}"),
                Some(ratio),
                &[
                    ("creates_per_s", rate),
                    ("messages_per_s", probe),
                    ("bytes_per_create", median(own.0)),
                    ("bytes_per_message", median(theirs.0)),
                    ("cpu_us_per_create", median(own.1)),
                    ("cpu_us_per_message", median(theirs.1)),
                ],
            );
        }
    }
    plain.runtime.block_on(plain.store.close());
    fhir.runtime.block_on(fhir.store.close());
}
