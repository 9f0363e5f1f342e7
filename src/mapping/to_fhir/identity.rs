//! Ids that stay the same: a UUIDv5 over what identifies a resource, so that the same patient, order or
//! result has the same id whichever message speaks of it.

use uuid::Uuid;

use crate::mapping::to_fhir::fill::{Filler, Frame, Thing};
use crate::mapping::to_fhir::maps::{Identified, IdentityPart};
use crate::mapping::to_fhir::piece::Piece;

/// Our own name space of UUIDs (RFC 9562 §5.5); never to be changed, or every id changes.
const SPACE: Uuid = Uuid::from_u128(0x5d2c_8f4e_07b1_4f1a_9c36_4e1f_6a2b_d803);

/// Parts are told apart by what no part holds.
const BETWEEN: &str = "\u{1f}";

/// The id of a resource of a type that is identified by this.
pub(super) fn id(resource: &str, identity: &str) -> Uuid {
    Uuid::new_v5(&SPACE, format!("{resource}{BETWEEN}{identity}").as_bytes())
}

impl<'m> Filler<'m> {
    /// What identifies a resource; nothing when what would is missing.
    pub(super) fn identity(
        &self,
        alternatives: &[Vec<IdentityPart>],
        frame: &Frame<'m>,
    ) -> Option<String> {
        alternatives.iter().find_map(|parts| self.parts_of_identity(parts, frame))
    }

    fn parts_of_identity(&self, parts: &[IdentityPart], frame: &Frame<'m>) -> Option<String> {
        let mut texts = Vec::with_capacity(parts.len());
        for part in parts {
            let things = self.find(&part.sources, frame);
            let text = match part.how {
                Identified::Text => things.first().and_then(|thing| self.text_of_identity(thing)),
                Identified::Cx => cx(&things).and_then(|piece| {
                    let kind = piece.part(5).text().unwrap_or_default();
                    Some(format!("{}{BETWEEN}{kind}", self.identified_by(part.how, piece)?))
                }),
                how => things.iter().find_map(|thing| match thing {
                    Thing::Piece(piece) => self.identified_by(how, *piece),
                    _ => None,
                }),
            };
            match text {
                Some(text) => texts.push(text),
                None if part.is_optional => texts.push(String::new()),
                None => return None,
            }
        }
        Some(texts.join(BETWEEN))
    }

    fn text_of_identity(&self, thing: &Thing<'m>) -> Option<String> {
        match thing {
            Thing::Piece(piece) => piece.text(),
            Thing::Text(text) => Some(text.clone()),
            Thing::Resource(made) => self.made.get(*made).map(|made| made.id.to_string()),
            Thing::Segment(_) => None,
        }
    }

    /// Value and authority. What has no authority is told apart by the facility that sent it.
    fn identified_by(&self, how: Identified, piece: Piece<'m>) -> Option<String> {
        let value = match how {
            Identified::Organization => piece.part(10).text().or_else(|| piece.part(3).text())?,
            _ => piece.part(1).text()?,
        };
        let parts = |number| {
            let authority = piece.part(number);
            self.authority(authority.part(1), authority.part(2), authority.part(3))
        };
        let named = match how {
            Identified::Cx => parts(4),
            Identified::Person => parts(9),
            Identified::Organization => parts(6),
            Identified::Cnn => self.authority(piece.part(9), piece.part(10), piece.part(11)),
            Identified::Ei | Identified::Text => {
                self.authority(piece.part(2), piece.part(3), piece.part(4))
            }
        };
        let named = named.system.or(named.name).unwrap_or_else(|| self.sender());
        Some(format!("{named}{BETWEEN}{value}"))
    }
}

/// Of several identifiers of a person the medical record number, else the internal one, else the first.
fn cx<'m>(things: &[Thing<'m>]) -> Option<Piece<'m>> {
    let pieces = || {
        things.iter().filter_map(|thing| match thing {
            Thing::Piece(piece) => Some(*piece),
            _ => None,
        })
    };
    let of_kind = |kind: &str| pieces().find(|piece| piece.part(5).text().as_deref() == Some(kind));
    of_kind("MR")
        .or_else(|| of_kind("PI"))
        .or_else(|| pieces().find(|p| p.part(1).text().is_some()))
}
