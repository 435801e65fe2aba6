//! tonic: gRPC with unary calls, and bodies that share memory.

use std::net::SocketAddr;
use std::time::Duration;

use adapter_tokio::Bytes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, async_trait};

use self::generated::echo_client::EchoClient;
use self::generated::echo_server::{Echo, EchoServer};
use self::generated::{Body, Size};
use crate::Result;
use crate::callers::{self, Caller, check};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::runtimes::Tokio;

mod generated {
    #![allow(warnings, clippy::all, clippy::allow_attributes_without_reason, reason = "it is generated")]
    tonic::include_proto!("rivals");
}

pub(crate) const CONTENDER: Contender = Contender {
    name: "tonic",
    kind: Kind::Rival,
    about: "tonic 0.14: gRPC over HTTP/2, unary calls, prost, keep-alives",
    workloads: &["W1", "W2", "W3", "W4", "W5", "W7/alone", "W7/transfer"],
    serve: |_| Tokio::run(serve()),
    load: |load| Tokio::run(self::load(load)),
};

/// W7 has messages of 100 MB.
const LONGEST: usize = 128 << 20;
/// As often as Longwire's heartbeats.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Service;

#[async_trait]
impl Echo for Service {
    async fn echo(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn length(&self, request: Request<Body>) -> Result<Response<Size>, Status> {
        Ok(Response::new(Size { length: request.into_inner().body.len() as u64 }))
    }
}

async fn serve() -> Result {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.with_nodelay(Some(true));
    listening(incoming.local_addr()?)?;
    let service = EchoServer::new(Service).max_decoding_message_size(LONGEST);
    let server = Server::builder().http2_keepalive_interval(Some(KEEP_ALIVE)).add_service(service);
    Ok(server.serve_with_incoming(incoming).await?)
}

async fn load(load: &Load) -> Result<Figures> {
    let connect = async |size| {
        let endpoint = Endpoint::from_shared(format!("http://{}", load.address))?.tcp_nodelay(true);
        let client = EchoClient::new(endpoint.connect().await?);
        Ok(Connection { client, body: vec![7; size].into() })
    };
    callers::load(load, &Tokio, connect).await
}

#[derive(Clone)]
struct Connection {
    client: EchoClient<Channel>,
    body: Bytes,
}

impl Caller for Connection {
    async fn call(&self) -> Result {
        // A client is cheap to clone, and a call wants one of its own.
        let reply = self.client.clone().echo(Body { body: self.body.clone() }).await?;
        check(self.body.len(), reply.get_ref().body.len())
    }

    async fn transfer(&self, body: Bytes) -> Result {
        let length = body.len();
        let reply = self.client.clone().length(Body { body }).await?;
        check(length, reply.get_ref().length as usize)
    }
}
