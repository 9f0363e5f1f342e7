//! Device data and alarms: the containment tree of IHE PCD-01 and the facets of PCD-04.
//!
//! OBX-4 says where a value belongs: `MDS.VMD.CHAN.METRIC[.FACET]`. Zeros mark containers: `1.0.0.0` is a
//! device, `1.2.0.0` a virtual device in it, `1.2.1.0` a channel of that. Containers that are not sent are
//! implied by the values in them.

use std::collections::HashMap;

use crate::hl7::charset::Charset;
use crate::hl7::raw::{RawMessage, SegmentRef};
use crate::hl7::view::cell::Cell;
use crate::hl7::view::patient::{field, patient, visit};
use crate::hl7::view::report::{coded, observation};
use crate::message::view::{
    Alarm, Coded, Container, DeviceId, DeviceMessage, Level, Metric, Observation,
};

/// Codes of the segments that describe an alarm (ISO/IEEE 11073-10101).
const EVENT_ALARM: &str = "196616";
const EVENT_PHASE: &str = "68481";
const ALARM_STATE: &str = "68482";
const INACTIVATION_STATE: &str = "68483";
const ALARM_PRIORITY: &str = "68484";
const ALERT_TYPE: &str = "68485";

/// Flags of OBX-8 that say something against a value (IHE DEV TF-2, appendix B.8).
const VALIDITY: [&str; 9] = ["INV", "NAV", "OFF", "CALB", "QUES", "UCNF", "NOTC", "DEMO", "TEST"];

/// What a device message (PCD-01, PCD-04 and their like) says.
#[must_use]
pub fn device_message(message: &RawMessage) -> DeviceMessage {
    let mut reader = Reader {
        charset: message.charset(),
        containers: Vec::new(),
        metrics: Vec::new(),
        alarms: Vec::new(),
        container_at: HashMap::new(),
        metric_at: HashMap::new(),
        time: None,
        alarm: None,
    };
    for segment in message.segments() {
        match segment.id {
            b"OBR" => reader.begin_order(&segment),
            b"OBX" => reader.observe(&segment),
            _ => {}
        }
    }
    reader.end_order();
    DeviceMessage {
        patient: patient(message),
        visit: visit(message),
        sender: sender(message),
        containers: reader.containers,
        metrics: reader.metrics,
        alarms: reader.alarms,
    }
}

/// MSH-3: `name^EUI-64^EUI-64`.
fn sender(message: &RawMessage) -> Option<DeviceId> {
    let application = field(message, b"MSH", 3);
    let id = DeviceId {
        local: application.component(1).text_or_empty(),
        eui64: eui64(application.component(2), application.component(3)),
    };
    (!id.name().is_empty()).then_some(id)
}

struct Reader {
    charset: Charset,
    containers: Vec<Container>,
    metrics: Vec<Metric>,
    alarms: Vec<Alarm>,
    /// Where each container stands in the list.
    container_at: HashMap<[u32; 3], usize>,
    /// Where the metric that was sent last for a place stands in the list.
    metric_at: HashMap<([u32; 3], u32), usize>,
    /// Time of the order: the time of observations without their own.
    time: Option<String>,
    /// The alarm that the order is about.
    alarm: Option<Alarm>,
}

impl Reader {
    fn begin_order(&mut self, obr: &SegmentRef<'_>) {
        self.end_order();
        let cell = |number| Cell::of_field(obr, number, self.charset);
        let moment = |number: usize| cell(number).iso();
        self.time = moment(7).or_else(|| moment(8));
        let code = coded(cell(4));
        let is_alarm = code.first().is_some_and(|code| code.code == EVENT_ALARM)
            || code.mdc() == Some("MDC_EVT_ALARM");
        self.alarm = is_alarm.then(|| Alarm {
            id: alarm_id(cell(29), cell(3)),
            occurred_at: self.time.clone(),
            ..Alarm::default()
        });
    }

    fn end_order(&mut self) {
        self.alarms.extend(self.alarm.take());
    }

    fn observe(&mut self, obx: &SegmentRef<'_>) {
        let cell = |number| Cell::of_field(obx, number, self.charset);
        let place = Place::read(&cell(4).text_or_empty());
        let device = cell(18).repetitions().find_map(device_id);
        let observed = observation(obx, self.time.as_deref(), self.charset);
        let Some(place) = place else {
            self.metrics.push(metric(observed, None));
            return;
        };
        if place.metric == 0 {
            self.contain(place, observed.code, device);
            return;
        }
        let container = self.innermost(place, device);
        if let Some(alarm) = &mut self.alarm
            && take_facet(alarm, place.facet, &observed)
        {
            alarm.container = container;
            return;
        }
        let at = (place.around, place.metric);
        let whole = self.metric_at.get(&at).and_then(|index| self.metrics.get_mut(*index));
        match whole {
            Some(whole) if place.facet > 0 => whole.facets.push(observed),
            _ => {
                if place.facet == 0 {
                    self.metric_at.insert(at, self.metrics.len());
                }
                self.metrics.push(metric(observed, container));
            }
        }
    }

    /// A container that was sent.
    fn contain(&mut self, place: Place, code: Coded, device: Option<DeviceId>) {
        let index = self.container(place.around);
        if let Some(known) = index.and_then(|index| self.containers.get_mut(index)) {
            known.code = code;
            known.device = device.or(known.device.take());
        }
    }

    /// The innermost container of a value; an identity sent with the value is its device's.
    fn innermost(&mut self, place: Place, device: Option<DeviceId>) -> Option<usize> {
        let index = self.container(place.around);
        let known = index.and_then(|index| self.containers.get_mut(index));
        if let (Some(known), Some(device)) = (known, device) {
            known.device.get_or_insert(device);
        }
        index
    }

    /// The container with these numbers and, before it, those around it, made where they are missing.
    fn container(&mut self, numbers: [u32; 3]) -> Option<usize> {
        let [system, part, channel] = numbers;
        if system == 0 {
            return None;
        }
        let mut found = self.find_or_make(Level::System, [system, 0, 0], None);
        if part > 0 {
            found = self.find_or_make(Level::Virtual, [system, part, 0], Some(found));
        }
        if channel > 0 {
            found = self.find_or_make(Level::Channel, [system, part, channel], Some(found));
        }
        Some(found)
    }

    fn find_or_make(&mut self, level: Level, place: [u32; 3], parent: Option<usize>) -> usize {
        let index = self.containers.len();
        if let Some(known) = self.container_at.get(&place) {
            return *known;
        }
        self.container_at.insert(place, index);
        self.containers.push(Container {
            level,
            place,
            code: Coded::default(),
            device: None,
            parent,
        });
        index
    }
}

/// Where OBX-4 says that something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    around: [u32; 3],
    metric: u32,
    facet: u32,
}

impl Place {
    /// Four or five numbers with dots; `None` for the sub-ids of other messages.
    fn read(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match *numbers?.as_slice() {
            [system, part, channel, metric] => {
                Some(Self { around: [system, part, channel], metric, facet: 0 })
            }
            [system, part, channel, metric, facet] => {
                Some(Self { around: [system, part, channel], metric, facet })
            }
            _ => None,
        }
    }
}

fn metric(observation: Observation, container: Option<usize>) -> Metric {
    let validity = observation.flags.iter().find(|flag| VALIDITY.contains(&flag.as_str())).cloned();
    Metric { observation, container, validity, facets: Vec::new() }
}

/// Takes what an OBX says about the alarm; false when it says nothing about it.
fn take_facet(alarm: &mut Alarm, facet: u32, observed: &Observation) -> bool {
    let code = observed.code.first().map(|coding| coding.code.as_str()).unwrap_or_default();
    let text = || {
        let value = observed.values.first().map(|value| value.expose().to_owned());
        value.unwrap_or_default()
    };
    match (code, facet) {
        (EVENT_PHASE, _) => alarm.phase = text(),
        (ALARM_STATE, _) => alarm.state = text(),
        (INACTIVATION_STATE, _) => alarm.inactivation = text(),
        (ALARM_PRIORITY, _) => alarm.priority = text(),
        (ALERT_TYPE, _) => alarm.kind = text(),
        (_, 1) | (EVENT_ALARM, _) => {
            alarm.event = observed.coded_value.clone().unwrap_or_default();
            take_packed(alarm, &observed.flags);
            alarm.occurred_at = observed.observed_at.clone().or(alarm.occurred_at.take());
        }
        (_, 2) => {
            alarm.source = Some(observed.code.clone());
            alarm.source_value = observed.values.first().cloned();
        }
        _ => return false,
    }
    true
}

/// Priority and kind as OBX-8 of the first facet packs them; the facets of their own win.
fn take_packed(alarm: &mut Alarm, flags: &[String]) {
    for flag in flags {
        let into = match flag.as_str() {
            "PN" | "PI" | "PL" | "PM" | "PH" => &mut alarm.priority,
            "SP" | "ST" | "SA" => &mut alarm.kind,
            _ => continue,
        };
        if into.is_empty() {
            into.clone_from(flag);
        }
    }
}

/// OBR-29 names the alarm over its life, OBR-3 in the message that starts it.
fn alarm_id(parent: Cell<'_>, own: Cell<'_>) -> String {
    let candidates = [
        parent.component(2).subcomponent(1),
        parent.component(1).subcomponent(1),
        own.component(1),
    ];
    candidates.into_iter().find_map(Cell::text).unwrap_or_default()
}

/// OBX-18: `id^namespace^EUI-64^EUI-64`.
fn device_id(cell: Cell<'_>) -> Option<DeviceId> {
    let local = cell.component(1).text_or_empty();
    let eui = eui64(cell.component(3), cell.component(4))
        .or_else(|| eui64(cell.component(1), cell.component(4)));
    let id = DeviceId { local, eui64: eui };
    (!id.name().is_empty()).then_some(id)
}

/// 16 hexadecimal digits, without the dashes and colons that some write between them.
fn eui64(id: Cell<'_>, kind: Cell<'_>) -> Option<String> {
    if !kind.text()?.to_ascii_uppercase().starts_with("EUI") {
        return None;
    }
    let digits: String = id.text()?.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let is_eui = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_eui.then(|| digits.to_ascii_uppercase())
}
