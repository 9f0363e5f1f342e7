//! How dates are written: `YYYYMMDD`, `DD/MM/YYYY`, `YYYY-MM-DDTHH:mm:ss`.

/// A way to write dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Number(Unit),
    Sign(char),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

const UNITS: [(&str, Unit); 6] = [
    ("YYYY", Unit::Year),
    ("MM", Unit::Month),
    ("DD", Unit::Day),
    ("HH", Unit::Hour),
    ("mm", Unit::Minute),
    ("ss", Unit::Second),
];

/// A date's parts, each as its digits; "" where it was not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts<'t>([&'t str; 6]);

impl Unit {
    const fn place(self) -> usize {
        match self {
            Self::Year => 0,
            Self::Month => 1,
            Self::Day => 2,
            Self::Hour => 3,
            Self::Minute => 4,
            Self::Second => 5,
        }
    }

    const fn width(self) -> usize {
        if matches!(self, Self::Year) { 4 } else { 2 }
    }
}

impl<'t> Parts<'t> {
    fn put(&mut self, unit: Unit, digits: &'t str) {
        if let Some(slot) = self.0.get_mut(unit.place()) {
            *slot = digits;
        }
    }

    fn get(&self, unit: Unit) -> &'t str {
        self.0.get(unit.place()).copied().unwrap_or_default()
    }
}

impl Pattern {
    /// Reads a pattern. `None` when it has no year, or letters that are no unit.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((name, unit)) = UNITS.iter().find(|(name, _)| rest.starts_with(name)) {
                parts.push(Part::Number(*unit));
                rest = rest.get(name.len()..)?;
            } else if first.is_ascii_alphanumeric() && first != 'T' {
                return None;
            } else {
                parts.push(Part::Sign(first));
                rest = rest.get(first.len_utf8()..)?;
            }
        }
        parts.contains(&Part::Number(Unit::Year)).then_some(Self(parts))
    }

    /// Reads a date written so. It may stop early, as HL7 does: `202401` fits `YYYYMMDD`.
    #[must_use]
    pub fn read<'t>(&self, text: &'t str) -> Option<Parts<'t>> {
        let mut found = Parts::default();
        let mut rest = text.trim();
        for part in &self.0 {
            if rest.is_empty() {
                break;
            }
            match part {
                Part::Sign(sign) => rest = rest.strip_prefix(*sign)?,
                Part::Number(unit) => {
                    let (digits, after) = rest.split_at_checked(unit.width())?;
                    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                        return None;
                    }
                    found.put(*unit, digits);
                    rest = after;
                }
            }
        }
        (rest.is_empty() && !found.get(Unit::Year).is_empty()).then_some(found)
    }

    /// Writes a date so, as far as its precision goes when nothing but units follows; `None` when a part
    /// is missing that cannot be left out.
    #[must_use]
    pub fn write(&self, date: &Parts<'_>) -> Option<String> {
        let mut text = String::new();
        for (index, part) in self.0.iter().enumerate() {
            match part {
                Part::Sign(sign) => text.push(*sign),
                Part::Number(unit) => {
                    let digits = date.get(*unit);
                    if digits.is_empty() {
                        let only_units = self.0.iter().all(|part| matches!(part, Part::Number(_)));
                        return (only_units && index > 0).then_some(text);
                    }
                    text.push_str(digits);
                }
            }
        }
        Some(text)
    }
}

/// The forms that are read without being told: HL7 and ISO.
#[must_use]
pub fn usual(text: &str) -> Option<Parts<'_>> {
    let text = text.trim();
    let local = text.split(['+', 'Z', '.']).next().unwrap_or(text);
    ["YYYYMMDDHHmmss", "YYYY-MM-DDTHH:mm:ss", "YYYY-MM-DD HH:mm:ss", "YYYY/MM/DD"]
        .into_iter()
        .filter_map(Pattern::parse)
        .find_map(|pattern| pattern.read(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, text: &str, to: &str, expected: Option<&str>) {
        let from = Pattern::parse(from).unwrap();
        let to = Pattern::parse(to).unwrap();
        let written = from.read(text).and_then(|date| to.write(&date));
        assert_eq!(written.as_deref(), expected, "{text}");
    }

    #[test]
    fn rewrites_dates() {
        check("DD/MM/YYYY", "02/01/1980", "YYYYMMDD", Some("19800102"));
        check("YYYYMMDD", "198001", "YYYYMMDD", Some("198001"));
        check("YYYYMMDD", "1980", "DD.MM.YYYY", None);
        check("YYYYMMDDHHmm", "198001021030", "YYYY-MM-DDTHH:mm", Some("1980-01-02T10:30"));
        check("DD/MM/YYYY", "2/1/1980", "YYYYMMDD", None);
    }

    #[test]
    fn knows_the_usual_forms() {
        let hl7 = Pattern::parse("YYYYMMDD").unwrap();
        for text in
            ["19800102", "1980-01-02", "19800102103000+0800", "1980/01/02", "1980-01-02T10:30:00Z"]
        {
            assert_eq!(usual(text).and_then(|date| hl7.write(&date)).as_deref(), Some("19800102"));
        }
        assert_eq!(usual("2 Jan 1980"), None);
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        for wrong in ["", "DDMM", "yyyyMMdd", "YYYY-Mon"] {
            assert_eq!(Pattern::parse(wrong), None, "{wrong}");
        }
    }
}
