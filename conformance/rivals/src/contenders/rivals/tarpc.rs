//! tarpc, with its serde transport over TCP and bincode, a task for each request, as its documentation has it.

use adapter_tokio::Bytes;
use futures_util::StreamExt;
use serde_bytes::ByteBuf;
use tarpc::context::Context;
use tarpc::serde_transport;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::callers::{self, Caller, check};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::runtimes::Tokio;

pub(crate) const CONTENDER: Contender = Contender {
    name: "tarpc",
    kind: Kind::Rival,
    about: "tarpc 0.38 on tokio: length-delimited bincode, a task for each request",
    workloads: &["W1", "W2", "W3", "W4", "W5", "W7/alone", "W7/transfer"],
    serve: |_| Tokio::run(serve()),
    load: |load| Tokio::run(self::load(load)),
};

#[tarpc::service]
trait Echo {
    async fn echo(body: ByteBuf) -> ByteBuf;
    async fn length(body: ByteBuf) -> u64;
}

#[derive(Clone)]
struct Service;

impl Echo for Service {
    async fn echo(self, _: Context, body: ByteBuf) -> ByteBuf {
        body
    }

    async fn length(self, _: Context, body: ByteBuf) -> u64 {
        body.len() as u64
    }
}

/// W7 has messages of 100 MB.
const LONGEST: usize = 128 << 20;

fn framed(stream: TcpStream) -> Framed<TcpStream, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder().max_frame_length(LONGEST).new_framed(stream)
}

async fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let framed = framed(stream);
        let channel = BaseChannel::with_defaults(serde_transport::new(framed, Bincode::default()));
        tokio::spawn(channel.execute(Service.serve()).for_each(async |response| {
            tokio::spawn(response);
        }));
    }
}

async fn load(load: &Load) -> Result<Figures> {
    let connect = async |size| {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        let framed = framed(stream);
        let transport = serde_transport::new(framed, Bincode::default());
        let client = EchoClient::new(tarpc::client::Config::default(), transport).spawn();
        Ok(Connection { client, body: ByteBuf::from(vec![7; size]) })
    };
    callers::load(load, &Tokio, connect).await
}

#[derive(Clone)]
struct Connection {
    client: EchoClient,
    body: ByteBuf,
}

impl Caller for Connection {
    async fn call(&self) -> Result {
        let reply = self.client.echo(tarpc::context::current(), self.body.clone()).await?;
        check(self.body.len(), reply.len())
    }

    async fn transfer(&self, body: Bytes) -> Result {
        let length = body.len();
        let reply = self.client.length(tarpc::context::current(), ByteBuf::from(body)).await?;
        check(length, reply as usize)
    }
}
