//! Longwire on smol.

use std::sync::Arc;

use adapter_smol::{NoHandler, Smol, client, server_on};
use smol::Executor;

use super::longwire::{Connection, echo};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::workload::Job;
use crate::{Result, callers};

pub(crate) const CONTENDER: Contender = Contender {
    name: "longwire-smol",
    kind: Kind::Longwire,
    about: "adapter-smol on an executor of one thread, all defaults",
    can: |job| matches!(job, Job::Echo(_)),
    serve: |_| {
        let executor = Arc::new(Executor::new());
        smol::block_on(executor.run(serve(executor.clone())))
    },
    load: |load| {
        let executor = Arc::new(Executor::new());
        smol::block_on(executor.run(self::load(load, executor.clone())))
    },
};

async fn serve(executor: Arc<Executor<'static>>) -> Result {
    let server = server_on(Smol::on(executor), echo()).bind("127.0.0.1:0").await?;
    listening(server.local_addr())?;
    server.serve().await;
    Ok(())
}

async fn load(load: &Load, executor: Arc<Executor<'static>>) -> Result<Figures> {
    let runtime = Smol::on(executor.clone());
    let connect = async |size| {
        let client = client(NoHandler).runtime(runtime.clone()).connect(load.address).await?;
        Ok(Connection::new(client, size))
    };
    callers::load(load, connect, |task| executor.spawn(task).detach()).await
}
