//! Reads a scenario from text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use proto_core::{Lane, Role};

use super::{Answer, Answered, Call, Deed, Dropped, Fault, Limits, Path, Push, Scenario, Trigger, Trouble};

/// A line that is no part of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Scenario {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut scenario = Self::default();
        let mut script = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = Words::of(line);
            if words.is_at_end() {
                continue;
            }
            let read = read_line(&mut scenario, &mut script, &mut words).and_then(|()| words.end());
            read.map_err(|problem| ParseError { line: number, problem })?;
        }
        Ok(scenario)
    }
}

type Read<T> = Result<T, String>;

/// The largest body, and what a network holds at most, in bytes.
const LARGEST: usize = 16 << 20;
/// The longest time that somebody waits for an answer, or that nothing arrives, in milliseconds.
const LONGEST: u64 = 3_600_000;
/// The longest time that a side waits by itself, or that bytes are under way, in milliseconds.
const LONGEST_WAIT: u64 = 10_000;
/// How often a future is polled at most before it is dropped.
const MOST_POLLS: usize = 10_000;

fn read_line(scenario: &mut Scenario, script: &mut Option<Role>, words: &mut Words<'_>) -> Read<()> {
    if let Some(role) = *script
        && !matches!(words.peek(), Some("dialer" | "acceptor"))
    {
        let deed = deed(words)?;
        match (role, deed) {
            (Role::Dialer, Deed::Restart) => return Err("only the acceptor restarts".into()),
            (Role::Acceptor, deed) => scenario.acceptor.push(deed),
            (Role::Dialer, deed) => scenario.dialer.push(deed),
        }
        return Ok(());
    }
    match words.next("the beginning of a line")? {
        "seed" => scenario.seed = words.number("a seed")?,
        "limits" => scenario.limits = limits(words)?,
        "network" => {
            let to = towards(words)?;
            let path = path(words)?;
            match to {
                Role::Acceptor => scenario.to_acceptor = path,
                Role::Dialer => scenario.to_dialer = path,
            }
        }
        "fault" => scenario.faults.push(fault(words)?),
        "stranger" => scenario.strangers.push(bytes(words.next("bytes in hexadecimal").unwrap_or_default())?),
        "dialer" if words.took("comes") => {
            words.expect("back")?;
            scenario.comes_back = true;
        }
        "busy" => scenario.busy = true,
        "dialer" => *script = Some(Role::Dialer),
        "acceptor" => *script = Some(Role::Acceptor),
        other => return Err(format!("`{other}` begins no line here")),
    }
    Ok(())
}

fn limits(words: &mut Words<'_>) -> Read<Limits> {
    let mut limits = Limits::default();
    while !words.is_at_end() {
        match words.next("a limit")? {
            "slots" => limits.slots = words.number("a number of calls")?,
            "message" => limits.message = words.number("a length")?,
            "frame" => limits.frame = words.number("a length")?,
            "window" => limits.window = words.number("a number of bytes")?,
            "silence" => limits.silence = Some(words.duration()?),
            other => return Err(format!("there is no limit `{other}`")),
        }
    }
    limits.config().validate().map_err(|error| error.to_string())?;
    Ok(limits)
}

fn path(words: &mut Words<'_>) -> Read<Path> {
    let mut path = Path::default();
    while !words.is_at_end() {
        match words.next("what the network does")? {
            "piece" => path.piece = words.count()?,
            "delay" => path.delay = words.wait()?,
            "capacity" => path.capacity = words.count()?,
            other => return Err(format!("a network has no `{other}`")),
        }
    }
    Ok(path)
}

fn fault(words: &mut Words<'_>) -> Read<Fault> {
    words.expect("at")?;
    let when = if words.took("deed") {
        let number = words.number("the number of a deed")?;
        words.expect("of")?;
        Trigger::Deed(role(words)?, number)
    } else {
        let bytes = words.number("a number of bytes, or `deed`")?;
        words.expect("bytes")?;
        Trigger::Bytes(towards(words)?, bytes)
    };
    let what = match words.next("what goes wrong")? {
        "cut" => Trouble::Cut,
        "half-close" => Trouble::HalfClose(towards(words)?),
        "stall" => Trouble::Stall(towards(words)?, words.duration()?),
        other => return Err(format!("`{other}` is no trouble: it is cut, half-close or stall")),
    };
    Ok(Fault { when, what })
}

fn deed(words: &mut Words<'_>) -> Read<Deed> {
    Ok(match words.next("a deed")? {
        "abort" => Deed::Abort,
        "await" => Deed::Await,
        "call" => Deed::Call(call(words)?),
        "close" => Deed::Close,
        "drain" => Deed::Drain,
        "drop" => Deed::Drop(words.number("the number of a call")?),
        "idle" => Deed::Idle(words.wait()?),
        "hold" => Deed::Hold,
        "let" => {
            words.expect("go")?;
            Deed::LetGo
        }
        "push" => {
            let (size, lane) = (words.size()?, lane(words));
            Deed::Push(Push { size, lane, dropped: dropped(words)? })
        }
        "restart" => Deed::Restart,
        "see" => Deed::See(words.number("a number of messages")?),
        "wait" => Deed::Wait(words.wait()?),
        other => return Err(format!("there is no deed `{other}`")),
    })
}

fn call(words: &mut Words<'_>) -> Read<Call> {
    let mut call = Call { lane: Lane::Normal, ..Call::new(words.size()?, 0) };
    call.lane = lane(words);
    call.idempotent = words.took("again");
    call.within = if words.took("within") { Some(words.duration()?) } else { None };
    words.expect("->")?;
    call.answer = answer(words)?;
    call.dropped = dropped(words)?;
    Ok(call)
}

fn dropped(words: &mut Words<'_>) -> Read<Option<Dropped>> {
    if !words.took("dropped") {
        return Ok(None);
    }
    words.expect("after")?;
    if words.peek().is_some_and(|word| word.ends_with("ms")) {
        return Ok(Some(Dropped::AfterTime(words.duration()?)));
    }
    let polls = words.number_up_to("a number of polls, or a time", MOST_POLLS)?;
    words.expect("polls")?;
    Ok(Some(Dropped::AfterPolls(polls)))
}

fn answer(words: &mut Words<'_>) -> Read<Answer> {
    let back = if words.took("back") { Some(words.size()?) } else { None };
    let what = match words.next("an answer")? {
        "never" => Answered::Never,
        "panic" => Answered::Panic,
        "reply" => Answered::Reply(words.size()?),
        "status" => match words.number("a status")? {
            code @ 1024.. => Answered::Status(code),
            _ => return Err("statuses of applications begin at 1024".into()),
        },
        other => return Err(format!("`{other}` is no answer: it is never, panic, reply or status")),
    };
    let after = if words.took("after") { words.duration()? } else { Duration::ZERO };
    Ok(Answer { after, back, what })
}

fn lane(words: &mut Words<'_>) -> Lane {
    if words.took("high") {
        Lane::High
    } else if words.took("bulk") {
        Lane::Bulk
    } else {
        Lane::Normal
    }
}

fn towards(words: &mut Words<'_>) -> Read<Role> {
    words.expect("to")?;
    role(words)
}

fn role(words: &mut Words<'_>) -> Read<Role> {
    match words.next("a side")? {
        "acceptor" => Ok(Role::Acceptor),
        "dialer" => Ok(Role::Dialer),
        other => Err(format!("`{other}` is no side: it is dialer or acceptor")),
    }
}

fn bytes(hex: &str) -> Read<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| {
        let pair = str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    pairs.collect::<Option<_>>().ok_or_else(|| format!("`{hex}` is not hexadecimal"))
}

/// The words of one line. Colons and commas behind a word are there for the eye.
struct Words<'a>(Vec<&'a str>);

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        let words = line.split_whitespace().map(|word| word.trim_end_matches([',', ':']));
        Self(words.rev().collect())
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn peek(&self) -> Option<&'a str> {
        self.0.last().copied()
    }

    fn next(&mut self, what: &str) -> Read<&'a str> {
        self.0.pop().ok_or_else(|| format!("{what} is missing"))
    }

    fn took(&mut self, word: &str) -> bool {
        self.0.pop_if(|next| *next == word).is_some()
    }

    fn expect(&mut self, word: &str) -> Read<()> {
        let found = self.next(&format!("`{word}`"))?;
        if found == word { Ok(()) } else { Err(format!("`{word}` is expected, not `{found}`")) }
    }

    fn number<T: FromStr>(&mut self, what: &str) -> Read<T> {
        let word = self.next(what)?;
        word.parse().map_err(|_| format!("`{word}` is not {what}"))
    }

    fn number_up_to(&mut self, what: &str, most: usize) -> Read<usize> {
        match self.number(what)? {
            number if number > most => Err(format!("{number} is too much: {what} is at most {most}")),
            number => Ok(number),
        }
    }

    fn size(&mut self) -> Read<usize> {
        self.number_up_to("a size", LARGEST)
    }

    /// A number that is not 0.
    fn count(&mut self) -> Read<usize> {
        match self.number_up_to("a number of bytes", LARGEST)? {
            0 => Err("it must be at least 1".into()),
            count => Ok(count),
        }
    }

    /// A time that others wait for.
    fn duration(&mut self) -> Read<Duration> {
        self.time_up_to(LONGEST)
    }

    /// A time that the scenario itself takes.
    fn wait(&mut self) -> Read<Duration> {
        self.time_up_to(LONGEST_WAIT)
    }

    fn time_up_to(&mut self, most: u64) -> Read<Duration> {
        let word = self.next("a time")?;
        match word.strip_suffix("ms").and_then(|number| number.parse().ok()) {
            None => Err(format!("`{word}` is no time, such as 20ms")),
            Some(millis) if millis > most => Err(format!("`{word}` is too long: it is at most {most}ms")),
            Some(millis) => Ok(Duration::from_millis(millis)),
        }
    }

    fn end(&self) -> Read<()> {
        self.peek().map_or(Ok(()), |word| Err(format!("`{word}` is too much")))
    }
}
