//! Does for one destination what its queue says: reads, renders, sends, records. One task; its sends
//! and its store calls are futures of that task.
//!
//! Outcomes are recorded one batch at a time: what ended while a batch was being written goes into the
//! next. Sending does not wait for that, up to `unrecorded_max`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::delivery::marker::{Mark, Marker};
use crate::delivery::queue::{Claim, Conclusion, Suspicion};
use crate::delivery::render::Render;
use crate::delivery::shared::{Feed, Shared};
use crate::destination::Destination;
use crate::message::StoredMessage;
use crate::message::id::Seq;
use crate::message::outcome::{Outbound, Outcome, Scope};
use crate::message::time::Timestamp;
use crate::message::verdict::Rendered;
use crate::store::{Change, LogPage, Pause, Store, StoreError};
use crate::telemetry::crash;

/// How long the runner waits after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long a stop waits for the last outcomes to be recorded.
const RECORD_DEADLINE: Duration = Duration::from_secs(5);
/// The code of a send that found no free connection.
const BUSY: &str = "busy";
/// Ended sends taken in one go.
const ENDED_MAX: usize = 256;

/// Something the store was asked, answered.
enum Chore {
    Recorded(Result<(), StoreError>, Vec<Change>),
    Page(Result<LogPage, StoreError>),
    Bodies(Vec<Seq>, Result<Vec<Arc<StoredMessage>>, StoreError>),
    Suspect(Claim, Result<Vec<crate::store::DeliveryView>, StoreError>),
    Counted(Result<u64, StoreError>),
    Paused(Pause, Result<(), StoreError>),
}

struct Ended {
    seq: Seq,
    conclusion: Conclusion,
}

/// How a runner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunEnd {
    /// It was told to.
    Stopped,
    /// By a fault of its own.
    Crashed,
}

/// One life of a destination's delivery; `supervise` begins the next.
pub(super) struct Runner {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    render: Arc<dyn Render>,
    marker: Arc<Marker>,
    feed: mpsc::Receiver<Feed>,
    /// A feed that does not fit yet.
    stash: Option<Feed>,
    sends: FuturesUnordered<BoxFuture<'static, Ended>>,
    chores: FuturesUnordered<BoxFuture<'static, Chore>>,
    /// Claims that wait for something of theirs to be durable: suspects for their `started` rows, bundles for
    /// what they hold.
    deferred: Vec<(u64, Claim)>,
    claims: Vec<Claim>,
    reading: bool,
    recording: bool,
    /// When a stop gives up on what is being sent.
    deadline: Option<tokio::time::Instant>,
    /// Tells the destination to begin nothing any more.
    cut: Arc<CancellationToken>,
}

impl Runner {
    pub(super) fn new(
        shared: Arc<Shared>,
        store: Arc<dyn Store>,
        render: Arc<dyn Render>,
        marker: Arc<Marker>,
        feed: mpsc::Receiver<Feed>,
    ) -> Self {
        Self {
            shared,
            store,
            render,
            marker,
            feed,
            stash: None,
            sends: FuturesUnordered::new(),
            chores: FuturesUnordered::new(),
            deferred: Vec::new(),
            claims: Vec::new(),
            reading: false,
            recording: false,
            deadline: None,
            cut: Arc::new(CancellationToken::new()),
        }
    }

    /// Runs until it is stopped, or crashes.
    pub(super) async fn run(mut self) -> RunEnd {
        self.count_backlog();
        match AssertUnwindSafe(self.work()).catch_unwind().await {
            Ok(()) => RunEnd::Stopped,
            Err(_) => RunEnd::Crashed,
        }
    }

    async fn work(&mut self) {
        loop {
            self.shared.queue().tick(self.shared.pace.now());
            self.take_feeds();
            self.launch();
            self.ask_store();
            if self.is_through() {
                return;
            }
            if !self.step().await {
                self.finish().await;
                return;
            }
        }
    }

    /// Waits for the next thing to happen and takes it in. `false` when the stop's deadline passed.
    async fn step(&mut self) -> bool {
        let wake = {
            let queue = self.shared.queue();
            self.shared.pace.wake(queue.next_wake(self.shared.pace.now()))
        };
        let feeds = self.wants_feed();
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            Some(ended) = self.sends.next(), if !self.sends.is_empty() => self.take_ended(ended),
            Some(chore) = self.chores.next(), if !self.chores.is_empty() => self.take_chore(chore),
            () = shared.stop.cancelled(), if self.deadline.is_none() => self.begin_stop(),
            Some(feed) = self.feed.recv(), if feeds => self.stash = Some(feed),
            () = shared.wake.notified() => {}
            () = until(wake), if wake.is_some() => {}
            () = until(self.deadline), if self.deadline.is_some() => return false,
        }
        true
    }

    fn wants_feed(&self) -> bool {
        let queue = self.shared.queue();
        self.stash.is_none()
            && !self.reading
            && queue.wants_log()
            && queue.read_to() >= self.shared.lost_to()
    }

    /// Takes fresh messages for as long as they follow on what was read.
    fn take_feeds(&mut self) {
        if self.reading {
            return;
        }
        let now = self.shared.pace.now();
        let mut queue = self.shared.queue();
        let mut new = 0;
        while queue.wants_log() && queue.read_to() >= self.shared.lost_to() {
            let Some(feed) = self.stash.take().or_else(|| self.feed.try_recv().ok()) else {
                self.shared.add_unread(-new);
                self.shared.caught_up();
                return;
            };
            if feed.after > queue.read_to() {
                self.shared.lose_to(feed.after);
                self.stash = Some(feed);
                break;
            }
            self.shared.fed_bytes.fetch_sub(feed.bytes, Ordering::AcqRel);
            new += queue.ingest(&feed.messages, feed.to, now);
            // What it did not take, it reads from the log when it may.
            self.shared.lose_after(queue.read_to(), feed.to);
        }
        self.shared.add_unread(-new);
    }

    /// Claims what may go, renders it and sends it.
    fn launch(&mut self) {
        let mut claims = std::mem::take(&mut self.claims);
        loop {
            let now = self.shared.pace.now();
            {
                let mut queue = self.shared.queue();
                while claims.len() < ENDED_MAX
                    && let Some(claim) = queue.claim(now)
                {
                    claims.push(claim);
                }
            }
            if claims.is_empty() {
                break;
            }
            let destination = self.shared.destination();
            for claim in claims.drain(..) {
                if claim.suspect {
                    self.look_up(claim);
                } else if let Some(mark) = claim.after {
                    self.deferred.push((mark, claim));
                } else {
                    self.send(&destination, &claim);
                }
            }
        }
        self.claims = claims;
    }

    /// Renders and sends one claim.
    fn send(&mut self, destination: &Arc<dyn Destination>, claim: &Claim) {
        let prepare = |attempt| self.marker.prepare(self.shared.id, claim.seq, attempt);
        let mark = claim.marked.map(prepare);
        mark.iter().for_each(Mark::begin);
        crash::point("delivery_render");
        let render = || match claim.more.is_empty() {
            true => self.render.render(self.shared.id, claim.version, &claim.message),
            false => {
                let all = std::iter::once(&claim.message).chain(&claim.more);
                let all: Vec<&StoredMessage> = all.map(|message| &**message).collect();
                self.render.render_together(self.shared.id, claim.version, &all)
            }
        };
        let rendered = catch_unwind(AssertUnwindSafe(render));
        if let Some(mark) = mark {
            mark.end();
        }
        let conclusion = match rendered {
            Ok(Rendered::Send(outbound)) => {
                let began = self.shared.pace.now().wall;
                let (destination, cut) = (Arc::clone(destination), Arc::clone(&self.cut));
                self.sends.push(Box::pin(send(destination, outbound, cut, claim.seq, began)));
                return;
            }
            Ok(Rendered::Hold(problem)) => Conclusion::RenderHeld(problem),
            Ok(Rendered::Fail(problem)) => Conclusion::RenderFailed(problem),
            Err(_) => {
                error!(destination = %self.shared.name, seq = %claim.seq, "rendering a message crashed");
                Conclusion::Panicked
            }
        };
        let now = self.shared.pace.now();
        self.shared.meters.attempted(&conclusion);
        self.shared.queue().conclude(claim.seq, conclusion, now);
    }

    fn take_ended(&mut self, first: Ended) {
        crash::point("delivery_after_answer");
        let now = self.shared.pace.now();
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue();
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(Ended { seq, conclusion }) = next {
            let conclusion = self.unless_cut(conclusion);
            shared.meters.attempted(&conclusion);
            tell(&shared, seq, &conclusion);
            queue.conclude(seq, conclusion, now);
            taken += 1;
            next =
                (taken < ENDED_MAX).then(|| self.sends.next().now_or_never().flatten()).flatten();
        }
    }

    /// While stopping, what never reached the wire is forgotten; so is a wait for a connection that others
    /// used all the time: it is no fault of the receiver, and it stays first in its lane.
    fn unless_cut(&self, conclusion: Conclusion) -> Conclusion {
        match conclusion {
            Conclusion::Sent {
                outcome: Outcome::Failed { scope: Scope::Endpoint, .. }, ..
            } if self.cut.is_cancelled() => Conclusion::Stopped,
            Conclusion::Sent { outcome: Outcome::Failed { answer, .. }, .. }
                if &*answer.code == BUSY =>
            {
                Conclusion::Stopped
            }
            other => other,
        }
    }

    fn ask_store(&mut self) {
        let now = self.shared.pace.now();
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue();
        if !self.recording
            && let Some(batch) = queue.batch(now)
        {
            self.recording = true;
            self.record(batch, Duration::ZERO);
        }
        let bodies = queue.wants_bodies();
        if !bodies.is_empty() {
            self.read_bodies(bodies, Duration::ZERO);
        }
        if let Some(pause) = queue.unsaved_pause() {
            warn!(destination = %shared.name, reason = %pause.reason, "delivery paused by its policy");
            self.save_pause(pause, Duration::ZERO);
        }
        // A page for one free place would be a page too small.
        let (count, bytes) = queue.log_room();
        let worthwhile = queue.window_is_low();
        if !self.reading
            && worthwhile
            && queue.wants_log()
            && queue.read_to() < self.shared.lost_to()
        {
            self.reading = true;
            self.read_log(queue.read_to(), count, bytes, Duration::ZERO);
        }
    }

    fn record(&mut self, batch: Vec<Change>, pause: Duration) {
        let store = Arc::clone(&self.store);
        self.chores.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let result = store.record(batch.clone()).await;
            Chore::Recorded(result, batch)
        }));
    }

    fn read_log(&mut self, after: Seq, count: u32, bytes: usize, pause: Duration) {
        let (store, id) = (Arc::clone(&self.store), self.shared.id);
        self.chores.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            Chore::Page(store.read_log(id, after, count, bytes).await)
        }));
    }

    fn read_bodies(&mut self, seqs: Vec<Seq>, pause: Duration) {
        let store = Arc::clone(&self.store);
        self.chores.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let found = store.messages(&seqs).await;
            Chore::Bodies(seqs, found)
        }));
    }

    fn save_pause(&mut self, pause: Pause, wait: Duration) {
        let (store, id) = (Arc::clone(&self.store), self.shared.id);
        self.chores.push(Box::pin(async move {
            tokio::time::sleep(wait).await;
            let result = store.set_paused(id, Some(pause.clone())).await;
            Chore::Paused(pause, result)
        }));
    }

    /// Asks for a suspect's attempts, once what was decided over it (a release) is on record.
    fn look_up(&mut self, claim: Claim) {
        let (store, recorded) = (Arc::clone(&self.store), self.shared.when_all_recorded());
        self.chores.push(Box::pin(async move {
            OptionFuture::from(recorded).await;
            let found = store.deliveries(claim.seq).await;
            Chore::Suspect(claim, found)
        }));
    }

    fn count_backlog(&mut self) {
        let (store, id) = (Arc::clone(&self.store), self.shared.id);
        let after = self.shared.queue().read_to();
        self.chores.push(Box::pin(async move { Chore::Counted(store.count_log(id, after).await) }));
    }

    fn take_chore(&mut self, chore: Chore) {
        match chore {
            Chore::Recorded(Ok(()), _) => self.take_recorded(),
            Chore::Recorded(Err(error), batch) => self.retry_record(&error, batch),
            Chore::Page(page) => self.take_page(page),
            Chore::Bodies(asked, Ok(found)) => {
                let now = self.shared.pace.now();
                let mut queue = self.shared.queue();
                queue.set_read_error(None);
                queue.bodies(&asked, &found, now);
            }
            Chore::Bodies(asked, Err(error)) => {
                warn!(destination = %self.shared.name, %error, "messages cannot be read, asked again");
                self.shared.queue().set_read_error(Some(&error.to_string()));
                if !matches!(error, StoreError::Closed) {
                    self.read_bodies(asked, STORE_PAUSE);
                }
            }
            Chore::Suspect(claim, found) => self.take_suspect(claim, found),
            Chore::Counted(Ok(count)) => {
                let caught_up = self.shared.queue().read_to() >= self.shared.lost_to();
                if !caught_up {
                    self.shared.add_unread(i64::try_from(count).unwrap_or(i64::MAX));
                }
            }
            Chore::Counted(Err(error)) => {
                debug!(destination = %self.shared.name, %error, "the backlog was not counted");
            }
            Chore::Paused(_, Ok(())) => {}
            Chore::Paused(pause, Err(error)) => {
                warn!(destination = %self.shared.name, %error, "the pause is not stored, tried again");
                if !matches!(error, StoreError::Closed) && self.deadline.is_none() {
                    self.save_pause(pause, STORE_PAUSE);
                }
            }
        }
    }

    fn take_recorded(&mut self) {
        self.recording = false;
        let mark = {
            let mut queue = self.shared.queue();
            queue.set_store_error(None);
            queue.recorded()
        };
        self.shared.reached(mark);
        let destination = self.shared.destination();
        let (ready, waiting) =
            std::mem::take(&mut self.deferred).into_iter().partition(|(at, _)| *at <= mark);
        self.deferred = waiting;
        let ready: Vec<(u64, Claim)> = ready;
        for (_, claim) in ready {
            if self.deadline.is_some() {
                self.conclude(claim.seq, Conclusion::Stopped);
            } else {
                self.send(&destination, &claim);
            }
        }
    }

    /// The store does not take outcomes: they wait, in order, until it does.
    fn retry_record(&mut self, error: &StoreError, batch: Vec<Change>) {
        let text = error.to_string();
        self.shared.queue().set_store_error(Some(&text));
        if matches!(error, StoreError::Closed) {
            self.recording = false;
            self.shared.stop.cancel();
            return;
        }
        warn!(destination = %self.shared.name, %error, "outcomes are not recorded, tried again");
        self.record(batch, STORE_PAUSE);
    }

    fn take_page(&mut self, page: Result<LogPage, StoreError>) {
        let now = self.shared.pace.now();
        let mut queue = self.shared.queue();
        match page {
            Ok(page) => {
                queue.set_read_error(None);
                let (before, lost_to) = (queue.read_to(), self.shared.lost_to());
                let new = queue.ingest(&page.messages, page.read_to, now);
                self.shared.add_unread(-new);
                self.shared.lose_after(queue.read_to(), page.read_to);
                if page.messages.is_empty() && page.read_to == before {
                    self.shared.nothing_lost(lost_to, before);
                }
                self.reading = false;
            }
            Err(StoreError::Closed) => self.reading = false,
            Err(error) => {
                let (count, bytes) = queue.log_room();
                let after = queue.read_to();
                queue.set_read_error(Some(&error.to_string()));
                drop(queue);
                warn!(destination = %self.shared.name, %error, "the log cannot be read, tried again");
                self.read_log(after, count, bytes, STORE_PAUSE);
            }
        }
    }

    fn take_suspect(
        &mut self,
        claim: Claim,
        found: Result<Vec<crate::store::DeliveryView>, StoreError>,
    ) {
        if self.deadline.is_some() {
            self.conclude(claim.seq, Conclusion::Stopped);
            return;
        }
        let views = match found {
            Ok(views) => views,
            Err(error) => {
                warn!(destination = %self.shared.name, %error, "earlier attempts are unknown");
                Vec::new()
            }
        };
        let own = views.into_iter().find(|view| view.destination == self.shared.id);
        let attempts = own.map(|view| view.attempts).unwrap_or_default();
        let now = self.shared.pace.now();
        let died = self.marker.died_over(self.shared.id, claim.seq);
        let suspicion = self.shared.queue().suspect(claim.seq, &attempts, died, now);
        match suspicion {
            Suspicion::SendAfter { mark, attempt } => {
                self.deferred.push((mark, Claim { marked: Some(attempt), ..claim }));
            }
            Suspicion::Later => {}
            Suspicion::Held => {
                warn!(destination = %self.shared.name, seq = %claim.seq, "held: the engine crashed twice while it was being rendered");
            }
        }
    }

    fn conclude(&self, seq: Seq, conclusion: Conclusion) {
        let now = self.shared.pace.now();
        self.shared.queue().conclude(seq, conclusion, now);
    }

    fn begin_stop(&mut self) {
        let drain = {
            let mut queue = self.shared.queue();
            queue.stop();
            queue.drain()
        };
        self.deadline = Some(tokio::time::Instant::now() + drain);
        self.cut.cancel();
        for (_, claim) in std::mem::take(&mut self.deferred) {
            self.conclude(claim.seq, Conclusion::Stopped);
        }
    }

    fn is_through(&self) -> bool {
        self.deadline.is_some() && self.sends.is_empty() && !self.recording && {
            let queue = self.shared.queue();
            queue.flying() == 0 && queue.unrecorded() == 0
        }
    }

    /// The deadline passed: what is still being sent is uncertain and will be repeated. What is known
    /// is recorded.
    async fn finish(&mut self) {
        let unfinished = self.sends.len();
        if unfinished > 0 {
            warn!(destination = %self.shared.name, unfinished, "stopped while sending; these will be repeated with the same id");
        }
        self.sends.clear();
        let record = async {
            loop {
                if !self.recording {
                    let now = self.shared.pace.now();
                    let Some(batch) = self.shared.queue().batch(now) else { return };
                    self.recording = true;
                    self.record(batch, Duration::ZERO);
                }
                let Some(chore) = self.chores.next().await else { return };
                match chore {
                    Chore::Recorded(Ok(()), _) => self.take_recorded(),
                    Chore::Recorded(Err(_), _) => return,
                    _ => {}
                }
            }
        };
        if tokio::time::timeout(RECORD_DEADLINE, record).await.is_err() {
            warn!(destination = %self.shared.name, "stopped before the last outcomes were recorded; these deliveries will be repeated with the same id");
        }
    }
}

/// One send, whatever it does.
async fn send(
    destination: Arc<dyn Destination>,
    outbound: Outbound,
    cut: Arc<CancellationToken>,
    seq: Seq,
    began: Timestamp,
) -> Ended {
    let sent_hash = xxhash_rust::xxh3::xxh3_64(&outbound.body);
    let start = Instant::now();
    let sending = async { destination.send(&outbound, &cut).await };
    let sending = AssertUnwindSafe(sending).catch_unwind().await;
    let conclusion = match sending {
        Ok(outcome) => Conclusion::Sent { outcome, began, duration: start.elapsed(), sent_hash },
        Err(_) => Conclusion::Panicked,
    };
    Ended { seq, conclusion }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn tell(shared: &Shared, seq: Seq, conclusion: &Conclusion) {
    match conclusion {
        Conclusion::Sent { outcome: Outcome::Accepted(_), .. } | Conclusion::Stopped => {}
        Conclusion::Sent { outcome, .. } => {
            debug!(destination = %shared.name, %seq, outcome = outcome.name(), code = %outcome.answer().code, "not delivered");
        }
        _ => error!(destination = %shared.name, %seq, "sending a message crashed"),
    }
}
