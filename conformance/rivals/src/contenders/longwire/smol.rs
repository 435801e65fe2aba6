//! Longwire on smol.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adapter_smol::{NoHandler, client, server_on};

use super::broadcast::Audience;
use super::{BUSY_POLL, Connection, config, handler};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::runtimes::Smol;
use crate::workload::{ALL, CALLS, Job};
use crate::{Result, callers};

pub(crate) const CONTENDER: Contender = Contender {
    name: "longwire-smol",
    kind: Kind::Longwire,
    about: "adapter-smol on an executor of one thread, all defaults",
    workloads: ALL,
    serve: |job| Smol::run(async |smol| serve(job, smol, None).await),
    load: |load| Smol::run(async |smol| self::load(load, smol, None).await),
};

pub(crate) const BUSY: Contender = Contender {
    name: "longwire-smol-busy",
    kind: Kind::Longwire,
    about: "as longwire-smol, with `busy_poll` on both ends",
    workloads: CALLS,
    serve: |job| Smol::run(async |smol| serve(job, smol, BUSY_POLL).await),
    load: |load| Smol::run(async |smol| self::load(load, smol, BUSY_POLL).await),
};

async fn serve(job: &Job, smol: Smol, busy_poll: Option<Duration>) -> Result {
    let runtime = adapter_smol::Smol::on(smol.0);
    let handle = Arc::new(OnceLock::new());
    let server = server_on(runtime, handler(handle.clone(), job))
        .config(config(job))
        .busy_poll(busy_poll)
        .bind("127.0.0.1:0")
        .await?;
    handle.get_or_init(|| server.handle());
    listening(server.local_addr())?;
    server.serve().await;
    Ok(())
}

async fn load(load: &Load, smol: Smol, busy_poll: Option<Duration>) -> Result<Figures> {
    let runtime = adapter_smol::Smol::on(smol.0.clone());
    if let Job::Broadcast { peers, .. } = load.job {
        let connect = async |audience: &Audience| {
            let client = client(audience.handler())
                .runtime(runtime.clone())
                .config(config(&load.job))
                .busy_poll(busy_poll);
            Ok(client.connect(load.address).await?)
        };
        return Audience::new(peers).load(load, connect).await;
    }
    let connect = async |size| {
        let client =
            client(NoHandler).runtime(runtime.clone()).config(config(&load.job)).busy_poll(busy_poll);
        Ok(Connection::new(client.connect(load.address).await?, size))
    };
    callers::load(load, &smol, connect).await
}
