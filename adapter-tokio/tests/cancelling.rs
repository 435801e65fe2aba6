//! Whoever stops waiting stops the work at the other end, over real sockets and in both directions.

mod common;

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use adapter_tokio::{Call, CallError, Delivery, Handler, Lane, Route, connect, connect_with, on_request};
use common::{in_time, on_both, serve, until};
use tokio::sync::Semaphore;

/// How many handlers have begun, are at work, and came to their end.
#[derive(Clone)]
struct Work {
    begun: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Work {
    fn new() -> Self {
        let [begun, running, done] = [(); 3].map(|()| Arc::default());
        Self { begun, running, done, gate: Arc::new(Semaphore::new(0)) }
    }

    /// Answers when the gate is opened. What goes to "pay" is run to its end.
    fn handler(&self) -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync + use<> {
        let work = self.clone();
        on_request(move |_, request| {
            work.begun.fetch_add(1, Ordering::SeqCst);
            work.running.fetch_add(1, Ordering::SeqCst);
            let (work, running) = (work.clone(), Running(work.running.clone()));
            async move {
                let _running = running;
                work.gate.acquire().await.expect("it is never closed").forget();
                work.done.fetch_add(1, Ordering::SeqCst);
                Ok(request.body.into())
            }
        })
        .run_to_end(|request| request.route() == Route::Name("pay"))
    }

    fn counts(&self) -> [usize; 3] {
        [&self.begun, &self.running, &self.done].map(|count| count.load(Ordering::SeqCst))
    }

    async fn until(&self, counts: [usize; 3]) {
        until(|| self.counts() == counts).await;
    }
}

/// Sends a call.
async fn begin(mut call: Pin<&mut Call>) {
    let polled = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
}

#[test]
fn dropping_a_call_stops_its_handler_and_no_other() {
    on_both(|| async {
        let work = Work::new();
        let server = serve(work.handler()).await;
        let client = connect(server.local_addr()).await.unwrap();
        let mut stays = pin!(client.call("wait", "still here"));
        begin(stays.as_mut()).await;
        for lane in [Lane::High, Lane::Normal, Lane::Bulk] {
            let mut leaves = Box::pin(client.call("wait", "").lane(lane));
            begin(leaves.as_mut()).await;
            until(|| work.counts()[1] == 2).await;
            drop(leaves);
            until(|| work.counts()[1] == 1).await;
        }
        until(|| client.calls_in_flight() == 1).await;
        assert_eq!(server.peers()[0].counters().requests_cancelled, 3);
        work.gate.add_permits(1);
        assert_eq!(stays.await.unwrap().body, "still here");
        work.until([4, 0, 1]).await;
    });
}

#[test]
fn a_deadline_that_passes_stops_the_handler() {
    on_both(|| async {
        let work = Work::new();
        let server = serve(work.handler()).await;
        let client = connect(server.local_addr()).await.unwrap();
        // It may have passed before the request left, if the machine is slow.
        let mut may_have_run = 0;
        while may_have_run < 3 {
            let call = client.call("wait", "").timeout(Duration::from_millis(20));
            match call.await.unwrap_err() {
                CallError::TimedOut(Delivery::MaybeSent) => may_have_run += 1,
                CallError::TimedOut(Delivery::NotSent) => {}
                other => panic!("{other}"),
            }
        }
        until(|| work.counts()[1] == 0 && client.calls_in_flight() == 0).await;
        assert_eq!(work.counts()[2], 0);
    });
}

#[test]
fn what_is_to_run_to_its_end_does() {
    on_both(|| async {
        let work = Work::new();
        let server = serve(work.handler()).await;
        let client = connect(server.local_addr()).await.unwrap();
        for (begun, route) in [(1, "pay"), (2, "wait")] {
            let mut call = Box::pin(client.call(route, ""));
            begin(call.as_mut()).await;
            until(|| work.counts()[0] == begun).await;
        }
        work.until([2, 1, 0]).await;
        work.gate.add_permits(1);
        work.until([2, 0, 1]).await;
        until(|| client.calls_in_flight() == 0).await;
    });
}

/// A server that asks its clients has the same right to stop asking.
#[test]
fn a_server_that_stops_waiting_stops_its_clients_handler() {
    on_both(|| async {
        let work = Work::new();
        let server = serve(on_request(|_, _| pending())).await;
        let client = connect_with(server.local_addr(), work.handler()).await.unwrap();
        let mut call = Box::pin(server.peers()[0].call("wait", ""));
        begin(call.as_mut()).await;
        work.until([1, 1, 0]).await;
        drop(call);
        work.until([1, 0, 0]).await;
        assert!(client.is_open());
    });
}

/// Each of these handlers waits for a call of its own, back to where it was called from.
#[test]
fn giving_up_stops_all_that_was_begun_for_it() {
    on_both(|| async {
        let work = Work::new();
        let server = serve(on_request(|peer, _| async move {
            let failed = |error: CallError| {
                adapter_tokio::Status::new(adapter_tokio::StatusCode::HANDLER_FAILED, error.to_string())
            };
            peer.call("wait", "").await.map_err(failed)
        }))
        .await;
        let client = connect_with(server.local_addr(), work.handler()).await.unwrap();
        let mut calls: Vec<_> = (0..50).map(|_| Box::pin(client.call("relay", ""))).collect();
        for call in &mut calls {
            begin(call.as_mut()).await;
        }
        work.until([50, 50, 0]).await;
        drop(calls);
        work.until([50, 0, 0]).await;
        until(|| client.calls_in_flight() == 0 && server.peers()[0].calls_in_flight() == 0).await;
    });
}

/// Many tasks give up at all times: nobody else gets their replies, and nothing is left.
#[test]
fn calls_that_are_given_up_at_any_time_disturb_nobody() {
    on_both(|| async {
        let server = serve(on_request(|_, request| async move {
            if request.body.first().is_some_and(|byte| byte % 3 == 0) {
                tokio::task::yield_now().await;
            }
            Ok(request.body.into())
        }))
        .await;
        let client = connect(server.local_addr()).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8u32 {
            let peer = client.peer().clone();
            tasks.spawn(async move {
                for number in 0..500u32 {
                    let sent =
                        [&number.to_be_bytes()[3..], &vec![task as u8; (number as usize % 7) * 30_000]]
                            .concat();
                    let mut call = Box::pin(peer.call("echo", sent.clone()));
                    if number % 2 == task % 2 {
                        assert_eq!(call.await.unwrap().body, sent);
                    } else {
                        let _ = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
                        for _ in 0..number % 5 {
                            tokio::task::yield_now().await;
                        }
                    }
                }
            });
        }
        in_time(tasks.join_all()).await;
        until(|| client.calls_in_flight() == 0).await;
        let (mine, theirs) = (client.peer().clone(), server.peers()[0].clone());
        until(|| mine.held_bytes() < 10_000 && theirs.held_bytes() < 10_000).await;
        assert!(client.is_open());
    });
}
