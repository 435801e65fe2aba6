//! The longer texts of `--help`. Those who change an exit code change them too.

pub(super) const ALL: &str = "\
Exit codes:
  0    all went well
  1    a call failed, no ping was answered, or not as much came as was asked for
  2    the arguments make no sense
  3    cannot connect, or cannot listen
  4    the connection was lost, or drained, before all was done
  5    standard input or output does not work, or the system lacks something
  130  a second Ctrl-C cut the end short

Try it:
  lw serve 127.0.0.1:7000 &
  lw call 127.0.0.1:7000 echo hello
  seq 200000 | lw call 127.0.0.1:7000 echo - | tail -1
  lw listen 127.0.0.1:7000 --count 1 &
  lw push 127.0.0.1:7000 chat 'hello, all'
  lw ping 127.0.0.1:7000 -c 3
  lw bench 127.0.0.1:7000 --rate 10k --report latency.html

`lw help COMMAND` says more, and `lw man COMMAND` says it as a manual page.";

pub(super) const SERVE: &str = "\
Routes:
  echo   the body back
  time   the time as text: seconds since 1970, with milliseconds
  sleep  an answer after the time that the body says: 250ms, 1.5s, 2m, or
         plain milliseconds; at most 1h
  chat   a push goes on to all who are connected, its sender included; so does
         a call, and its answer is how many got it

Examples:
  lw serve 127.0.0.1:7000
  lw serve [::1]:0 --verbose
  lw serve 0.0.0.0:7000 --max-connections 1000 --max-message 64K
  lw serve 0.0.0.0:7000 --idle 10m --max-age 24h --drain 2m

Exit codes:
  0 ended in good order, 2 wrong arguments, 3 cannot listen, 5 the system lacks
  something, 130 a second Ctrl-C or SIGTERM cut the end short";

pub(super) const CALL: &str = "\
One call:
  The answer goes to standard output byte by byte. Only on a terminal a newline
  is added if it ends without one. A failure is one line on standard error,
  which says whether the server may have run the call.

One call for each line (BODY is -):
  Answers are printed one per line, in the order of the input, with up to
  --concurrency calls in flight. A line is bytes, without its newline; an empty
  line is an empty body; the last line needs no newline. Answers are printed as
  they are, so one that contains newlines takes several lines.

  The first failure ends it: the answers before it have been printed, the line
  is named on standard error, and the exit code is 1. Lines behind it that were
  in flight may have been run. With --keep-going each failed line is named on
  standard error and an empty line stands in its place, so that answer n
  belongs to line n; the exit code is 1 at the end. A line longer than
  --max-message, or than the server takes, is such a failure.

  Memory does not depend on the length of the input. No further lines are sent
  while 4 MiB of them are in flight, or while 64 MiB of answers as long as the
  longest so far could come; a slow reader of the answers slows the calls down.
  One that has read enough (| head) ends it quietly.

When the connection is lost:
  A server that cannot be reached at the start is an error at once, unless
  --retry or --retry-max-time says how long to try. So is one that is lost
  during a single call.

  Lines are different. When their connection is lost, or its server drains
  because it wants to end, the tool connects again, for as long as --retry and
  --retry-max-time say: for 60 s unless one of them is given. Lines that were
  certainly not run are sent again by themselves. One that may have been run
  without an answer is not, unless --idempotent says that this does no harm: it
  ends the run with exit code 4, or is one of the failures that --keep-going
  goes on after. Standard error says how many lines were answered, may have
  been run, and were not sent. --deadline does not pass while there is no
  connection.

  With --retry 0 any lost connection ends it with exit code 4.

--json:
  One object per line:
    {\"line\":1,\"body\":\"hello\"}
    {\"line\":2,\"error\":\"BAD_REQUEST: ...\",\"status\":\"BAD_REQUEST\",
     \"may_have_run\":false}
  `line` is the line of the input, and absent from a single call. A body that is
  no UTF-8 is `body_hex`, as hexadecimal digits. `status` is there if the server
  has answered so. `may_have_run` says whether calling again could do the work
  twice. A line without an object was not called.

Examples:
  lw call 127.0.0.1:7000 time
  lw call 127.0.0.1:7000 sleep 250ms --deadline 1s
  lw call 127.0.0.1:7000 chat 'hello, all'
  lw call 127.0.0.1:7000 echo -- -v            # a body that looks like an option
  lw call example.org:7000 7 '{\"id\":1}' > answer.json
  lw call 127.0.0.1:7000 time --retry 5        # to a server that is just starting
  seq 200000 | lw call 127.0.0.1:7000 echo -
  seq 200000 | lw call 10.0.0.1:7000,10.0.0.2:7000 echo - --idempotent
  lw call 127.0.0.1:7000 sleep - -k -c 1000 < times | paste times -

Exit codes:
  0 all answered, 1 a call failed, 2 wrong arguments, 3 cannot connect,
  4 connection lost or draining, 5 standard input or output does not work";

pub(super) const PUSH: &str = "\
A push has no answer. Exit code 0 says that all of them were sent and that the
connection was closed in good order behind them; what the server made of them,
nobody says. A lost connection is exit code 4: some pushes may not have arrived.
They are not sent again, since those that did arrive would be there twice.

A server that cannot be reached at the start is an error at once, unless --retry
or --retry-max-time says how long to try.

With - each line of standard input is a push: bytes, without the newline. A
server that is slow to take them slows the reading down.

Examples:
  lw push 127.0.0.1:7000 chat 'hello, all'
  tail -f log | lw push 127.0.0.1:7000 chat -

Exit codes:
  0 all were sent, 1 a push was refused, 2 wrong arguments,
  3 cannot connect, 4 connection lost, 5 standard input does not work";

pub(super) const LISTEN: &str = "\
Pushes are printed as they are, each with a newline behind it. When the
connection is lost, the tool connects again, for ever unless --retry or
--retry-max-time is given. What the server sends meanwhile is missed. A server
that cannot be reached at the start is an error at once, unless one of the two
says how long to try (--retry-max-time never: for ever).

It ends at Ctrl-C, after --count pushes, after --for TIME, or quietly when
nobody reads its output any more (| head).

--json:
  One object per line:
    {\"time\":1700000000.123,\"route\":\"chat\",\"body\":\"hello\"}
  `time` is when it came, in seconds since 1970. `route` is a string, or a number
  if it is one. A body that is no UTF-8 is `body_hex`, as hexadecimal digits.

Examples:
  lw listen 127.0.0.1:7000
  lw listen 10.0.0.1:7000,10.0.0.2:7000 --verbose >> pushes
  lw listen 127.0.0.1:7000 --json | jq -r .body
  lw listen 127.0.0.1:7000 --count 1 --for 10s

Exit codes:
  0 ended as it was asked to, 1 fewer than --count came within --for, 2 wrong
  arguments, 3 cannot connect, 4 connection lost and not regained, 5 standard
  output does not work";

pub(super) const PING: &str = "\
The times are those of whole calls: through the connection, to the handler, and
back. The first one begins when the connection is open.

It goes on when the connection is lost, and before there ever was one, for ever
unless --retry or --retry-max-time is given. A call without an answer is lost:
because of a lost connection, because there is none, or because of -W. What is
still under way at Ctrl-C is not counted.

At the end stand the statistics: calls that were sent (or could not be), answered
and lost, connections that were lost, and the least, average and greatest time
with its standard deviation.

--json:
  One object per call, in the order in which they end, and a last one:
    {\"seq\":1,\"time_ms\":0.214}
    {\"seq\":2,\"time_ms\":0.190,\"status\":\"UNKNOWN_ROUTE\"}
    {\"seq\":3,\"error\":\"the deadline passed\"}
    {\"sent\":3,\"answered\":2,\"lost\":1,\"connections_lost\":0,\"min_ms\":0.190,
     \"avg_ms\":0.202,\"max_ms\":0.214,\"mdev_ms\":0.012}
  Without an answer the times are absent from the last one.

Examples:
  lw ping 127.0.0.1:7000
  lw ping 127.0.0.1:7000 -c 100 -i 10ms --quiet
  lw ping example.org:7000 time -W 500ms

Exit codes:
  0 there was an answer, 1 there was none, 2 wrong arguments, 4 connection lost
  or not made, and given up, 5 standard output does not work";

pub(super) const BENCH: &str = "\
Two ways to load a server:
  Without --rate each answer is followed by the next call, with --in-flight
  calls at a time on each connection. That shows how much the server can do. It
  does not show how long people wait: when the server is slow, fewer calls are
  made, and the slowness is hardly seen.

  With --rate the time at which each call is due is fixed before the run, and
  latency counts from that time, whether the call could be sent then or not. So
  a server that stands still for a second is seen with all the calls of that
  second (there is no \"coordinated omission\", see Gil Tene, \"How NOT to Measure
  Latency\", and wrk2). Calls of one connection go out in turn with those of the
  others, on any that has room. A call waits at most --timeout for its answer,
  counted from when it was due, and then fails as `timed out`, or as `timed out
  before it was sent`. Beyond --max-backlog calls that wait to be sent, further
  ones fail as `backlog full`. All of them are in the report: calls due are
  those answered, failed and not waited for.

  Calls that are due within 50 us of each other may leave together, where the
  system has timers that are so exact (Linux); elsewhere it is 1 ms. That wait is
  part of their latency.

What is measured:
  A call counts if it was due after --warm-up. After --duration no further calls
  are made, and those in flight or due are waited for; their latencies count,
  but they are no throughput. Latencies are those of answered calls, kept with
  three digits. Throughput in bytes is that of bodies.

  Bodies of neighbouring calls differ (there are 64, or as many as fit into
  4 MiB), and --check compares answers with them: one that is not what was sent is
  a `wrong answer`.

  Times on processors and memory are those of lw and, if it is on this machine
  and may be looked at, of the process that listens at the address (Linux);
  100 % is one processor. Where both share a machine, they take it from each
  other. Notes say when a thread of lw was always busy, or had to wait.

When connections are lost:
  Calls in flight fail as `connection lost`. The connection is made again, for as
  long as --retry and --retry-max-time say: for 10 s unless one of them is given.
  A run that has no connection left ends, with exit code 4. A server that cannot
  be reached at the start is an error at once, unless one of the two says how
  long to try.

  At Ctrl-C no further calls are made, those in flight get 1 s, and what has been
  measured is reported. A second Ctrl-C does not wait.

--json:
  One object, on one line. Times have their units in their names, numbers that
  are not known are null:
    tool, began_unix_s, settings{...}
    end            duration, count, interrupted or connection lost; then there is
                   end_reason
    measured_s     how long calls were made; total_s: until the last one ended
    calls          {due, answered, failed, abandoned}
    throughput     {calls_per_s, sent_bytes_per_s, received_bytes_per_s}
    latency        {min_us, mean_us, stdev_us, p50_us, p75_us, p90_us, p99_us,
                   p99_9_us, p99_99_us, max_us}
    distribution   [{us, percentile, calls_up_to}]
    errors         [{kind, count, example}], the most frequent first
    connections    {made, lost, drained, attempts_in_vain, given_up, last_reason}
    client         {cpu_user_s, cpu_system_s, cpu_percent, cpu_us_per_call,
                   peak_memory_bytes}
    servers        [the same, and pid, name, has_ended]
    intervals      [{begin_s, length_s, answered, failed, p50_us, p99_us, max_us}]
    notes          [what whoever reads the numbers should know]

Examples:
  lw bench 127.0.0.1:7000
  lw bench 127.0.0.1:7000 --in-flight 128 --warm-up 2s
  lw bench 127.0.0.1:7000 --connections 100 --rate 20k --duration 1m
  lw bench 127.0.0.1:7000 --rate 5k --arrivals poisson --report latency.html
  lw bench 127.0.0.1:7000 --size 64KiB --in-flight 8 --count 100000
  lw bench 127.0.0.1:7000 --route sleep --body 20ms --in-flight 100
  lw bench 10.0.0.1:7000,10.0.0.2:7000 -c 64 -i 16 --json | jq .latency

Exit codes:
  0 all calls were answered, 1 a call failed, 2 wrong arguments, 3 cannot
  connect, 4 all connections lost and not regained, 5 a report cannot be written
  or the system lacks something, 130 a second Ctrl-C cut the end short";

pub(super) const COMPLETION: &str = "\
Examples:
  lw completion bash > ~/.local/share/bash-completion/completions/lw
  lw completion fish > ~/.config/fish/completions/lw.fish
  lw completion zsh > ~/.zfunc/_lw      # with fpath+=~/.zfunc before compinit";

pub(super) const MAN: &str = "\
Examples:
  lw man | man -l -
  lw man call > ~/.local/share/man/man1/lw-call.1";
