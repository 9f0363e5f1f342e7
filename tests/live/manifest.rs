//! What the manifests of malformed messages expect of a listener, and where the project's decision differs.
//!
//! A manifest is written for people. Its columns for strict and lenient listeners say whether a message is
//! taken; its note says with what a refusal is told. A row in words that are not known here fails the test:
//! nothing is expected of it silently.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How a listener treats what the standard forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Strict,
    Lenient,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
        }
    }
}

/// One row of a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) file: String,
    pub(crate) bytes: Vec<u8>,
    /// Whether the bytes are a stream, framing included.
    pub(crate) stream: bool,
    strict: String,
    lenient: String,
    pub(crate) note: String,
}

/// What a listener did with one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Each answer, in order: MSA-1, MSA-2, codes and places of its ERR segments.
    pub(crate) answers: Vec<Told>,
}

/// One acknowledgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) code: String,
    pub(crate) control_id: Vec<u8>,
    pub(crate) errors: Vec<String>,
    pub(crate) places: Vec<String>,
}

impl Seen {
    /// In few words: `AA`, `AR 100`, `AA AA`, `silence`.
    pub(crate) fn short(&self) -> String {
        let told = |told: &Told| match told.errors.first() {
            Some(error) => format!("{} {error}", told.code),
            None => told.code.clone(),
        };
        match self.answers.as_slice() {
            [] => "silence".to_owned(),
            all => all.iter().map(told).collect::<Vec<_>>().join(" "),
        }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.answers.iter().filter(|told| told.code == "AA").count()
    }
}

/// The rows of a folder's manifest, each file with its bytes; none when there is no manifest.
pub(crate) fn rows(folder: &Path) -> Vec<Row> {
    let Ok(text) = std::fs::read_to_string(folder.join("manifest.tsv")) else { return Vec::new() };
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [file, size, level, _, strict, lenient, note] = cells.as_slice() else {
            panic!("a row has seven cells: {line}");
        };
        let bytes = std::fs::read(folder.join(file)).unwrap();
        assert_eq!(bytes.len().to_string(), *size, "{file} has the size that its row says");
        let lenient = if *lenient == "same" { strict } else { lenient };
        // `as 030` repeats the note of that row.
        let repeated = note.strip_prefix("as ").map(|number| {
            let same = rows.iter().find(|row| row.file.starts_with(number));
            same.unwrap_or_else(|| panic!("{file}: no row {number}")).note.clone()
        });
        rows.push(Row {
            file: (*file).to_owned(),
            bytes,
            stream: *level == "mllp",
            strict: (*strict).to_owned(),
            lenient: (*lenient).to_owned(),
            note: repeated.unwrap_or_else(|| (*note).to_owned()),
        });
    }
    let listed: BTreeSet<PathBuf> = rows.iter().map(|row| folder.join(&row.file)).collect();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let malformed = path.extension().is_some_and(|end| end == "hl7" || end == "mllp");
        assert!(!malformed || listed.contains(&path), "{} has no row", path.display());
    }
    rows
}

impl Row {
    /// What is wrong with what was seen, measured by the row; `None` when nothing is.
    pub(crate) fn fault(&self, mode: Mode, seen: &Seen) -> Option<String> {
        if self.stream { self.stream_fault(mode, seen) } else { self.message_fault(mode, seen) }
    }

    fn column(&self, mode: Mode) -> &str {
        match mode {
            Mode::Strict => &self.strict,
            Mode::Lenient => &self.lenient,
        }
    }

    /// Whether the row is about answers that come to a sender, not about messages that come to a listener.
    pub(crate) fn is_for_senders(&self) -> bool {
        self.strict.starts_with("sender side")
    }

    fn message_fault(&self, mode: Mode, seen: &Seen) -> Option<String> {
        let column = self.column(mode);
        // No acknowledgement is acknowledged by an application acknowledgement.
        if self.is_for_senders() || self.note.starts_with("at most a commit ack") {
            let commit = seen.answers.iter().all(|told| told.code.starts_with('C'));
            return (!commit).then(|| "an acknowledgement is acknowledged".to_owned());
        }
        let may_accept = ["accept", "split"].iter().any(|word| column.contains(word));
        let may_refuse = ["reject", "AE", "AR"].iter().any(|word| column.contains(word));
        assert!(may_accept || may_refuse, "{}: `{column}` says nothing that is known", self.file);
        let accepted = !seen.answers.is_empty() && seen.accepted() == seen.answers.len();
        if accepted {
            return (!may_accept).then(|| format!("is accepted, not `{column}`"));
        }
        if !may_refuse {
            return Some(format!("is refused, not `{column}`"));
        }
        if seen.answers.is_empty() {
            return (!self.note.starts_with("no reply")).then(|| "is not answered".to_owned());
        }
        self.refusal_fault(mode, seen)
    }

    /// A refusal is told with a code, an error and a place that the note or the column names, where they
    /// name any.
    fn refusal_fault(&self, mode: Mode, seen: &Seen) -> Option<String> {
        let other = match mode {
            Mode::Strict => "lenient",
            Mode::Lenient => "strict",
        };
        let clauses = self.note.split(';').chain([self.column(mode)]);
        let said: Vec<&str> = clauses.filter(|clause| !clause.contains(other)).collect();
        let (mut codes, mut errors, mut places) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for clause in said {
            let words =
                clause.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty());
            for word in words {
                if matches!(word, "AE" | "AR") {
                    codes.insert(word);
                } else if word.len() == 3 && matches!(word.get(..2), Some("10" | "20")) {
                    errors.insert(word);
                }
            }
            places
                .extend(clause.split_once(" at ").and_then(|(_, at)| at.split_whitespace().next()));
        }
        let told = seen.answers.iter().find(|told| told.code != "AA")?;
        if !codes.is_empty() && !codes.contains(told.code.as_str()) {
            return Some(format!("is told {}, not {codes:?}", told.code));
        }
        if !errors.is_empty() && !told.errors.iter().any(|error| errors.contains(error.as_str())) {
            return Some(format!("is told error {:?}, not {errors:?}", told.errors));
        }
        let placed = |place: &str| told.places.iter().any(|told| told.starts_with(place));
        let missing = places.iter().find(|place| !placed(place));
        missing.map(|place| format!("names the place {:?}, not {place}", told.places))
    }

    fn stream_fault(&self, mode: Mode, seen: &Seen) -> Option<String> {
        let said = self.note.split(';').next().unwrap_or_default().trim();
        let ids: Vec<&[u8]> = seen
            .answers
            .iter()
            .filter(|told| told.code == "AA")
            .map(|told| told.control_id.as_slice())
            .collect();
        let names = |text: &str| -> Vec<Vec<u8>> {
            text.split(", ").map(|name| name.as_bytes().to_vec()).collect()
        };
        let right = match said {
            "AA" => ids.len() == 1,
            "AA or connection closed" | "at most one AA" => ids.len() <= 1,
            "AA only when lenient" => ids.len() == usize::from(mode == Mode::Lenient),
            "two AAs" => ids.len() == 2,
            "no ACK" => seen.answers.is_empty(),
            "no ACK or AR" => ids.is_empty(),
            "one ACK/NAK for the first part" => seen.answers.len() == 1,
            _ => match (said.strip_prefix("two AAs in order "), said.strip_prefix("AA for ")) {
                (Some(wanted), _) | (None, Some(wanted)) => ids == names(wanted),
                (None, None) => panic!("{}: `{said}` says nothing that is known", self.file),
            },
        };
        (!right).then(|| format!("gives `{}`, not `{said}`", seen.short()))
    }
}

/// What was decided against a manifest: the table in the record of decisions is the one list of these.
#[derive(Debug)]
pub(crate) struct Decided {
    /// How the file's name begins.
    pub(crate) file: String,
    pub(crate) mode: String,
    /// As [`Seen::short`] says it.
    pub(crate) answer: String,
}

/// The rows of the table `| file | mode | answer | why |`.
pub(crate) fn decided() -> Vec<Decided> {
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decisions/hl7-malformed.md");
    let text = std::fs::read_to_string(record).unwrap();
    let mut lines = text.lines().skip_while(|line| !line.starts_with("| file | mode | answer |"));
    lines.next().expect("the record of decisions has the table");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let decided = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [file, mode, answer, why] = cells.as_slice() else { panic!("four cells: {line}") };
        assert!(!why.is_empty(), "a decision has its reason: {line}");
        let [file, mode, answer] = [file, mode, answer].map(|cell| (*cell).to_owned());
        Decided { file, mode, answer }
    };
    rows.map(decided).collect()
}
