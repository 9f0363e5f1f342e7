//! The engine's settings for subscriptions (`subscriptions:` of `engine.yaml`).

use std::time::Duration;

use crate::config::subscriptions::SubscriptionsConfig;
use crate::delivery::breaker::BreakerOptions;
use crate::delivery::options::{DeliveryOptions, UNRECORDED_MAX};
use crate::delivery::policy::{AckPolicy, Reaction};
use crate::delivery::retry::{Exhausted, RetryPolicy};
use crate::destination::subscriber::{Manners, PASSING, Refusals};
use crate::fhir::subscription::Ordering;

/// The longest time a host is not tried for one subscriber because another did not reach it.
const MOMENT_MAX: Duration = Duration::from_secs(10);

/// What holds for calls to all subscribers. A host is given up for a moment that is short beside the waits of
/// the schedule.
pub(super) fn manners(config: &SubscriptionsConfig) -> Manners {
    let shortest = config.schedule.iter().min().copied().unwrap_or_default();
    Manners {
        moment: (shortest / 2).min(MOMENT_MAX),
        refusals: match config.fail_fast_4xx {
            true => Refusals::Final,
            false => Refusals::Passing,
        },
    }
}

/// How one subscriber's deliveries are made: a window that costs nothing while idle, the schedule of
/// Standard Webhooks, and a breaker that opens at the first call nobody takes, so that the schedule is the
/// endpoint's.
pub(super) fn delivery(
    config: &SubscriptionsConfig,
    ordering: Ordering,
    together: usize,
) -> DeliveryOptions {
    let mut policy = AckPolicy::standard();
    // After 410 the subscription is turned off: nothing more of the lane is tried before that is done.
    for (code, reaction) in
        [("410", Reaction::HoldLane), ("rejected", Reaction::Retry), ("other", Reaction::Retry)]
    {
        // Both are codes the policy knows.
        let _known = policy.set(code, reaction);
    }
    if config.fail_fast_4xx {
        let passing = PASSING.iter().map(|code| (*code, Reaction::Retry));
        for (code, reaction) in passing.chain([("4xx", Reaction::HoldLane)]) {
            let _known = policy.set(code, reaction);
        }
    }
    let attempts = u32::try_from(config.schedule.len()).unwrap_or(u32::MAX).saturating_add(1);
    DeliveryOptions {
        parallel: if ordering == Ordering::Strict { 1 } else { 4 },
        together,
        window: 128,
        window_bytes: 4 << 20,
        unrecorded_max: UNRECORDED_MAX,
        exceptions_max: 2_000,
        behind_max: 50_000,
        policy,
        retry: RetryPolicy {
            steps: config.schedule.clone(),
            jitter: 0.1,
            age_max: None,
            attempts_max: Some(attempts),
            // What is given up keeps its lane: the next event of a patient does not overtake it.
            then: Exhausted::Hold,
            retry_after_max: Duration::from_hours(24),
            ..RetryPolicy::default()
        },
        breaker: BreakerOptions { failures: 1 },
        per_second: config.per_second,
        drain: Duration::from_secs(10),
    }
}
