//! Has everybody measured: one server and one client at a time, in turns.

mod child;

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use self::child::{Child, Place};
use crate::command::Plan;
use crate::contender::Contender;
use crate::meter::Figures;
use crate::report::{self, Facts, Measured, Results};
use crate::workload::{Point, WORKLOADS, Workload};
use crate::{Result, contenders, page, system};

/// A contender that has failed so often at one point is not asked again.
const PATIENCE: usize = 2;

pub(crate) fn run(plan: &Plan) -> Result {
    let contenders = chosen_contenders(plan)?;
    let workloads = chosen_workloads(plan)?;
    if plan.list {
        report::list(&workloads, &contenders);
        return Ok(());
    }
    let machine = Machine::prepare()?;
    let mut results = Results::new(plan, machine.facts());
    for workload in workloads {
        for point in workload.points {
            let is_able = |contender: &&Contender| {
                contender.workloads.iter().any(|able| [workload.name, point.id].contains(able))
            };
            let able: Vec<Contender> = contenders.iter().filter(is_able).copied().collect();
            if able.is_empty() {
                continue;
            }
            let measured = machine.measure(plan, point, &able);
            results.add(workload, point, measured);
        }
        results.show(workload);
        results.write(plan)?;
    }
    Ok(())
}

fn chosen_contenders(plan: &Plan) -> Result<Vec<Contender>> {
    let all = contenders::all();
    for wanted in &plan.contenders {
        if !all.iter().any(|contender| contender.name.starts_with(wanted.as_str())) {
            return Err(format!("there is no contender {wanted}; --list says which there are").into());
        }
    }
    let is_wanted = |contender: &Contender| {
        // A whole name means that one alone.
        let exact = |wanted: &String| all.iter().any(|other| other.name == wanted);
        plan.contenders.iter().any(|wanted| {
            contender.name == wanted || !exact(wanted) && contender.name.starts_with(wanted.as_str())
        })
    };
    Ok(all.iter().filter(|contender| plan.contenders.is_empty() || is_wanted(contender)).copied().collect())
}

fn chosen_workloads(plan: &Plan) -> Result<Vec<&'static Workload>> {
    let is_named = |workload: &Workload, wanted: &String| workload.name.eq_ignore_ascii_case(wanted);
    for wanted in &plan.workloads {
        if !WORKLOADS.iter().any(|workload| is_named(workload, wanted)) {
            return Err(format!("there is no workload {wanted}; --list says which there are").into());
        }
    }
    let is_wanted = |workload: &&Workload| {
        plan.workloads.is_empty() || plan.workloads.iter().any(|wanted| is_named(workload, wanted))
    };
    Ok(WORKLOADS.iter().filter(is_wanted).collect())
}

/// Where things run.
struct Machine {
    program: PathBuf,
    cores: usize,
    server_core: usize,
    client_core: usize,
}

impl Machine {
    fn prepare() -> Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let (server_core, client_core) = system::two_cores()?;
        if server_core == client_core {
            eprintln!(
                "THERE IS ONE CORE ONLY: server and client take turns on it, and these figures compare with no others"
            );
        }
        // The orchestrator only waits, where the client is: but not beside the server.
        system::pin(client_core)?;
        Ok(Self { program: std::env::current_exe()?, cores, server_core, client_core })
    }

    fn facts(&self) -> Facts {
        Facts {
            processor: system::processor(),
            cores: self.cores,
            server_core: self.server_core,
            client_core: self.client_core,
            kernel: system::kernel(),
            congestion_control: system::congestion_control(),
            rustc: env!("RIVALS_RUSTC"),
        }
    }

    fn measure(&self, plan: &Plan, point: &Point, contenders: &[Contender]) -> Vec<Measured> {
        let mut measured: Vec<Measured> =
            contenders.iter().map(|contender| Measured::new(*contender)).collect();
        for round in 0..plan.rounds {
            for turn in 0..measured.len() {
                // Nobody is always first, or always behind the same one.
                let place = (turn + round as usize) % measured.len();
                let measured = &mut measured[place];
                if measured.problems.len() >= PATIENCE {
                    continue;
                }
                let name = measured.contender.name;
                progress(&format!("{} round {}/{} {name}", point.id, round + 1, plan.rounds));
                match self.once(plan, point, measured.contender) {
                    Ok(figures) => measured.rounds.push((round, figures)),
                    Err(problem) => {
                        progress("");
                        eprintln!("{} {name} FAILED: {problem}", point.id);
                        measured.problems.push(problem.to_string());
                    }
                }
            }
        }
        progress("");
        measured
    }

    fn once(&self, plan: &Plan, point: &Point, contender: Contender) -> Result<Figures> {
        let page = SharedPage::new()?;
        let place = |core| Place { core, page: page.path() };
        let mut server =
            Child::start(&self.program, &["serve", contender.name, point.id], &place(self.server_core))?;
        let address = server.line(Duration::from_secs(10)).map_err(|problem| format!("server: {problem}"))?;
        let arguments = [
            "load",
            contender.name,
            point.id,
            "--address",
            &address,
            "--server",
            &server.id().to_string(),
            "--seconds",
            &plan.seconds.to_string(),
        ];
        let mut client = Child::start(&self.program, &arguments, &place(self.client_core))?;
        let bound = Duration::try_from_secs_f64(plan.seconds * 2.0 + 60.0)?;
        let line = client.line(bound).map_err(|problem| match server.last_words() {
            Some(words) => format!("client: {problem}; server: {words}"),
            None => format!("client: {problem}"),
        })?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// A line that the next one replaces, if a person looks on.
fn progress(text: &str) {
    let mut error = std::io::stderr().lock();
    // Nobody is served by an error about not being able to tell.
    let _ = if error.is_terminal() {
        write!(error, "\r\x1b[K{text}").and_then(|()| error.flush())
    } else if text.is_empty() {
        Ok(())
    } else {
        writeln!(error, "{text}")
    };
}

/// The file behind the page that server and client share.
struct SharedPage(File);

impl SharedPage {
    fn new() -> Result<Self> {
        let name = c"rivals";
        let descriptor = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
        let file = File::from(descriptor);
        file.set_len(page::LEN as u64)?;
        Ok(Self(file))
    }

    /// Where the children find it, which cannot be confused with another run's.
    fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}
