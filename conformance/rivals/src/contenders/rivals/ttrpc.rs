//! ttrpc: gRPC's services in frames of its own, over TCP.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use ttrpc::asynchronous::transport::{Listener, Socket};
use ttrpc::asynchronous::{Client, Server, TtrpcContext};
use ttrpc::context;

use self::generated::echo::{Body, Size};
use self::generated::echo_ttrpc::{Echo, EchoClient, create_echo};
use crate::Result;
use crate::callers::{self, Caller, check};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::runtimes::Tokio;
use crate::workload::COMMON;

mod generated {
    #![allow(warnings, clippy::all, reason = "it is generated")]
    include!(concat!(env!("OUT_DIR"), "/ttrpc/mod.rs"));
}

pub(crate) const CONTENDER: Contender = Contender {
    name: "ttrpc",
    kind: Kind::Rival,
    about: "ttrpc 0.10 on tokio: protobuf in frames of its own",
    workloads: COMMON,
    serve: |_| Tokio::run(serve()),
    load: |load| Tokio::run(self::load(load)),
};

struct Service;

#[async_trait::async_trait]
impl Echo for Service {
    async fn echo(&self, _: &TtrpcContext, body: Body) -> ttrpc::Result<Body> {
        Ok(body)
    }

    async fn length(&self, _: &TtrpcContext, body: Body) -> ttrpc::Result<Size> {
        Ok(Size { length: body.body.len() as u64, ..Size::default() })
    }
}

async fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?)?;
    let accepted = async_stream::stream! {
        loop {
            let accepted = listener.accept().await;
            yield accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream));
        }
    };
    let mut server =
        Server::new().add_listener(Listener::new(accepted)).register_service(create_echo(Arc::new(Service)));
    server.start().await?;
    // It serves in tasks of its own.
    std::future::pending().await
}

async fn load(load: &Load) -> Result<Figures> {
    let connect = async |size| {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        let client = EchoClient::new(Client::new(Socket::new(stream)));
        Ok(Connection { client, body: Body { body: vec![7; size], ..Body::default() } })
    };
    callers::load(load, &Tokio, connect).await
}

#[derive(Clone)]
struct Connection {
    client: EchoClient,
    body: Body,
}

impl Caller for Connection {
    async fn call(&self) -> Result {
        let reply = self.client.echo(context::with_timeout(10_000_000_000), &self.body).await?;
        check(self.body.body.len(), reply.body.len())
    }
}
