//! `lw completion` and `lw man`: what is made of the description of the arguments.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::shells;

use crate::args::{Arguments, CompletionOptions, ManOptions, Shell};
use crate::exit::{Exit, Failure};

pub(crate) fn completion(options: &CompletionOptions) -> Result<(), Failure> {
    let (mut command, mut script) = (Arguments::command(), Vec::new());
    match options.shell {
        Shell::Bash => clap_complete::generate(shells::Bash, &mut command, "lw", &mut script),
        Shell::Fish => clap_complete::generate(shells::Fish, &mut command, "lw", &mut script),
        Shell::Zsh => clap_complete::generate(shells::Zsh, &mut command, "lw", &mut script),
    }
    print(&script)
}

pub(crate) fn man(options: &ManOptions) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    let command = match &options.command {
        None => command,
        Some(name) => {
            let found = command.find_subcommand(name).cloned();
            found.ok_or_else(|| Failure::new(Exit::Usage, format_args!("lw has no command {name:?}")))?
        }
    };
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = clap_mangen::Man::new(command).manual("Longwire").render(&mut page);
    print(&page)
}

/// Whoever has read enough ends it quietly.
fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::of_output(&error)),
        _ => Ok(()),
    }
}
