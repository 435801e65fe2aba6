//! What only this runtime has: handlers that stay on their thread, and shards. All else is the suite's matter.
//!
//! Each test has a thread of its own, and so an executor. Where there is no io_uring, they say that they were skipped.
#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use adapter_glommio::{
    BindError, Bytes, CloseCode, CloseInfo, Handler, Server, connect, executor, listen, on_request, run,
};
use futures_lite::future;
use glommio::timer::Timer;

fn on_glommio(test: impl Future<Output = ()>) {
    match executor() {
        Ok(executor) => executor.run(test),
        Err(reason) => eprintln!("SKIPPED on glommio: {reason}"),
    }
}

fn echo() -> impl Handler {
    on_request(|_, request| async move { Ok(request.body.into()) })
}

/// Waits for something that happens unless there is a defect.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    future::or(future, async {
        Timer::new(Duration::from_secs(60)).await;
        panic!("it hangs");
    })
    .await
}

async fn until(mut holds: impl FnMut() -> bool) {
    in_time(async {
        while !holds() {
            Timer::new(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[test]
fn what_handlers_share_stays_on_their_thread_and_handles_go_to_any() {
    on_glommio(async {
        let words = Rc::new(RefCell::new(Vec::new()));
        let heard = words.clone();
        let handler = on_request(move |_, request| {
            let heard = heard.clone();
            async move {
                future::yield_now().await;
                heard.borrow_mut().push(request.body.clone());
                Ok(request.body.into())
            }
        });
        let server = Server::bind("127.0.0.1:0", handler).await.unwrap();
        let handle = server.handle();
        let _serving = glommio::spawn_local(server.serve());
        let client = connect(handle.local_addr()).await.unwrap();
        let (plain, shard) = (client.clone(), client.clone());
        let plain = thread::spawn(move || future::block_on(plain.call("say", "from a thread")));
        let shard = thread::spawn(move || run(async move { shard.call("say", "from a shard").await }));
        until(|| plain.is_finished() && shard.is_finished()).await;
        assert_eq!(plain.join().unwrap().unwrap().body, "from a thread");
        assert_eq!(shard.join().unwrap().unwrap().unwrap().body, "from a shard");
        assert_eq!(words.borrow().len(), 2);
    });
}

#[test]
fn a_port_has_one_server() {
    on_glommio(async {
        let first = Server::bind("127.0.0.1:0", echo()).await.unwrap();
        let second = Server::bind(first.local_addr(), echo()).await.unwrap_err();
        assert!(matches!(second, BindError::Address(_)), "{second}");
    });
}

#[test]
fn servers_that_end_leave_no_descriptor_behind() {
    on_glommio(async {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        // Other tests run beside this one: what is left of many servers shows all the same.
        let before = open();
        for _ in 0..300 {
            let server = Server::bind("127.0.0.1:0", echo()).await.unwrap();
            let handle = server.handle();
            let serving = glommio::spawn_local(server.serve());
            let client = in_time(connect(handle.local_addr())).await.unwrap();
            in_time(client.call("echo", "")).await.unwrap();
            handle.stop_with(CloseCode::GOING_AWAY, &CloseInfo::default().and_stay_away());
            in_time(serving).await;
            in_time(client.closed()).await;
        }
        let mut rounds = 0;
        while open() > before + 250 && rounds < 1000 {
            rounds += 1;
            Timer::new(Duration::from_millis(10)).await;
        }
        assert!(open() <= before + 250, "{before} descriptors before, {} now", open());
    });
}

#[test]
fn an_idle_server_does_not_fail_to_accept() {
    on_glommio(async {
        let server = Server::bind("127.0.0.1:0", echo()).await.unwrap();
        let handle = server.handle();
        let _serving = glommio::spawn_local(server.serve());
        for _ in 0..3 {
            Timer::new(Duration::from_millis(30)).await;
            in_time(connect(handle.local_addr())).await.unwrap();
        }
        assert_eq!(handle.accept_failures(), 0);
    });
}

#[test]
fn shards_are_one_server() {
    if let Err(reason) = executor() {
        return eprintln!("SKIPPED on glommio: {reason}");
    }
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let handle = listener.handle();
    let shards: Vec<_> = (0..2)
        .map(|shard: usize| {
            let listener = listener.clone();
            thread::spawn(move || {
                run(async move {
                    let calls = Rc::new(RefCell::new(0));
                    let counted = calls.clone();
                    let handler = on_request(move |_, _| {
                        *counted.borrow_mut() += 1;
                        async move { Ok(Bytes::from(vec![shard as u8]).into()) }
                    });
                    Server::builder(handler).share(&listener).unwrap().serve().await;
                    calls.take()
                })
                .unwrap()
            })
        })
        .collect();
    on_glommio(async move {
        let mut clients = Vec::new();
        let mut took = [0; 2];
        // Whoever is free takes a connection: both do, sooner or later.
        in_time(async {
            while clients.len() < 20 || took.contains(&0) {
                let client = connect(handle.local_addr()).await.unwrap();
                took[client.call("who", "").await.unwrap().body[0] as usize] += 1;
                clients.push(client);
            }
        })
        .await;
        assert_eq!(handle.connections(), clients.len());
        assert_eq!(handle.broadcast("news", "of both").accepted, clients.len());
        assert_eq!(handle.accept_failures(), 0);
        handle.stop_with(CloseCode::GOING_AWAY, &CloseInfo::default().and_stay_away());
        until(|| shards.iter().all(|shard| shard.is_finished())).await;
        let calls: Vec<i32> = shards.into_iter().map(|shard| shard.join().unwrap()).collect();
        assert_eq!(calls, took);
        let ended = Server::builder(echo()).share(&listener).unwrap_err();
        assert!(ended.to_string().contains("have ended"), "{ended}");
        let _again = Server::bind(handle.local_addr(), echo()).await.expect("the port is free");
    });
}

#[test]
fn a_shard_that_never_served_leaves_no_other_without_a_socket() {
    on_glommio(async {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let handle = listener.handle();
        let serving = glommio::spawn_local(Server::builder(echo()).share(&listener).unwrap().serve());
        in_time(connect(handle.local_addr())).await.unwrap();
        drop(Server::builder(echo()).share(&listener).unwrap());
        in_time(serving).await;
        assert_eq!(handle.accept_failures(), 0);
    });
}
