//! Messages to measure with: made-up results of made-up people, about 1.5 KB.

use std::sync::{Arc, LazyLock};

use medway::message::id::{DestinationId, MessageId, VersionId};
use medway::message::kind::{ContentType, Kind};
use medway::message::payload::Payload;
use medway::message::plan::{Disposition, Joins, Lane, Plan, PlanEntry};
use medway::message::time::Timestamp;
use medway::message::verdict::{DuplicateRule, IfChanged};
use medway::message::{Envelope, Key, KeyValue};
use medway::store::NewMessage;

/// The start of the benchmarks' time.
pub(crate) const START: i64 = 1_700_000_000_000_000;

/// An ORU^R01 with 16 results.
pub(crate) fn oru(n: u64) -> String {
    let mrn = mrn(n);
    let mut text = format!(
        "MSH|^~\\&|LAB|GENERAL|EMR|GENERAL|20260301{:06}||ORU^R01^ORU_R01|C{n:010}|P|2.5.1\r\
         PID|1||{mrn}^^^GENERAL^MR||Moreno^Ana^{}||1980{:04}|F|||Calle Sol {}^^Sevilla^^41001\r\
         PV1|1|I|W{}^{}^1||||{:05}^Okafor^Grace|||||||||||V{:08}\r\
         OBR|1|P{n:08}|A{n:08}|24323-8^Comprehensive metabolic panel^LN|||20260301{:06}\r",
        n % 240_000,
        n % 97,
        n % 1231,
        n % 300,
        n % 40,
        n % 20,
        n % 99_991,
        n / 7,
        n % 235_959
    );
    for line in 1..=16_u64 {
        let value = (n.wrapping_mul(2_654_435_761).wrapping_add(line * 7919)) % 10_000;
        text.push_str(&format!(
            "OBX|{line}|NM|{}-{}^Analyte {line}^LN||{}.{}|mmol/L|{}-{}|{}|||F\r",
            2000 + value % 700,
            value % 10,
            value / 100,
            value % 100,
            line,
            line + 40,
            if value.is_multiple_of(9) { "H" } else { "N" }
        ));
    }
    text
}

/// Words that the engine's sources hold once for all messages.
struct Words {
    channel: Arc<str>,
    mrn: Arc<str>,
    visit: Arc<str>,
    accession: Arc<str>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| Words {
    channel: "lab_results".into(),
    mrn: "mrn".into(),
    visit: "visit".into(),
    accession: "accession".into(),
});

fn mrn(n: u64) -> String {
    format!("{:08}", n.wrapping_mul(48_271) % 400_000)
}

/// A message with the keys a channel would take from it, for these destinations.
pub(crate) fn message(n: u64, destinations: &[DestinationId]) -> NewMessage {
    let Words { channel, mrn: mrn_name, visit, accession } = &*WORDS;
    let key = |name: &Arc<str>, value: String| Key {
        name: Arc::clone(name),
        value: KeyValue::new(&value),
    };
    let mrn = mrn(n);
    let disposition = Disposition::Deliver { lane: Lane::of(&mrn), joins: Joins::NONE };
    let entries = destinations
        .iter()
        .map(|destination| PlanEntry {
            destination: *destination,
            version: VersionId(1),
            disposition: disposition.clone(),
        })
        .collect();
    NewMessage {
        envelope: Envelope {
            id: MessageId::new(),
            received_at: Timestamp(START + i64::try_from(n).unwrap()),
            channel: Arc::clone(channel),
            content_type: ContentType::Hl7v2,
            kind: Kind::Report,
            event: "ORU^R01".into(),
            control_id: KeyValue::new(&format!("C{n:010}")),
            keys: vec![
                key(mrn_name, mrn),
                key(visit, format!("V{:08}", n / 7)),
                key(accession, format!("A{n:08}")),
            ],
            origin: None,
        },
        plan: Plan { entries },
        payload: Some(Payload::new(oru(n))),
        duplicate: Some(DuplicateRule {
            identity: n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            content: n,
            within: std::time::Duration::from_secs(86_400),
            if_changed: IfChanged::Hold,
        }),
    }
}
