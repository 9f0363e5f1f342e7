//! What a message is about, from its header: type, event and profile (HL7 tables 0076 and 0003).

use std::borrow::Cow;

use crate::hl7::header::Header;
use crate::hl7::raw::RawMessage;
use crate::hl7::value::Value;
use crate::hl7::view::cell::Cell;
use crate::message::kind::Kind;

/// Marks of the IHE device profiles in MSH-21. Vendors write the profile's name, its OID, or both.
const DEVICE_PROFILES: [&str; 6] =
    ["1.3.6.1.4.1.19376.1.6.", "IHE_PCD", "IHE PCD", "IHE_DEC", "IHE_DEV", "IHE DEV"];

/// The kind of a message by MSH-9.1, MSH-9.2 and the whole of MSH-21.
///
/// A result (ORU) is device data when its event says so (R40 to R42: alarms and pump events) or when it
/// claims a profile of IHE's device domain, matched loosely. Orders to devices (PCD-03, RGV^O15) stay
/// pharmacy. An answer that carries what was asked for is a query, as its question is.
#[must_use]
pub fn classify(message_type: &str, event: &str, profile: &str) -> Kind {
    let message_type = message_type.trim();
    let upper = message_type.bytes().any(|byte| byte.is_ascii_lowercase());
    let upper = upper.then(|| message_type.to_ascii_uppercase());
    match upper.as_deref().unwrap_or(message_type) {
        "ADT" => Kind::Patient,
        "ORU" | "ORA" if is_device(event, profile) => Kind::Device,
        "ORU" | "OUL" | "OPU" | "CSU" => Kind::Report,
        "ORA" | "ESU" | "ESR" | "EAC" | "EAN" | "EAR" | "INU" | "INR" | "LSU" | "LSR" | "SSU"
        | "SSR" | "TCU" | "TCR" | "SDN" | "SCN" | "SLN" | "STC" => Kind::Device,
        "ORM" | "ORR" | "OML" | "ORL" | "OMG" | "ORG" | "OMI" | "ORI" | "OMD" | "ORD" | "OMS"
        | "ORS" | "OMN" | "ORN" | "OMB" | "ORB" | "OMQ" | "ORX" | "OPL" | "OPR" | "OSU" | "OSM"
        | "BPS" | "BRP" | "BTS" | "BRT" | "REF" | "RRI" => Kind::Order,
        "SIU" | "SRM" | "SRR" => Kind::Schedule,
        "MDM" => Kind::Document,
        "VXU" => Kind::Immunization,
        "RDE" | "RRE" | "RDS" | "RRD" | "RGV" | "RRG" | "RAS" | "RRA" | "OMP" | "ORP" => {
            Kind::Pharmacy
        }
        "DFT" | "BAR" | "EHC" => Kind::Finance,
        "MFN" | "MFK" | "MFD" | "PMU" => Kind::Master,
        "QBP" | "RSP" | "QRY" | "QCK" | "QCN" | "QSB" | "QSX" | "QVR" | "QRF" | "RTB" | "RDY"
        | "SPQ" | "VQQ" | "EQQ" | "ERP" | "EDR" | "TBR" | "DSR" | "OSQ" | "OSR" | "ADR" | "ORF"
        | "RCI" | "RCL" | "RQC" | "RQI" | "RQP" | "RPI" | "RPL" | "RPR" | "RQA" | "RPA" | "MFQ"
        | "MFR" | "SQM" | "SQR" | "VXQ" | "VXR" | "VXX" | "RAR" | "RDR" | "RER" | "RGR" | "ROR"
        | "NMQ" | "NMR" | "DOC" => Kind::Query,
        "ACK" | "MCF" => Kind::Ack,
        _ => Kind::Other,
    }
}

/// As [`classify`], with a look at the body: a result whose first coded observation is from the device
/// nomenclature (OBX-3.3 `MDC`) is device data although its header claims no profile.
#[must_use]
pub fn of(message: &RawMessage) -> Kind {
    let header = message.segments().find(|segment| segment.id == b"MSH");
    let header = header.map(|segment| Header::of(segment).indexed());
    let kind = header.map(|header| {
        let text = |component: usize| text(message, header.component(9, component));
        classify(&text(1), &text(2), &String::from_utf8_lossy(header.field(21)))
    });
    match kind.unwrap_or(Kind::Other) {
        Kind::Report if first_observation_is_of_a_device(message) => Kind::Device,
        kind => kind,
    }
}

fn is_device(event: &str, profile: &str) -> bool {
    let profile = profile.to_ascii_uppercase();
    matches!(event.trim(), "R40" | "R41" | "R42")
        || DEVICE_PROFILES.iter().any(|mark| profile.contains(mark))
}

/// The text of a component, without the blanks around it.
fn text<'m>(message: &RawMessage, component: &'m [u8]) -> Cow<'m, str> {
    // Codes are plain: nothing of them is divided, escaped or written in another charset.
    match std::str::from_utf8(component) {
        Ok(plain) if component.iter().all(u8::is_ascii_alphanumeric) => Cow::Borrowed(plain),
        _ => {
            let value = Value::of(component, message.separators());
            Cow::Owned(value.text(message.charset()).trim().to_owned())
        }
    }
}

fn first_observation_is_of_a_device(message: &RawMessage) -> bool {
    let first = message.segments().find(|segment| segment.id == b"OBX");
    first.is_some_and(|segment| {
        let code = Cell::of_field(&segment, 3, message.charset());
        [3, 6].into_iter().any(|system| code.component(system).is("MDC"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_kind() {
        for (message_type, event, profile, kind) in [
            ("ADT", "A01", "", Kind::Patient),
            ("ADT", "A40", "", Kind::Patient),
            ("ADT", "", "", Kind::Patient),
            ("adt ", "A08", "", Kind::Patient),
            ("ORU", "R01", "", Kind::Report),
            ("ORU", "R01", "PHLabReport-NoAck^^2.16.840.1.113883.9.11^ISO", Kind::Report),
            ("ORU", "R01", "IHE_PCD_ORU_R01^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO", Kind::Device),
            ("ORU", "R01", "IHE PCD ORU-R01 2006^HL7^2.16.840.1.113883.9.n.m^HL7", Kind::Device),
            ("ORU", "R01", "IHE_PCD_001", Kind::Device),
            ("ORU", "R01", "^^1.3.6.1.4.1.19376.1.6.1.9.1^ISO", Kind::Device),
            ("ORU", "R40", "", Kind::Device),
            ("ORU", "R42", "", Kind::Device),
            ("ORA", "R41", "", Kind::Device),
            ("ORU", "W01", "", Kind::Report),
            ("OUL", "R22", "", Kind::Report),
            ("ORM", "O01", "", Kind::Order),
            ("OML", "O21", "", Kind::Order),
            ("SIU", "S12", "", Kind::Schedule),
            ("MDM", "T02", "", Kind::Document),
            ("VXU", "V04", "", Kind::Immunization),
            ("VXX", "V02", "", Kind::Query),
            ("RDE", "O11", "", Kind::Pharmacy),
            (
                "RGV",
                "O15",
                "IHE_PCD_PIV_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.3.1^ISO",
                Kind::Pharmacy,
            ),
            ("DFT", "P03", "", Kind::Finance),
            ("MFN", "M02", "", Kind::Master),
            ("QBP", "Q22", "", Kind::Query),
            ("ADR", "A19", "", Kind::Query),
            ("ACK", "", "", Kind::Ack),
            ("ESU", "U01", "", Kind::Device),
            ("ZZZ", "Z01", "", Kind::Other),
            ("", "", "", Kind::Other),
        ] {
            assert_eq!(classify(message_type, event, profile), kind, "{message_type}^{event}");
        }
    }
}
