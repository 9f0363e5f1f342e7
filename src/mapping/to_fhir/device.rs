//! Where an OBX of a device message belongs: OBX-4 is `MDS.VMD.CHAN.METRIC[.FACET]` (IHE DEV PCD-01), zeros
//! mark containers.

use crate::mapping::to_fhir::fill::{Filler, Frame, Thing};

/// The numbers of OBX-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place([u32; 5]);

impl Place {
    /// Four or five numbers with dots; nothing for the sub-ids of other messages.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut numbers = [0; 5];
        let mut count = 0;
        for part in text.split('.') {
            *numbers.get_mut(count)? = part.parse().ok()?;
            count += 1;
        }
        (count >= 4).then_some(Self(numbers))
    }

    /// What it is: `system`, `virtual`, `channel`, `metric` or `facet`.
    pub(super) const fn name(self) -> &'static str {
        match self.0 {
            [_, _, _, metric, facet] if metric > 0 && facet > 0 => "facet",
            [_, _, _, metric, _] if metric > 0 => "metric",
            [_, _, channel, _, _] if channel > 0 => "channel",
            [_, virtually, ..] if virtually > 0 => "virtual",
            _ => "system",
        }
    }

    /// The containers around it, the innermost first.
    fn around(self) -> Vec<Self> {
        let [system, part, channel, metric, _] = self.0;
        let mut around = Vec::new();
        if metric > 0 {
            around.push(Self([system, part, channel, 0, 0]));
        }
        if channel > 0 {
            around.push(Self([system, part, 0, 0, 0]));
        }
        if part > 0 {
            around.push(Self([system, 0, 0, 0, 0]));
        }
        around.retain(|place| *place != self);
        around.dedup();
        around
    }

    fn is_facet_of(self, metric: Self) -> bool {
        let ([a, b, c, d, facet], [e, f, g, h, own]) = (self.0, metric.0);
        (a, b, c, d) == (e, f, g, h) && facet > 0 && own == 0 && d > 0
    }
}

impl<'m> Filler<'m> {
    /// Where the OBX of the frame belongs.
    pub(super) fn device_place(&self, frame: &Frame<'m>) -> Option<Place> {
        self.field_text(*b"OBX", 4, frame).as_deref().and_then(Place::read)
    }

    fn places(&self) -> impl Iterator<Item = (usize, Place)> {
        let all = self.message.segments().filter(|segment| segment.id == b"OBX");
        all.filter_map(|segment| {
            let text = segment.field(4).text(self.message.charset());
            Place::read(text.trim()).map(|place| (segment.index, place))
        })
    }

    /// Whether OBX segments number containers and metrics of the MDC nomenclature.
    pub(super) fn is_of_devices(&self) -> bool {
        let is_mdc = |index: usize| {
            let segment = self.message.segment(index);
            segment.is_some_and(|segment| {
                let systems = [3, 6].into_iter().flat_map(|part| segment.part_of_each(3, part));
                systems.into_iter().any(|part| part.leaf() == b"MDC")
            })
        };
        self.places().any(|(index, _)| is_mdc(index))
    }

    /// The OBX of the nearest container that was sent.
    pub(super) fn container(&self, frame: &Frame<'m>) -> Option<usize> {
        let around = self.device_place(frame)?.around();
        around.into_iter().find_map(|wanted| {
            let mut all = self.places();
            all.find(|(_, place)| *place == wanted).map(|(index, _)| index)
        })
    }

    /// The OBX segments that say more of the metric.
    pub(super) fn facets(&self, frame: &Frame<'m>) -> Vec<Thing<'m>> {
        let Some(metric) = self.device_place(frame) else { return Vec::new() };
        let facets = self.places().filter(|(_, place)| place.is_facet_of(metric));
        facets.map(|(index, _)| Thing::Segment(index)).collect()
    }

    /// The text of a facet by its name in the nomenclature.
    pub(super) fn facet(&self, frame: &Frame<'m>, name: &str) -> Option<String> {
        self.facets(frame).into_iter().find_map(|facet| {
            let Thing::Segment(index) = facet else { return None };
            let inner = Frame { segment: Some(index), ..frame.clone() };
            let segment = self.message.segment(index)?;
            let is_it =
                segment.part_of_each(3, 2).iter().any(|part| part.leaf() == name.as_bytes());
            if is_it { self.field_text(*b"OBX", 5, &inner) } else { None }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_containers_by_their_zeros() {
        let place = |text| Place::read(text).unwrap();
        for (text, name) in [
            ("1.0.0.0", "system"),
            ("1.2.0.0", "virtual"),
            ("1.2.3.0", "channel"),
            ("1.2.3.4", "metric"),
            ("1.2.0.4", "metric"),
            ("1.2.3.4.1", "facet"),
        ] {
            assert_eq!(place(text).name(), name);
        }
        assert_eq!(
            place("1.2.3.4").around(),
            [place("1.2.3.0"), place("1.2.0.0"), place("1.0.0.0")]
        );
        assert_eq!(place("1.2.0.0").around(), [place("1.0.0.0")]);
        assert!(place("1.0.0.0").around().is_empty());
        assert!(place("1.2.3.4.1").is_facet_of(place("1.2.3.4")));
        assert_eq!(Place::read("1"), None);
        assert_eq!(Place::read("1.2.3.4.5.6"), None);
        assert_eq!(Place::read("a.b.c.d"), None);
    }
}
