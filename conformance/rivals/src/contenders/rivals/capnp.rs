//! Cap'n Proto's RPC. Its clients stay on their thread, so their calls are wrapped for the runtime, which has
//! one thread anyway.

use std::rc::Rc;

use adapter_tokio::Bytes;
use capnp::message::ReaderOptions;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::twoparty::VatNetwork;
use capnp_rpc::{RpcSystem, new_client};
use futures_util::io::{AsyncRead, BufReader, BufWriter};
use send_wrapper::SendWrapper;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use self::echo_capnp::echo;
use crate::Result;
use crate::callers::{self, Caller, check};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::runtimes::Tokio;
use crate::workload::COMMON;

mod echo_capnp {
    #![allow(warnings, clippy::all, reason = "it is generated")]
    include!(concat!(env!("OUT_DIR"), "/echo_capnp.rs"));
}

pub(crate) const CONTENDER: Contender = Contender {
    name: "capnp",
    kind: Kind::Rival,
    about: "capnp-rpc 0.27 on tokio: two parties, buffered streams",
    workloads: COMMON,
    serve: |_| Tokio::run(LocalSet::new().run_until(serve())),
    load: |load| Tokio::run(LocalSet::new().run_until(self::load(load))),
};

struct Service;

impl echo::Server for Service {
    async fn echo(
        self: Rc<Self>,
        parameters: echo::EchoParams,
        mut results: echo::EchoResults,
    ) -> Result<(), capnp::Error> {
        results.get().set_body(parameters.get()?.get_body()?);
        Ok(())
    }
}

async fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?)?;
    let service: echo::Client = new_client(Service);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(RpcSystem::new(network(stream, Side::Server), Some(service.clone().client)));
    }
}

fn network(stream: TcpStream, side: Side) -> Box<VatNetwork<impl AsyncRead + Unpin>> {
    let (reader, writer) = stream.into_split();
    let (reader, writer) = (BufReader::new(reader.compat()), BufWriter::new(writer.compat_write()));
    Box::new(VatNetwork::new(reader, writer, side, ReaderOptions::default()))
}

async fn load(load: &Load) -> Result<Figures> {
    let connect = async |size| {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        let mut system = RpcSystem::new(network(stream, Side::Client), None);
        let client: echo::Client = system.bootstrap(Side::Server);
        spawn_local(system);
        Ok(Connection { client: SendWrapper::new(client), body: vec![7; size].into() })
    };
    callers::load(load, &Tokio, connect).await
}

#[derive(Clone)]
struct Connection {
    client: SendWrapper<echo::Client>,
    body: Bytes,
}

impl Caller for Connection {
    fn call(&self) -> impl Future<Output = Result> + Send {
        SendWrapper::new(async {
            let mut request = self.client.echo_request();
            request.get().set_body(&self.body);
            let reply = request.send().promise.await?;
            check(self.body.len(), reply.get()?.get_body()?.len())
        })
    }
}
