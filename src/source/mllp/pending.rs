//! The answers a connection waits for, in the order of its frames.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, Stream, StreamExt};

/// Work under way whose results are taken in the order it was begun in. Most connections send one message and
/// wait: for that one there is no list.
pub(super) struct Pending<T> {
    first: Option<BoxFuture<'static, T>>,
    /// Done behind the first, which is not.
    done: VecDeque<T>,
    rest: FuturesOrdered<BoxFuture<'static, T>>,
}

impl<T> Pending<T> {
    pub(super) fn new() -> Self {
        Self { first: None, done: VecDeque::new(), rest: FuturesOrdered::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.done.is_empty() && self.rest.is_empty()
    }

    pub(super) fn push(&mut self, work: BoxFuture<'static, T>) {
        if self.is_empty() {
            self.first = Some(work);
        } else {
            self.rest.push_back(work);
        }
    }
}

impl<T: Unpin> Stream for Pending<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Self { first, done, rest } = &mut *self;
        let Some(work) = first else {
            return match done.pop_front() {
                Some(result) => Poll::Ready(Some(result)),
                None => rest.poll_next_unpin(context),
            };
        };
        if let Poll::Ready(result) = work.poll_unpin(context) {
            *first = None;
            return Poll::Ready(Some(result));
        }
        // What came behind it goes on meanwhile.
        while let Poll::Ready(Some(result)) = rest.poll_next_unpin(context) {
            done.push_back(result);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn results_come_in_the_order_of_their_work_and_all_of_it_goes_on() {
        let mut pending = Pending::new();
        assert!(pending.is_empty());
        let (go, waits) = oneshot::channel::<()>();
        let (told, began) = oneshot::channel();
        pending.push(
            async move {
                waits.await.unwrap();
                1
            }
            .boxed(),
        );
        pending.push(
            async move {
                told.send(()).unwrap();
                2
            }
            .boxed(),
        );
        assert_eq!(pending.next().now_or_never(), None);
        // The second is done already, and waits for the first.
        began.await.unwrap();
        pending.push(future::ready(3).boxed());
        go.send(()).unwrap();
        assert_eq!(pending.next().await, Some(1));
        pending.push(future::ready(4).boxed());
        let rest: Vec<i32> = (&mut pending).collect().await;
        assert_eq!(rest, [2, 3, 4]);
        assert!(pending.is_empty());
        pending.push(future::ready(5).boxed());
        assert_eq!(pending.next().await, Some(5));
        assert_eq!(pending.next().await, None);
    }
}
