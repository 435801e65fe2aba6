"""The fragments of the vectors: fed to an endpoint, and sent to the server."""

from __future__ import annotations

from checks_vectors import Entry, each, opened
from codes import ALL_CAPABILITIES, Close, Kind
from events import Event, Failed, Pong, Push, Reply, Request
from harness import Context, check, ensure, equal
from raw import Raw
from wire import Header, frame


def decoded(event: Event) -> dict[str, object]:
    """A message in the words of the vectors."""
    assert isinstance(event, (Push, Reply, Request))
    found: dict[str, object] = {"kind": type(event).__name__.upper(), "code": 0,
                                "lane": int(event.lane), "body": event.body.hex()}
    route = event.status if isinstance(event, Reply) else event.route
    found["route" if isinstance(route, str) else "code"] = route
    return found


def fed(entry: Entry) -> list[Event]:
    endpoint = opened(ALL_CAPABILITIES)
    for text in entry["frames"]:
        endpoint.receive(bytes.fromhex(text), 0.0)
        endpoint.output(0.0)
    return endpoint.take_events()


@check("vectors: fragments", "LW-4.13, LW-6.1, LW-6.7, LW-6.8, LW-6.9, LW-6.10")
def fragments(context: Context) -> None:
    def run(entry: Entry) -> None:
        messages = [event for event in fed(entry) if not isinstance(event, Pong)]
        equal([decoded(event) for event in messages], [entry["decoded"]])

    def run_bad(entry: Entry) -> None:
        events = fed(entry)
        failed = [event.error.code.name for event in events if isinstance(event, Failed)]
        equal(failed, [entry["error"]])
        ensure(not any(isinstance(event, (Push, Reply, Request)) for event in events), "a message")

    each(context.vectors["fragments"], run)
    each(context.vectors["bad_fragments"], run_bad)


@check("server: fragments of the vectors", "LW-4.13, LW-6.7, LW-6.8, LW-6.9, LW-6.10")
def live_fragments(context: Context) -> None:
    def run(entry: Entry) -> None:
        with Raw.open(context.address) as raw:
            raw.send(b"".join(map(bytes.fromhex, entry["frames"])))
            if "error" in entry:
                equal(raw.ending()[1], int(Close[entry["error"]]))
                return
            wanted = entry["decoded"]
            if wanted["kind"] == "REQUEST":
                header, payload = raw.read(Kind.REPLY)
                if wanted.get("route") == "echo":
                    equal((header.code, payload.hex()), (0, wanted["body"]))
                else:
                    equal(header.code, 1, "UNKNOWN_ROUTE")
            raw.send(frame(Kind.PING, b"12345678"))
            while raw.read(Kind.PONG)[1][:8] != b"12345678":
                pass

    def for_server(entry: Entry) -> bool:
        """REPLYs need a call of the receiver's; the credit is what the server's WELCOME says."""
        kind = Header.decode(bytes.fromhex(entry["frames"][0])).kind
        return kind != Kind.REPLY and entry["error"] != "CREDIT_EXCEEDED"

    vectors = context.vectors["fragments"] + context.vectors["bad_fragments"]
    each([entry for entry in vectors if for_server({"error": None, **entry})], run)
