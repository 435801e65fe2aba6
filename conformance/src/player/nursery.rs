//! Futures that run side by side within one future, so that they need not be spawned, sent or named.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

type Child<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Holds the futures. Clones are the same nursery.
///
/// All of them are polled whenever one may go on: they are few, and may so wait for plain shared values.
#[derive(Clone, Default)]
pub(crate) struct Nursery<'a>(Rc<RefCell<Vec<Child<'a>>>>);

impl<'a> Nursery<'a> {
    /// Adds a future. It is polled for the first time behind those that are there.
    pub(crate) fn spawn(&self, child: impl Future<Output = ()> + 'a) {
        self.0.borrow_mut().push(Box::pin(child));
    }

    /// Runs `parent` beside all children, until it has ended. Children that are left stay where they are.
    pub(crate) async fn run<T>(&self, parent: impl Future<Output = T>) -> T {
        let mut parent = Box::pin(parent);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = parent.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            loop {
                let polled = self.poll_children(cx);
                // What the children did may be what the parent waits for.
                if let Poll::Ready(result) = parent.as_mut().poll(cx) {
                    return Poll::Ready(result);
                }
                // And the parent may have added some, whom nobody else would wake.
                if self.0.borrow().len() == polled {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Polls them all, and says how many are left.
    fn poll_children(&self, cx: &mut Context<'_>) -> usize {
        let mut left = Vec::new();
        loop {
            // One that is polled may add others, and they get their turn in order.
            let children = self.0.take();
            if children.is_empty() {
                break;
            }
            for mut child in children {
                if child.as_mut().poll(cx).is_pending() {
                    left.push(child);
                }
            }
        }
        let count = left.len();
        self.0.replace(left);
        count
    }

    /// Drops all children.
    pub(crate) fn clear(&self) {
        let children = self.0.take();
        drop(children);
    }
}

/// Lets everything else go on first.
pub(crate) async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until it holds. Somebody in the same nursery, or a waker of its own, brings it about.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    std::future::poll_fn(|_| if holds() { Poll::Ready(()) } else { Poll::Pending }).await;
}
