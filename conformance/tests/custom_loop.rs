//! The suite on the event loop of the example `custom_loop`, which drives connections without a runtime.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use conformance::EventLoop;
use proto_core::client::{Delay, ReconnectConfig};
use proto_core::{Connection, Event, Instant, Role, SharedConfig};

#[path = "../../examples/src/bin/custom_loop/event_loop/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the suite uses less of it than the example, and does not run its tests"
)]
mod event_loop;

use self::event_loop::{ClientId, LinkId};

struct CustomLoop {
    net: event_loop::EventLoop,
    client: Option<ClientId>,
}

impl EventLoop for CustomLoop {
    const NAME: &'static str = "custom_loop";

    type Link = LinkId;

    fn start() -> Result<Self, String> {
        let net = event_loop::EventLoop::new().map_err(|error| error.to_string())?;
        Ok(Self { net, client: None })
    }

    fn now(&self) -> Instant {
        self.net.now()
    }

    fn listen(&mut self, config: &SharedConfig) -> io::Result<SocketAddr> {
        let socket = TcpListener::bind("127.0.0.1:0")?;
        let address = socket.local_addr()?;
        self.net.listen(socket, config)?;
        Ok(address)
    }

    fn connect(&mut self, to: SocketAddr, config: &SharedConfig) -> io::Result<()> {
        // It dials once: a scenario's dialer does not come back.
        let once =
            ReconnectConfig { attempt_limit: Some(1), delay: Delay::default(), ..ReconnectConfig::default() };
        self.client = Some(self.net.keep_connected(vec![to], config, once));
        Ok(())
    }

    fn turn(&mut self, until: Instant) -> io::Result<()> {
        self.net.turn(Some(until))
    }

    fn poll_event(&mut self) -> Option<(LinkId, Role, Event)> {
        let happened = self.net.poll_event()?;
        let role = if happened.client.is_some() { Role::Dialer } else { Role::Acceptor };
        if let (Event::Closed(_), Some(client)) = (&happened.event, happened.client) {
            self.net.stop_client(client);
        }
        Some((happened.link, role, happened.event))
    }

    fn connection(&mut self, link: LinkId) -> Option<&mut Connection> {
        self.net.connection(link)
    }

    fn connections(&self) -> usize {
        self.net.connections()
    }
}

fn main() -> ExitCode {
    conformance::run_loop::<CustomLoop>()
}
