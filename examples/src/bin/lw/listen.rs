//! `lw listen`: prints what a server pushes.

use std::future::pending;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adapter_tokio::{CloseReason, Push, Route, WhileDown};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::args::ListenOptions;
use crate::exit::{Exit, Failure};
use crate::json::Object;
use crate::link::{Heard, Link, Plan};
use crate::output::{Closed, Output};
use crate::units::{Deadline, grouped};

pub(crate) async fn listen(options: ListenOptions) -> Result<(), Failure> {
    let (sender, pushes) = unbounded_channel();
    let plan = Plan {
        options: &options.link,
        config: options.link.config(options.max_message)?,
        patience: options.link.patience(Some(Deadline::Never)),
        while_down: WhileDown::Fail,
        pushes: Some(sender),
    };
    let mut listener = Listener { options: &options, output: Output::new(), heard: 0 };
    // Who is told to end while it still tries to connect ends, too.
    let end = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = elapsed(options.duration) => {}
        }
    };
    let mut link = None;
    let result = tokio::select! {
        biased;
        result = listener.hear(plan, pushes, &mut link) => result,
        () = end => Ok(None),
    };
    let heard = listener.heard;
    let written = listener.output.end();
    let explained = match (&link, &result) {
        (Some(link), Ok(Some(reason))) => Some(link.explain(reason)),
        _ => None,
    };
    if let Some(link) = link {
        link.finish().await;
    }
    match written {
        // Whoever read the pushes has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        Err(error) => return Err(Failure::of_output(&error)),
        Ok(()) => {}
    }
    result?;
    match (explained, options.count) {
        (Some(reason), _) => {
            Err(Failure::new(Exit::Lost, format_args!("{reason}; pushes: {}", grouped(heard))))
        }
        (None, Some(count)) if heard < count && options.duration.is_some() => {
            let text = format!("pushes: {} of {}", grouped(heard), grouped(count));
            Err(Failure::new(Exit::CallFailed, text))
        }
        _ => Ok(()),
    }
}

async fn elapsed(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => pending().await,
    }
}

struct Listener<'a> {
    options: &'a ListenOptions,
    output: Output,
    heard: u64,
}

impl Listener<'_> {
    /// Connects, and prints until there is enough or nothing more can come: then it says why.
    async fn hear(
        &mut self,
        plan: Plan<'_>,
        mut pushes: UnboundedReceiver<Heard>,
        link: &mut Option<Link>,
    ) -> Result<Option<CloseReason>, Failure> {
        let client = link.insert(plan.connect().await?).client.clone();
        let closed = client.closed();
        tokio::pin!(closed);
        loop {
            tokio::select! {
                biased;
                heard = pushes.recv() => {
                    // The handler of the client holds a sender for as long as there is a client.
                    let Some((push, dealt_with)) = heard else { return Ok(Some(closed.await)) };
                    self.print(&push);
                    let _ = dealt_with.send(());
                    let enough = self.options.count == Some(self.heard);
                    if (enough || pushes.is_empty() || self.output.is_full())
                        && matches!(self.output.flush().await, Err(Closed))
                        || enough
                    {
                        return Ok(None);
                    }
                }
                () = self.output.closed() => return Ok(None),
                reason = &mut closed => return Ok(Some(reason)),
            }
        }
    }

    fn print(&mut self, push: &Push) {
        self.heard += 1;
        if self.options.json {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let object = Object::new().plain("time", format_args!("{:.3}", time.as_secs_f64()));
            let object = match push.route() {
                Route::Number(number) => object.plain("route", number),
                route => object.text("route", &route.to_string()),
            };
            self.output.line(object.bytes("body", &push.body).end().as_bytes());
        } else if self.options.routes {
            self.output.line(&[push.route().to_string().as_bytes(), b"\t", &push.body].concat());
        } else {
            self.output.line(&push.body);
        }
    }
}
