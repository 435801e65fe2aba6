//! Longwire on glommio.

use adapter_glommio::{Server, connect, run};

use super::longwire::{Connection, echo};
use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::Figures;
use crate::workload::Job;
use crate::{Result, callers};

pub(crate) const CONTENDER: Contender = Contender {
    name: "longwire-glommio",
    kind: Kind::Longwire,
    about: "adapter-glommio on the executor that it makes, all defaults",
    can: |job| matches!(job, Job::Echo(_)),
    serve: |_| run(serve())?,
    load: |load| run(self::load(load))?,
};

async fn serve() -> Result {
    let server = Server::bind("127.0.0.1:0", echo()).await?;
    listening(server.local_addr())?;
    server.serve().await;
    Ok(())
}

async fn load(load: &Load) -> Result<Figures> {
    let connect = async |size| Ok(Connection::new(connect(load.address).await?, size));
    callers::load(load, connect, |task| drop(glommio::spawn_local(task).detach())).await
}
