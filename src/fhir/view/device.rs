//! Device, `DeviceMetric` and Observation as a device message.

use serde_json::Value;

use crate::fhir::view::parts::{coded, identifiers};
use crate::fhir::view::patient::{patient, visit};
use crate::fhir::view::report::{observation, observations};
use crate::fhir::view::resources::{Resources, items, kind, text};
use crate::message::view::{Container, DeviceId, DeviceMessage, Level, Metric};

/// The identifier system of EUI-64 addresses (IEEE), as IHE writes it.
const EUI64: &str = "urn:oid:1.2.840.10004.1.1.1.0.0.1680";

/// What a device message says.
pub(super) fn device_message(message: &Resources<'_>) -> DeviceMessage {
    let measured = observations(message);
    let device = message
        .first("Device")
        .or_else(|| measured.iter().find_map(|one| message.follow(one, "device")))
        .or_else(|| message.first("DeviceMetric").and_then(|one| message.follow(one, "source")));
    let named = || {
        let holder = measured.first().copied().or_else(|| message.first("DeviceMetric"))?;
        let reference = holder.get("device").or_else(|| holder.get("source"))?;
        let local = reference
            .pointer("/identifier/value")
            .and_then(Value::as_str)
            .unwrap_or_else(|| text(reference, "display"));
        (!local.is_empty()).then(|| DeviceId { local: local.to_owned(), eui64: None })
    };
    let containers = device.map(|device| Container {
        level: Level::System,
        place: [1, 0, 0],
        code: coded(device.get("type")),
        device: device_id(device),
        parent: None,
    });
    let metrics = measured.iter().filter(|one| kind(one) == "Observation").map(|one| Metric {
        observation: observation(one),
        container: device.map(|_| 0),
        validity: None,
        facets: Vec::new(),
    });
    DeviceMessage {
        patient: patient(message),
        visit: visit(message),
        sender: named(),
        metrics: metrics.collect(),
        containers: containers.into_iter().collect(),
        alarms: Vec::new(),
    }
}

fn device_id(device: &Value) -> Option<DeviceId> {
    let eui64 = items(device, "identifier")
        .find(|identifier| text(identifier, "system") == EUI64)
        .map(|identifier| text(identifier, "value").replace(['-', ':'], "").to_uppercase());
    let own = identifiers(device).into_iter().next().map(|id| id.value.expose().to_owned());
    let local = own.unwrap_or_else(|| {
        let named = device.pointer("/deviceName/0/name").and_then(Value::as_str);
        let serial = text(device, "serialNumber");
        if serial.is_empty() { named.unwrap_or_default() } else { serial }.to_owned()
    });
    (eui64.is_some() || !local.is_empty()).then_some(DeviceId { local, eui64 })
}
