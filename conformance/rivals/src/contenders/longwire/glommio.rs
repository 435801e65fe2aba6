//! Longwire on glommio.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adapter_glommio::{NoHandler, Server, client, run};

use super::broadcast::Audience;
use super::{BUSY_POLL, Connection, config, handler};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::runtimes::Glommio;
use crate::workload::{ALL, CALLS, Job};
use crate::{Result, callers};

pub(crate) const CONTENDER: Contender = Contender {
    name: "longwire-glommio",
    kind: Kind::Longwire,
    about: "adapter-glommio on the executor that it makes, all defaults",
    workloads: ALL,
    serve: |job| run(serve(job, None))?,
    load: |load| run(self::load(load, None))?,
};

pub(crate) const BUSY: Contender = Contender {
    name: "longwire-glommio-busy",
    kind: Kind::Longwire,
    about: "as longwire-glommio, with `busy_poll` on both ends",
    workloads: CALLS,
    serve: |job| run(serve(job, BUSY_POLL))?,
    load: |load| run(self::load(load, BUSY_POLL))?,
};

async fn serve(job: &Job, busy_poll: Option<Duration>) -> Result {
    let handle = Arc::new(OnceLock::new());
    let server = Server::builder(handler(handle.clone(), job))
        .config(config(job))
        .busy_poll(busy_poll)
        .bind("127.0.0.1:0")
        .await?;
    handle.get_or_init(|| server.handle());
    listening(server.local_addr())?;
    server.serve().await;
    Ok(())
}

async fn load(load: &Load, busy_poll: Option<Duration>) -> Result<Figures> {
    if let Job::Broadcast { peers, .. } = load.job {
        let connect = async |audience: &Audience| {
            let client = client(audience.handler()).config(config(&load.job)).busy_poll(busy_poll);
            Ok(client.connect(load.address).await?)
        };
        return Audience::new(peers).load(load, connect).await;
    }
    let connect = async |size| {
        let client =
            client(NoHandler).config(config(&load.job)).busy_poll(busy_poll).connect(load.address).await?;
        Ok(Connection::new(client, size))
    };
    callers::load(load, &Glommio, connect).await
}
