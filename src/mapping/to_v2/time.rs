//! Dates and times of FHIR as HL7 v2 writes them: the same precision, the zone kept.

/// `2026-01-14T08:00:00.5+08:00` as `20260114080000.5+0800`; `None` when it is no date or time of FHIR
/// (R4 datatypes.html#dateTime) or its moment does not exist.
pub(super) fn hl7(text: &str) -> Option<String> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let sizes: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = matches!(sizes.as_slice(), [4] | [4, 2] | [4, 2, 2])
        && parts.iter().all(|part| digits(part));
    if !fits {
        return None;
    }
    let mut made = parts.concat();
    if let Some(time) = time {
        let at = time.find(['Z', '+', '-']).unwrap_or(time.len());
        let (clock, zone) = time.split_at_checked(at)?;
        let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
        let units: Vec<&str> = whole.split(':').collect();
        let fits = matches!(units.len(), 2 | 3)
            && units.iter().all(|unit| unit.len() == 2 && digits(unit));
        if sizes.len() != 3 || !fits || !(fraction.is_empty() || digits(fraction)) {
            return None;
        }
        made.push_str(&units.concat());
        if !fraction.is_empty() {
            made.push('.');
            // HL7 v2 knows four digits of a second.
            made.push_str(fraction.get(..4).unwrap_or(fraction));
        }
        match zone {
            "" => {}
            "Z" => made.push_str("+0000"),
            zone => made.push_str(&zone.replace(':', "")),
        }
    }
    let known = crate::hl7::time::Hl7Time::parse(&made).ok().flatten();
    known.map(|_| made)
}

#[cfg(test)]
mod tests {
    use super::hl7;

    #[test]
    fn keeps_precision_and_zone() {
        for (fhir, expected) in [
            ("2026", "2026"),
            ("2026-01", "202601"),
            ("2026-01-14", "20260114"),
            ("2026-01-14T08:00:00+08:00", "20260114080000+0800"),
            ("2026-01-14T08:00:00Z", "20260114080000+0000"),
            ("2026-01-14T08:00:00.123456-05:30", "20260114080000.1234-0530"),
            ("2026-01-14T08:00+01:00", "202601140800+0100"),
        ] {
            assert_eq!(hl7(fhir).as_deref(), Some(expected), "{fhir}");
        }
        for wrong in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-30",
            "2026-01T08:00:00Z",
            "20260114",
            "2026-01-14T8:00:00Z",
        ] {
            assert_eq!(hl7(wrong), None, "{wrong}");
        }
    }
}
