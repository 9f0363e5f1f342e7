//! Who is first in each lane. Pure order: knows places in the log, nothing of sending.

use std::collections::VecDeque;

use crate::delivery::numbers::NumberMap;
use crate::message::id::Seq;
use crate::message::plan::{Disposition, Joins, Lane};

/// The lanes a delivery stands in: none, one, or several (a merge).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its lane.
    pub lane: Lane,
    /// The other lanes it orders.
    pub joins: Joins,
}

impl Standing {
    /// Where a delivery of this disposition stands; `None` when nothing is delivered.
    #[must_use]
    pub fn of(disposition: &Disposition) -> Option<Self> {
        match disposition {
            Disposition::Deliver { lane, joins } | Disposition::Hold { lane, joins } => {
                Some(Self { lane: *lane, joins: joins.clone() })
            }
            Disposition::Filtered => None,
        }
    }

    /// The lanes that have an order, each once.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> + '_ {
        let own = self.lane;
        let others = self.joins.lanes();
        let first = Some(own).filter(|lane| *lane != Lane::NONE);
        let rest = others.iter().enumerate().filter(move |(place, lane)| {
            let before = others.get(..*place).unwrap_or_default();
            **lane != Lane::NONE && **lane != own && !before.contains(lane)
        });
        first.into_iter().chain(rest.map(|(_, lane)| *lane))
    }

    /// Whether it stands in the one lane of a strict destination.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.lanes().any(|lane| lane == Lane::STRICT)
    }
}

#[derive(Debug, Default)]
struct Line {
    /// Who stands first. Most lanes hold no second one, and then nothing is allocated.
    first: Option<Seq>,
    /// Those behind it, ascending.
    rest: VecDeque<Seq>,
    /// How many of them have an exception row.
    rows: u32,
    /// The one that is being sent.
    flying: Option<Seq>,
}

impl Line {
    fn insert(&mut self, seq: Seq) {
        match (self.first, self.rest.back()) {
            (None, _) => self.first = Some(seq),
            (Some(first), _) if seq < first => {
                self.rest.push_front(first);
                self.first = Some(seq);
            }
            (Some(_), Some(last)) if *last > seq => {
                let at = self.rest.partition_point(|other| *other < seq);
                self.rest.insert(at, seq);
            }
            (Some(_), _) => self.rest.push_back(seq),
        }
    }

    fn remove(&mut self, seq: Seq) {
        if self.first == Some(seq) {
            self.first = self.rest.pop_front();
        } else if let Ok(at) = self.rest.binary_search(&seq) {
            self.rest.remove(at);
        }
        if self.flying == Some(seq) {
            self.flying = None;
        }
    }

    fn len(&self) -> usize {
        self.rest.len() + usize::from(self.first.is_some())
    }
}

/// All lanes that have somebody in them.
#[derive(Debug, Default)]
pub struct Lanes {
    lines: NumberMap<Lane, Line>,
}

impl Lanes {
    /// Puts a delivery into its lanes, at its place by acceptance.
    pub fn insert(&mut self, seq: Seq, standing: &Standing) {
        for lane in standing.lanes() {
            self.lines.entry(lane).or_default().insert(seq);
        }
    }

    /// Takes a delivery out of its lanes.
    pub fn remove(&mut self, seq: Seq, standing: &Standing) {
        for lane in standing.lanes() {
            let Some(line) = self.lines.get_mut(&lane) else { continue };
            line.remove(seq);
            if line.first.is_none() {
                self.lines.remove(&lane);
            }
        }
    }

    /// Whether it may be sent: first in all its lanes, and nothing of them is being sent.
    #[must_use]
    pub fn may_go(&self, seq: Seq, standing: &Standing) -> bool {
        standing.lanes().all(|lane| {
            self.lines
                .get(&lane)
                .is_some_and(|line| line.first == Some(seq) && line.flying.is_none())
        })
    }

    /// It is being sent.
    pub fn fly(&mut self, seq: Seq, standing: &Standing) {
        for lane in standing.lanes() {
            if let Some(line) = self.lines.get_mut(&lane) {
                line.flying = Some(seq);
            }
        }
    }

    /// It is not being sent any more.
    pub fn land(&mut self, seq: Seq, standing: &Standing) {
        for lane in standing.lanes() {
            if let Some(line) = self.lines.get_mut(&lane)
                && line.flying == Some(seq)
            {
                line.flying = None;
            }
        }
    }

    /// The first of a lane.
    #[must_use]
    pub fn head(&self, lane: Lane) -> Option<Seq> {
        self.lines.get(&lane)?.first
    }

    /// A delivery of these lanes got an exception row.
    pub fn row_added(&mut self, standing: &Standing) {
        for lane in standing.lanes() {
            if let Some(line) = self.lines.get_mut(&lane) {
                line.rows += 1;
            }
        }
    }

    /// A delivery of these lanes lost its exception row; before it is removed.
    pub fn row_removed(&mut self, standing: &Standing) {
        for lane in standing.lanes() {
            if let Some(line) = self.lines.get_mut(&lane) {
                line.rows = line.rows.saturating_sub(1);
            }
        }
    }

    /// Whether one of the lanes has an exception row.
    #[must_use]
    pub fn has_rows(&self, standing: &Standing) -> bool {
        standing.lanes().any(|lane| self.lines.get(&lane).is_some_and(|line| line.rows > 0))
    }

    /// Those after `seq` in a lane, ascending.
    pub fn after(&self, lane: Lane, seq: Seq) -> impl Iterator<Item = Seq> {
        self.lines.get(&lane).into_iter().flat_map(move |line| {
            let from = line.rest.partition_point(|other| *other <= seq);
            let first = line.first.filter(|first| *first > seq);
            first.into_iter().chain(line.rest.iter().skip(from).copied())
        })
    }

    /// The lanes with exception rows: (lane, first delivery, deliveries in it).
    pub fn with_rows(&self) -> impl Iterator<Item = (Lane, Seq, usize)> {
        self.lines
            .iter()
            .filter(|(_, line)| line.rows > 0)
            .filter_map(|(lane, line)| line.first.map(|head| (*lane, head, line.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Standing = Standing { lane: Lane(10), joins: Joins::NONE };
    const B: Standing = Standing { lane: Lane(11), joins: Joins::NONE };
    const FREE: Standing = Standing { lane: Lane::NONE, joins: Joins::NONE };

    #[test]
    fn a_merge_waits_for_both_lanes_and_both_wait_for_it() {
        let merge = Standing { lane: A.lane, joins: Joins::one(B.lane) };
        let mut lanes = Lanes::default();
        lanes.insert(Seq(1), &A);
        lanes.insert(Seq(2), &B);
        lanes.insert(Seq(3), &merge);
        lanes.insert(Seq(4), &A);
        lanes.insert(Seq(5), &B);
        lanes.remove(Seq(1), &A);
        assert!(!lanes.may_go(Seq(3), &merge));
        lanes.remove(Seq(2), &B);
        assert!(lanes.may_go(Seq(3), &merge));
        assert!(!lanes.may_go(Seq(4), &A) && !lanes.may_go(Seq(5), &B));
        lanes.fly(Seq(3), &merge);
        assert!(!lanes.may_go(Seq(3), &merge));
        lanes.remove(Seq(3), &merge);
        assert!(lanes.may_go(Seq(4), &A) && lanes.may_go(Seq(5), &B));
    }

    #[test]
    fn a_merge_of_several_patients_waits_for_all_of_them() {
        let lane = |number| Standing { lane: Lane(number), joins: Joins::NONE };
        let joins = [12, 11, 12, 10, 13].map(Lane).into_iter().collect();
        let merge = Standing { lane: Lane(10), joins };
        assert_eq!(merge.lanes().collect::<Vec<_>>(), [10, 12, 11, 13].map(Lane));
        let mut lanes = Lanes::default();
        for number in 10..14 {
            lanes.insert(Seq(number), &lane(number.cast_unsigned()));
        }
        lanes.insert(Seq(20), &merge);
        for number in 10..14 {
            lanes.insert(Seq(20 + number), &lane(number.cast_unsigned()));
        }
        for number in 10..14 {
            assert!(!lanes.may_go(Seq(20), &merge));
            lanes.remove(Seq(number), &lane(number.cast_unsigned()));
        }
        assert!(lanes.may_go(Seq(20), &merge));
        assert!((10..14).all(|n| !lanes.may_go(Seq(20 + n), &lane(n.cast_unsigned()))));
        lanes.remove(Seq(20), &merge);
        assert!((10..14).all(|n| lanes.may_go(Seq(20 + n), &lane(n.cast_unsigned()))));
    }

    #[test]
    fn without_order_nobody_waits() {
        let mut lanes = Lanes::default();
        lanes.insert(Seq(1), &FREE);
        lanes.insert(Seq(2), &FREE);
        lanes.fly(Seq(1), &FREE);
        assert!(lanes.may_go(Seq(2), &FREE));
        assert!(lanes.lines.is_empty());
    }

    #[test]
    fn one_that_comes_back_takes_its_old_place_after_what_is_being_sent() {
        let mut lanes = Lanes::default();
        lanes.insert(Seq(5), &A);
        lanes.insert(Seq(6), &A);
        lanes.fly(Seq(5), &A);
        lanes.insert(Seq(2), &A);
        assert_eq!(lanes.head(A.lane), Some(Seq(2)));
        assert!(!lanes.may_go(Seq(2), &A));
        lanes.remove(Seq(5), &A);
        assert!(lanes.may_go(Seq(2), &A));
        assert_eq!(lanes.after(A.lane, Seq(2)).collect::<Vec<_>>(), [Seq(6)]);
    }
}
