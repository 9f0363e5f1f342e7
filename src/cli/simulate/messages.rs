//! The messages of the made-up hospital, as text. Encoded when sent.

use fastrand::Rng;

use crate::cli::simulate::people::Person;

/// What a message is made of besides its person.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    /// `YYYYMMDDHHMMSS+0000`.
    pub(crate) time: String,
    /// MSH-10.
    pub(crate) control_id: String,
    /// MSH-18, empty for none.
    pub(crate) charset: &'static str,
}

/// Events of the admission desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A01.
    Admit,
    /// A04.
    Register,
    /// A08.
    Update,
    /// A03.
    Discharge,
}

impl Event {
    const fn code(self) -> &'static str {
        match self {
            Self::Admit => "A01",
            Self::Register => "A04",
            Self::Update => "A08",
            Self::Discharge => "A03",
        }
    }
}

fn header(stamp: &Stamp, application: &str, kind: &str, version: &str, profile: &str) -> String {
    let Stamp { time, control_id, charset } = stamp;
    let mut line = format!(
        "MSH|^~\\&|{application}|HOSP|MEDWAY|HOSP|{time}||{kind}|{control_id}|P|{version}||||||{charset}"
    );
    if !profile.is_empty() {
        line.push_str("|||");
        line.push_str(profile);
    }
    line.push('\r');
    line
}

fn patient(person: &Person) -> String {
    let Person { mrn, family, given, born, sex, ward, bed, visit } = person;
    // PV1-3 is the location, PV1-19 the visit number.
    let gap = "|".repeat(16);
    format!(
        "PID|1||{mrn}^^^HOSP^MR||{family}^{given}||{born}|{sex}|||1 Sample St^^Exampletown^^00000||555-0100\r\
         PV1|1|I|{ward}^{bed}^1^HOSP{gap}{visit}^^^HOSP^VN\r"
    )
}

/// An admission, update or discharge.
pub(crate) fn adt(person: &Person, event: Event, stamp: &Stamp) -> String {
    let code = event.code();
    let mut text = header(stamp, "HIS", &format!("ADT^{code}^ADT_A01"), "2.5.1", "");
    text.push_str(&format!("EVN|{code}|{}\r", stamp.time));
    text.push_str(&patient(person));
    text
}

/// A merge (A40): `gone` is found to be `kept`.
pub(crate) fn merge(kept: &Person, gone: u32, stamp: &Stamp) -> String {
    let mut text = header(stamp, "HIS", "ADT^A40^ADT_A39", "2.5.1", "");
    text.push_str(&format!("EVN|A40|{}\r", stamp.time));
    text.push_str(&format!(
        "PID|1||{}^^^HOSP^MR||{}^{}||{}|{}\r",
        kept.mrn, kept.family, kept.given, kept.born, kept.sex
    ));
    text.push_str(&format!("MRG|{gone}^^^HOSP^MR\r"));
    text
}

/// (code, name, unit, low, high, decimals, spread beyond the range)
const TESTS: &[(&str, &str, &str, f64, f64, usize)] = &[
    ("K", "Potassium", "mmol/L", 3.5, 5.1, 1),
    ("NA", "Sodium", "mmol/L", 135.0, 145.0, 0),
    ("GLU", "Glucose", "mmol/L", 3.9, 6.1, 1),
    ("CREA", "Creatinine", "umol/L", 45.0, 104.0, 0),
    ("HGB", "Haemoglobin", "g/L", 120.0, 170.0, 0),
    ("WBC", "Leukocytes", "10*9/L", 4.0, 10.0, 1),
];

fn flag(value: f64, low: f64, high: f64) -> &'static str {
    let width = high - low;
    if value > high + width {
        "HH"
    } else if value < low - width {
        "LL"
    } else if value > high {
        "H"
    } else if value < low {
        "L"
    } else {
        "N"
    }
}

/// A laboratory report with a handful of results.
pub(crate) fn lab_report(rng: &mut Rng, person: &Person, accession: u32, stamp: &Stamp) -> String {
    let mut text = header(stamp, "LIS", "ORU^R01^ORU_R01", "2.5.1", "");
    text.push_str(&patient(person));
    let time = &stamp.time;
    text.push_str(&format!(
        "ORC|RE|ORD{accession}^HIS|{accession}^LIS\r\
         OBR|1|ORD{accession}^HIS|{accession}^LIS|CHEM^Chemistry panel^L|||{time}{gap}{time}||LAB|F\r",
        gap = "|".repeat(15),
    ));
    for (number, (code, name, unit, low, high, decimals)) in TESTS.iter().enumerate() {
        let width = high - low;
        let value = low + width * (rng.f64() * 1.3 - 0.15);
        // One report in fifty carries a critical value.
        let value = if number == 0 && rng.u8(0..50) == 0 { high + width * 1.5 } else { value };
        text.push_str(&format!(
            "OBX|{}|NM|{code}^{name}^L||{value:.decimals$}|{unit}|{low:.decimals$}-{high:.decimals$}|{}|||F|||{time}\r",
            number + 1,
            flag(value, *low, *high),
        ));
    }
    text
}

/// A bedside monitor's report (IHE PCD-01): heart rate and oxygen saturation.
pub(crate) fn monitor(rng: &mut Rng, person: &Person, stamp: &Stamp) -> String {
    let device = format!(
        "{:016X}^MON^0012210000000001^EUI-64",
        0x0012_2100_0000_0000_u64 + u64::from(person.mrn)
    );
    let mut text = header(
        stamp,
        "MON^0012210000000001^EUI-64",
        "ORU^R01^ORU_R01",
        "2.6",
        "IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO",
    );
    text.push_str(&patient(person));
    let time = &stamp.time;
    let rate = rng.u16(55..125);
    let saturation = rng.u16(88..100);
    text.push_str(&format!(
        "OBR|1|{id}^MON|{id}^MON|182777000^monitoring of patient^SCT|||{time}\r\
         OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{device}\r\
         OBX|2|NM|147842^MDC_ECG_HEART_RATE^MDC|1.1.1.1|{rate}|264864^MDC_DIM_BEAT_PER_MIN^MDC^{{beats}}/min^^UCUM|||||R|||{time}||||{device}\r\
         OBX|3|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.2.1.1|{saturation}|262688^MDC_DIM_PERCENT^MDC^%^^UCUM|||||R|||{time}||||{device}\r",
        id = stamp.control_id,
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::{Event, Stamp, adt, lab_report, merge, monitor};
    use crate::cli::simulate::people::{Names, person};

    #[test]
    fn every_message_has_a_header_and_ends_its_last_segment() {
        let mut rng = fastrand::Rng::with_seed(7);
        let stamp = Stamp {
            time: "20260102030405+0000".to_owned(),
            control_id: "S1".to_owned(),
            charset: "UNICODE UTF-8",
        };
        let somebody = person(&mut rng, 1001, Names::Mixed);
        for text in [
            adt(&somebody, Event::Admit, &stamp),
            merge(&somebody, 1002, &stamp),
            lab_report(&mut rng, &somebody, 5001, &stamp),
            monitor(&mut rng, &somebody, &stamp),
        ] {
            let msh: Vec<&str> = text.split('\r').next().unwrap().split('|').collect();
            assert_eq!(msh[9], "S1");
            assert_eq!(msh[17], "UNICODE UTF-8");
            assert!(
                text.ends_with('\r') && !text.contains("\r\r") && !text.contains('\n'),
                "{text}"
            );
        }
    }
}
