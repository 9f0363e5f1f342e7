//! Documents that are sent as values: ED, RP, and reports that are nothing but text.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Map, Value as Json, json};

use crate::mapping::to_fhir::NoticeKind;
use crate::mapping::to_fhir::fill::{Filler, Frame, Thing};
use crate::mapping::to_fhir::language::{Convert, Source};
use crate::mapping::to_fhir::piece::Piece;

impl<'m> Filler<'m> {
    /// The content of a document: lines of text make one attachment, each ED or RP one of its own. A
    /// document has content (DocumentReference.content is 1..*); where none can be read, that is said.
    pub(super) fn put_documents(
        &mut self,
        segments: &[Thing<'m>],
        frame: &Frame<'m>,
        base: &mut Map<String, Json>,
    ) {
        let whole = Convert { name: "OBX[presentedForm]".into(), arguments: Vec::new() };
        let mut lines = Vec::new();
        let mut attachments = Vec::new();
        for thing in segments {
            let Thing::Segment(index) = thing else { continue };
            let own = Frame { segment: Some(*index), ..frame.clone() };
            if matches!(self.field_text(*b"OBX", 2, &own).as_deref(), Some("ED" | "RP")) {
                attachments.extend(self.convert(&whole, thing, frame));
                continue;
            }
            let value = Source::Field { segment: *b"OBX", field: 5, parts: Vec::new() };
            let pieces = self.find_one(&value, &own).into_iter();
            lines.extend(pieces.filter_map(|thing| match thing {
                Thing::Piece(piece) => piece.whole_text(),
                _ => None,
            }));
        }
        if !lines.is_empty() {
            let data = base64(lines.join("\n").as_bytes());
            attachments.insert(0, json!({ "contentType": "text/plain", "data": data }));
        }
        if attachments.is_empty() {
            attachments.push(json!({ "extension": [{
                "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
                "valueCode": "unknown",
            }]}));
        }
        let content = attachments.into_iter().map(|attachment| json!({ "attachment": attachment }));
        base.insert("content".to_owned(), content.collect());
    }

    /// A document that was sent as a value (ED: HL7 v2.5.1 §2.A.24), or where it can be fetched (RP).
    pub(super) fn attachment(&mut self, piece: Piece<'m>, kind: &str) -> Option<Json> {
        let text = |number| piece.part(number).text();
        let mut made = Map::new();
        if kind == "RP" {
            let url = text(1).filter(|url| !url.contains(char::is_whitespace))?;
            if let Some(media) = media_type(text(3), text(4)) {
                made.insert("contentType".to_owned(), media.into());
            }
            made.insert("url".to_owned(), url.into());
            return Some(Json::Object(made));
        }
        if let Some(media) = media_type(text(2), text(3)) {
            made.insert("contentType".to_owned(), media.into());
        }
        let sent = piece.part(5);
        let data = sent.whole_text()?;
        let encoding = text(4).unwrap_or_default().to_uppercase();
        let data = match encoding.as_str() {
            "A" | "" if !looks_like_base64(&data) => Some(base64(data.as_bytes())),
            "HEX" => hex(&data).map(|bytes| base64(&bytes)),
            _ => {
                let dense: String = data.chars().filter(|c| !c.is_whitespace()).collect();
                let decoded = STANDARD
                    .decode(&dense)
                    .or_else(|_| STANDARD_NO_PAD.decode(dense.trim_end_matches('=')));
                decoded.ok().map(|bytes| base64(&bytes))
            }
        };
        let Some(data) = data else {
            let what = "is not encoded as its type says";
            return self.cannot(NoticeKind::Unreadable, &Thing::Piece(sent), what, "");
        };
        made.insert("data".to_owned(), data.into());
        Some(Json::Object(made))
    }
}

/// MIME type out of HL7's type and subtype (tables 0191 and 0291).
fn media_type(kind: Option<String>, subtype: Option<String>) -> Option<String> {
    let is_token = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-+._".contains(c))
    };
    let kind = kind.unwrap_or_default().to_lowercase();
    let subtype = subtype.unwrap_or_default().to_lowercase();
    for whole in [&subtype, &kind] {
        if let Some((kind, subtype)) = whole.split_once('/')
            && is_token(kind)
            && is_token(subtype)
        {
            return Some(whole.clone());
        }
    }
    let known = match subtype.as_str() {
        "pdf" => "application/pdf",
        "rtf" => "text/rtf",
        "html" | "htm" => "text/html",
        "xml" | "x-hl7-cda-level-one" => "text/xml",
        "txt" | "text" | "plain" => "text/plain",
        "jpeg" | "jpg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "tiff" | "tif" => "image/tiff",
        "dicom" => "application/dicom",
        _ => "",
    };
    if !known.is_empty() {
        return Some(known.to_owned());
    }
    let kind = match kind.as_str() {
        "ap" => "application",
        "im" => "image",
        "tx" | "ft" => "text",
        "au" => "audio",
        other => other,
    };
    if is_token(kind) && is_token(&subtype) && subtype != "octet-stream" {
        return Some(format!("{kind}/{subtype}"));
    }
    match (kind, subtype.as_str()) {
        ("text", _) => Some("text/plain".to_owned()),
        (_, "") => None,
        _ => Some("application/octet-stream".to_owned()),
    }
}

/// Text of some length in base64's letters alone, which some senders call `A`.
fn looks_like_base64(data: &str) -> bool {
    let dense: String = data.chars().filter(|c| !c.is_whitespace()).collect();
    dense.len() >= 64 && dense.len().is_multiple_of(4) && STANDARD.decode(&dense).is_ok()
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| {
        pairs
            .map(|pair| pair.iter().fold(0, |byte: u8, digit| byte.wrapping_mul(16) | digit))
            .collect()
    })
}
