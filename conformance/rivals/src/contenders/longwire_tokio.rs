//! Longwire on tokio.

use adapter_tokio::{Server, connect};

use super::hand_tokio::runtime;
use super::longwire::{Connection, echo};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::workload::Job;
use crate::{Result, callers};

pub(crate) const CONTENDER: Contender = Contender {
    name: "longwire-tokio",
    kind: Kind::Longwire,
    about: "adapter-tokio on a runtime of one thread, all defaults",
    can: |job| matches!(job, Job::Echo(_)),
    serve: |_| runtime()?.block_on(serve()),
    load: |load| runtime()?.block_on(self::load(load)),
};

async fn serve() -> Result {
    let server = Server::bind("127.0.0.1:0", echo()).await?;
    listening(server.local_addr())?;
    server.serve().await;
    Ok(())
}

async fn load(load: &Load) -> Result<Figures> {
    let connect = async |size| Ok(Connection::new(connect(load.address).await?, size));
    callers::load(load, connect, |task| drop(tokio::spawn(task))).await
}
