//! Writes a scenario as text, in the form in which [`parse`](super::parse) reads it.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use proto_core::{Lane, Role};

use super::{Answer, Answered, Call, Deed, Dropped, Fault, Limits, Path, Scenario, Trigger, Trouble};

impl Display for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.seed != 0 {
            writeln!(f, "seed {}", self.seed)?;
        }
        write!(f, "{}", self.limits)?;
        if self.comes_back {
            writeln!(f, "dialer comes back")?;
        }
        if self.busy {
            writeln!(f, "busy")?;
        }
        for role in [Role::Acceptor, Role::Dialer] {
            write_path(f, role, self.path_to(role))?;
        }
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        for bytes in &self.strangers {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(f, "stranger {hex}")?;
        }
        for role in [Role::Dialer, Role::Acceptor] {
            let script = self.script(role);
            if !script.is_empty() {
                writeln!(f, "\n{}", side(role))?;
            }
            for deed in script {
                writeln!(f, "  {deed}")?;
            }
        }
        Ok(())
    }
}

/// How a side is called.
pub(crate) const fn side(role: Role) -> &'static str {
    match role {
        Role::Acceptor => "acceptor",
        Role::Dialer => "dialer",
    }
}

/// Every limit that is not the default.
impl Display for Limits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        if *self == default {
            return Ok(());
        }
        f.write_str("limits")?;
        let limits = [
            ("slots", self.slots, default.slots),
            ("message", self.message, default.message),
            ("frame", self.frame, default.frame),
            ("window", self.window, default.window),
        ];
        for (name, value, usual) in limits {
            if value != usual {
                write!(f, " {name} {value}")?;
            }
        }
        if let Some(silence) = self.silence {
            write!(f, " silence {}", millis(silence))?;
        }
        writeln!(f)
    }
}

fn write_path(f: &mut Formatter<'_>, to: Role, path: &Path) -> fmt::Result {
    let default = Path::default();
    if *path == default {
        return Ok(());
    }
    write!(f, "network to {}", side(to))?;
    if path.piece != default.piece {
        write!(f, " piece {}", path.piece)?;
    }
    if path.delay != default.delay {
        write!(f, " delay {}", millis(path.delay))?;
    }
    if path.capacity != default.capacity {
        write!(f, " capacity {}", path.capacity)?;
    }
    writeln!(f)
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.when {
            Trigger::Bytes(to, bytes) => write!(f, "fault at {bytes} bytes to {}: ", side(to)),
            Trigger::Deed(of, number) => write!(f, "fault at deed {number} of {}: ", side(of)),
        }?;
        match self.what {
            Trouble::Cut => f.write_str("cut"),
            Trouble::HalfClose(to) => write!(f, "half-close to {}", side(to)),
            Trouble::Stall(to, duration) => write!(f, "stall to {} {}", side(to), millis(duration)),
        }
    }
}

impl Display for Deed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abort => f.write_str("abort"),
            Self::Await => f.write_str("await"),
            Self::Call(call) => call.fmt(f),
            Self::Close => f.write_str("close"),
            Self::Drain => f.write_str("drain"),
            Self::Drop(which) => write!(f, "drop {which}"),
            Self::Idle(duration) => write!(f, "idle {}", millis(*duration)),
            Self::Hold => f.write_str("hold"),
            Self::LetGo => f.write_str("let go"),
            Self::Push(push) => {
                write!(f, "push {}{}", push.size, urgency(push.lane))?;
                write_dropped(f, push.dropped)
            }
            Self::Restart => f.write_str("restart"),
            Self::See(count) => write!(f, "see {count}"),
            Self::Wait(duration) => write!(f, "wait {}", millis(*duration)),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "call {}{}", self.size, urgency(self.lane))?;
        if self.idempotent {
            f.write_str(" again")?;
        }
        if let Some(within) = self.within {
            write!(f, " within {}", millis(within))?;
        }
        write!(f, " -> {}", self.answer)?;
        write_dropped(f, self.dropped)
    }
}

fn write_dropped(f: &mut Formatter<'_>, dropped: Option<Dropped>) -> fmt::Result {
    match dropped {
        None => Ok(()),
        Some(Dropped::AfterPolls(polls)) => write!(f, ", dropped after {polls} polls"),
        Some(Dropped::AfterTime(duration)) => write!(f, ", dropped after {}", millis(duration)),
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.back {
            write!(f, "back {size} ")?;
        }
        match self.what {
            Answered::Never => f.write_str("never"),
            Answered::Panic => f.write_str("panic"),
            Answered::Reply(size) => write!(f, "reply {size}"),
            Answered::Status(code) => write!(f, "status {code}"),
        }?;
        if self.after.is_zero() { Ok(()) } else { write!(f, " after {}", millis(self.after)) }
    }
}

const fn urgency(lane: Lane) -> &'static str {
    match lane {
        Lane::High => " high",
        Lane::Bulk => " bulk",
        _ => "",
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
