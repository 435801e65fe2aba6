use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{poll_fn, ready};
use core::task::Poll;
use std::io::{ErrorKind, IoSlice};

use super::*;
use crate::endpoint::Listener;
use crate::peer::Io;

const ADDRESS: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 7000);

async fn write(stream: &mut VirtualStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(bytes)])).await?;
        bytes = &bytes[written..];
    }
    poll_fn(|cx| stream.poll_shutdown(cx)).await
}

async fn read(stream: &mut VirtualStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while poll_fn(|cx| stream.poll_read(cx, usize::MAX, &mut |bytes| all.extend_from_slice(bytes))).await? > 0
    {
    }
    Ok(all)
}

#[test]
fn a_narrow_network_carries_all_in_order() {
    let world = World::new(1);
    world.set_network(PipeConfig { capacity: 7, read_size: 1..=3, ..PipeConfig::default() });
    let sent: Vec<u8> = (0..1000u32).map(|number| number as u8).collect();
    let mut listener = world.bind(ADDRESS, 1).unwrap();
    let (received, expected) = (Rc::new(Cell::new(Vec::new())), sent.clone());
    let kept = received.clone();
    world.spawn(async move {
        let (mut stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        kept.set(read(&mut stream).await.unwrap());
        write(&mut stream, b"thanks").await.unwrap();
    });
    let answer = world.block_on(async {
        let mut stream = world.connect(ADDRESS).await.unwrap();
        write(&mut stream, &sent).await.unwrap();
        read(&mut stream).await.unwrap()
    });
    assert_eq!(answer, b"thanks");
    assert_eq!(received.take(), expected);
    assert!(world.now() > Instant::EPOCH + Duration::from_millis(2));
}

#[test]
fn who_waits_is_told_of_a_cut() {
    let world = World::new(1);
    let mut listener = world.bind(ADDRESS, 1).unwrap();
    world.block_on(async {
        let mut stream = world.connect(ADDRESS).await.unwrap();
        let (mut accepted, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        let (cutter, pause) = (world.clone(), world.wait(Duration::from_secs(1)));
        world.spawn(async move {
            pause.await;
            cutter.cut_all(CutKind::Reset);
        });
        assert_eq!(read(&mut stream).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(read(&mut accepted).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(world.now(), Instant::EPOCH + Duration::from_secs(1));
    });
}

#[test]
fn an_address_has_one_listener_and_is_free_when_it_has_gone() {
    let world = World::new(1);
    let refused = |world: &World| world.block_on(world.connect(ADDRESS)).map(drop).unwrap_err().kind();
    assert_eq!(refused(&world), ErrorKind::ConnectionRefused);
    let first = world.bind(ADDRESS, 1).unwrap();
    assert_eq!(world.bind(ADDRESS, 1).unwrap_err().kind(), ErrorKind::AddrInUse);
    drop(first);
    assert_eq!(refused(&world), ErrorKind::ConnectionRefused);
    let any = SocketAddr::new(ADDRESS.ip(), 0);
    let (one, two) = (world.bind(any, 1).unwrap(), world.bind(any, 1).unwrap());
    assert_ne!(one.local_addr().unwrap(), two.local_addr().unwrap());
    let mut stream = world.block_on(world.connect(one.local_addr().unwrap())).unwrap();
    drop(one);
    // Nobody has accepted it, and nobody will.
    assert_eq!(world.block_on(read(&mut stream)).unwrap(), Vec::<u8>::new());
    drop(stream);
    assert_eq!(world.connections(), 0);
}

#[test]
fn tasks_take_turns_and_end() {
    let world = World::new(1);
    let said = Rc::new(core::cell::RefCell::new(Vec::new()));
    for name in ["one", "two"] {
        let (said, pause) = (said.clone(), world.wait(Duration::from_secs(1)));
        world.spawn(async move {
            said.borrow_mut().push(String::from(name));
            pause.await;
            said.borrow_mut().push(String::from(name));
        });
    }
    assert_eq!(world.tasks(), 2);
    world.block_on(world.wait(Duration::from_secs(2)));
    assert_eq!(*said.borrow(), vec!["one", "two", "one", "two"]);
    assert_eq!(world.tasks(), 0);
    let polls = world.polls();
    world.block_on(world.wait(Duration::from_secs(3600)));
    assert_eq!(world.polls() - polls, 2, "who waits is polled when it begins and when it ends");
    world.block_on(ready(()));
}

#[test]
fn a_world_that_ends_leaves_nothing() {
    let alive = Rc::new(());
    let world = World::new(1);
    let (kept, handle) = (alive.clone(), world.clone());
    world.spawn(async move {
        let _kept = kept;
        handle.wait(Duration::from_secs(1)).await;
        let () = core::future::pending().await;
    });
    world.block_on(world.wait(Duration::from_secs(2)));
    drop(world);
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
#[should_panic(expected = "nothing can happen any more")]
fn a_future_that_cannot_end_is_noticed() {
    World::new(1).block_on(poll_fn(|_| Poll::<()>::Pending));
}
