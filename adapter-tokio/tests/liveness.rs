//! Heartbeats over real sockets, in virtual time.

mod common;

use std::time::Duration;

use adapter_tokio::{CloseReason, Config, HeartbeatConfig, Limit, connect};
use common::{Raw, echo, serve, serve_with, until};

/// Nobody has to configure anything for it.
#[tokio::test(start_paused = true)]
async fn a_quiet_connection_is_kept_alive_and_measured() {
    let server = serve(echo()).await;
    let client = connect(server.local_addr()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(client.close_reason(), None);
    assert_eq!(client.call("echo", "still here").await.unwrap().body, "still here");
    let samples = [client.round_trip().samples, server.peers()[0].round_trip().samples];
    assert!(samples.iter().sum::<u32>() >= 200, "{samples:?} in an hour of 240 intervals");
}

#[tokio::test]
async fn a_client_that_hangs_is_given_up() {
    let fast = HeartbeatConfig {
        wish: Duration::from_secs(1),
        minimum: Duration::from_secs(1),
        timeout: Duration::from_millis(100),
    };
    let config = Config { heartbeat: Some(fast), ..Config::default() };
    let server = serve_with(config.clone(), echo()).await;
    // Its system takes all PINGs and it answers none: that is what a program that hangs looks like.
    let _hangs = Raw::open_as(server.local_addr(), config).await;
    let peer = server.peers().pop().unwrap();
    let CloseReason::TimedOut(limit) = peer.closed().await else { panic!("{:?}", peer.close_reason()) };
    assert_eq!(limit, Limit::Silence);
    until(|| server.connections() == 0).await;
}
