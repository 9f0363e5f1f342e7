//! The hand on one subscription's runner: who starts or stops it takes turns, each in a task of its own, so
//! that a receiver that hangs holds up nobody else's.
//!
//! What is to be done is noted and looked up when its turn comes, from how the subscription stands then: two
//! changes in a row may be done in one.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::MutexGuard;
use tracing::error;

use crate::engine::subscriptions::{Live, Subscriptions, locked};
use crate::fhir::subscription::Status;
use crate::message::id::{DestinationId, Seq};
use crate::store::StoreError;

/// What is to be done besides bringing the runner to where the status wants it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wants {
    /// Nothing up to here is sent any more.
    cancel_to: Option<Seq>,
    /// What waits or was given up is tried now.
    hurry: bool,
    /// What was given up is tried now.
    unhold: bool,
}

impl Wants {
    fn join(self, other: Self) -> Self {
        Self {
            cancel_to: self.cancel_to.max(other.cancel_to),
            hurry: self.hurry || other.hurry,
            unhold: self.unhold || other.unhold,
        }
    }
}

/// One subscription's runner; the same for each version of the Subscription.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) destination: DestinationId,
    id: Box<str>,
    turn: tokio::sync::Mutex<()>,
    pub(super) running: AtomicBool,
    /// Dead letters when the runner was started: more mean that one was given up since.
    pub(super) dead: AtomicU64,
    /// When it was last called outside the runner.
    pub(super) last_sign: AtomicI64,
    wants: Mutex<Wants>,
    /// The store failed under it: tried again with the next tick.
    again: AtomicBool,
}

impl Hand {
    pub(super) fn new(destination: DestinationId, id: &str) -> Self {
        Self {
            destination,
            id: id.into(),
            turn: tokio::sync::Mutex::default(),
            running: AtomicBool::new(false),
            dead: AtomicU64::new(0),
            last_sign: AtomicI64::new(0),
            wants: Mutex::default(),
            again: AtomicBool::new(false),
        }
    }

    pub(super) fn runs(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// The turn, once everybody before has ended.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn want(&self, more: Wants) {
        let mut wants = locked(&self.wants);
        *wants = wants.join(more);
    }
}

impl Subscriptions {
    /// The hand on a subscription's runner.
    pub(super) fn hand(&self, destination: DestinationId, id: &str) -> Arc<Hand> {
        let mut hands = locked(&self.hands);
        let hand = hands.entry(destination);
        Arc::clone(hand.or_insert_with(|| Arc::new(Hand::new(destination, id))))
    }

    /// Brings a runner to where the status of its subscription wants it.
    pub(super) fn settle(self: &Arc<Self>, hand: &Arc<Hand>) {
        let (all, hand) = (Arc::clone(self), Arc::clone(hand));
        self.ground.tracker.spawn(async move {
            let _turn = hand.turn().await;
            let wants = std::mem::take(&mut *locked(&hand.wants));
            match all.settled(&hand, wants).await {
                Ok(()) | Err(StoreError::Closed) => {}
                Err(error) => {
                    error!(subscription = %hand.id, %error, "its deliveries are not as they should be; tried again");
                    hand.want(wants);
                    hand.again.store(true, Ordering::Release);
                }
            }
        });
    }

    /// The same, and what waits or was given up is tried now.
    pub(super) fn settle_in_a_hurry(self: &Arc<Self>, hand: &Arc<Hand>) {
        hand.want(Wants { hurry: true, ..Wants::default() });
        self.settle(hand);
    }

    /// The same, of one that is active when the process begins.
    pub(super) fn settle_after_a_start(self: &Arc<Self>, hand: &Arc<Hand>) {
        hand.want(Wants { unhold: true, ..Wants::default() });
        self.settle(hand);
    }

    /// The same, and nothing that was accepted until now is sent.
    pub(super) fn settle_for_good(self: &Arc<Self>, hand: &Arc<Hand>) {
        let head = self.ground.store.status().head;
        hand.want(Wants { cancel_to: Some(head), ..Wants::default() });
        self.settle(hand);
    }

    /// Tries again where the store failed.
    pub(super) fn settle_again(self: &Arc<Self>) {
        let hands = locked(&self.hands);
        let failed = hands.values().filter(|hand| hand.again.swap(false, Ordering::AcqRel));
        failed.for_each(|hand| self.settle(hand));
    }

    async fn settled(self: &Arc<Self>, hand: &Arc<Hand>, wants: Wants) -> Result<(), StoreError> {
        if let Some(to) = wants.cancel_to {
            self.stop(hand).await;
            self.cancel_all(hand.destination, "off", to).await?;
        }
        match self.live(&hand.id).filter(|live| live.destination == hand.destination) {
            Some(live) if live.status() == Status::Active => match wants.hurry {
                true => self.hurry(&live).await,
                false => {
                    if wants.unhold && !hand.runs() {
                        self.unhold(hand.destination).await?;
                    }
                    self.start_if_waiting(&live).await
                }
            },
            _ => {
                self.stop(hand).await;
                Ok(())
            }
        }
    }

    /// Starts the runner of a subscription that an event came for.
    pub(super) async fn start_for_event(
        self: &Arc<Self>,
        live: &Arc<Live>,
    ) -> Result<(), StoreError> {
        match live.hand.turn.try_lock() {
            Ok(_turn) => self.start(live).await,
            Err(_) => {
                self.settle(&live.hand);
                Ok(())
            }
        }
    }
}
