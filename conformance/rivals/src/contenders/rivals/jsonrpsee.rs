//! jsonrpsee: JSON-RPC over WebSocket, of which a body is a text.

use std::sync::Arc;

use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use jsonrpsee::server::{PingConfig, RpcModule, Server, ServerConfig};
use jsonrpsee::ws_client::{WsClient, WsClientBuilder};

use crate::Result;
use crate::callers::{self, Caller, check};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::runtimes::Tokio;
use crate::workload::COMMON;

pub(crate) const CONTENDER: Contender = Contender {
    name: "jsonrpsee",
    kind: Kind::Rival,
    about: "jsonrpsee 0.26: JSON-RPC over WebSocket, bodies as texts, pings",
    workloads: COMMON,
    serve: |_| Tokio::run(serve()),
    load: |load| Tokio::run(self::load(load)),
};

async fn serve() -> Result {
    // It takes a hundred connections unless it is told otherwise, for W5.
    let config = ServerConfig::builder()
        .max_connections(20_000)
        .ws_only()
        .enable_ws_ping(PingConfig::new())
        .set_tcp_no_delay(true);
    let server = Server::builder().set_config(config.build()).build("127.0.0.1:0").await?;
    let mut module = RpcModule::new(());
    module.register_method("echo", |parameters, (), _| parameters.one::<String>())?;
    listening(server.local_addr()?)?;
    server.start(module).stopped().await;
    Ok(())
}

async fn load(load: &Load) -> Result<Figures> {
    let connect = async |size| {
        let client = WsClientBuilder::default()
            .enable_ws_ping(jsonrpsee::core::client::async_client::PingConfig::new());
        let client = client.set_tcp_no_delay(true).build(format!("ws://{}", load.address)).await?;
        Ok(Connection { client: Arc::new(client), body: "x".repeat(size).into() })
    };
    callers::load(load, &Tokio, connect).await
}

#[derive(Clone)]
struct Connection {
    client: Arc<WsClient>,
    body: Arc<str>,
}

impl Caller for Connection {
    async fn call(&self) -> Result {
        let reply: String = self.client.request("echo", rpc_params![&self.body]).await?;
        check(self.body.len(), reply.len())
    }
}
