//! What senders and receivers saw, with times: the only witnesses the checks listen to.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a receiver may take to note what it has been sent; shorter than a start of the engine.
const LAG: Duration = Duration::from_millis(50);

/// A message as a sender made it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) patient: String,
    /// Place among the messages of its patient.
    pub(crate) number: u64,
}

/// A message as a receiver got it.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) id: String,
    pub(crate) patient: String,
    pub(crate) at: Instant,
}

/// Everything that was seen from outside the engine.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) sent: Mutex<Vec<Sent>>,
    pub(crate) answered: Mutex<Vec<String>>,
    pub(crate) got: Mutex<BTreeMap<&'static str, Vec<Got>>>,
    /// Moments that explain a repeat: a kill, or a receiver that broke off.
    pub(crate) faults: Mutex<Vec<Instant>>,
}

impl Journal {
    pub(crate) fn fault(&self) {
        self.faults.lock().unwrap().push(Instant::now());
    }

    /// Ids answered positively that a receiver does not have yet.
    pub(crate) fn missing(&self, receiver: &'static str) -> usize {
        let got = self.got.lock().unwrap();
        let have: std::collections::BTreeSet<&str> = got
            .get(receiver)
            .map_or_else(Default::default, |list| list.iter().map(|got| got.id.as_str()).collect());
        self.answered.lock().unwrap().iter().filter(|id| !have.contains(id.as_str())).count()
    }

    /// Every broken promise, in words.
    pub(crate) fn broken_promises(&self, receivers: &[&'static str]) -> Vec<String> {
        let mut broken = Vec::new();
        let sent: BTreeMap<String, Sent> =
            self.sent.lock().unwrap().iter().map(|sent| (sent.id.clone(), sent.clone())).collect();
        let faults = self.faults.lock().unwrap().clone();
        for receiver in receivers {
            let lost = self.missing(receiver);
            if lost > 0 {
                broken.push(format!("{receiver}: {lost} acknowledged messages never arrived"));
            }
            let got = self.got.lock().unwrap().get(receiver).cloned().unwrap_or_default();
            let mut first: BTreeMap<&str, Instant> = BTreeMap::new();
            let mut last_of: BTreeMap<&str, u64> = BTreeMap::new();
            for got in &got {
                let Some(origin) = sent.get(&got.id) else {
                    broken.push(format!("{receiver}: {} was never sent", got.id));
                    continue;
                };
                if origin.patient != got.patient {
                    broken.push(format!("{receiver}: {} came with another patient", got.id));
                }
                if let Some(before) = first.get(got.id.as_str()) {
                    // What was on the wire at a kill may be read and noted a little after it.
                    let explains = |fault: &Instant| *before <= *fault + LAG && *fault <= got.at;
                    if !faults.iter().any(explains) {
                        broken.push(format!(
                            "{receiver}: {} came twice with no fault between",
                            got.id
                        ));
                    }
                    first.insert(&got.id, got.at);
                    continue;
                }
                first.insert(&got.id, got.at);
                let last = last_of.entry(&origin.patient).or_insert(0);
                if origin.number <= *last {
                    broken.push(format!(
                        "{receiver}: {} came after a later one of its patient",
                        got.id
                    ));
                }
                *last = origin.number;
            }
        }
        broken
    }
}
