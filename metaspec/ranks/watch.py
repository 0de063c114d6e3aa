"""Who of several processes has failed, ended or hangs: a TCP connection of each to rank 0, beside the engine.

An engine that reduces arrays tells at best that a connection broke, and blocks at worst. Here every rank says twice a
second whether it computes or waits in a reduction; rank 0 judges and tells all. A rank whose engine raises an error
asks here who is at fault; one that stays blocked in its engine is ended by this thread, with the message.
"""

import json
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

BEAT = 0.5  # seconds between two signs of life
GRACE = 5.0  # seconds for an engine to raise an error of its own, once a failure is known
CONNECT = 30.0
LONGEST = 1 << 16  # bytes of a line
TEXT = 2000  # characters of an error that others are told
EXIT = 3
GO_ON = (
    "Start all ranks again: with checkpoints (metaspec train: --resume --out) training goes on from the newest one, "
    "with any number of ranks"
)


@dataclass
class Peer:
    """The other end of a connection."""

    rank: int
    heard: float = field(default_factory=time.monotonic)
    waits: bool = False
    age: float = 0.0
    calls: int = 0
    left: bool = False
    buffer: bytes = b""


class Watch:
    """The watch of one rank; `peers` are all others in rank 0, and rank 0 in the others.

    Args:
        index: This process's rank.
        count: The number of ranks.
        timeout: Seconds that others wait for a rank before it is said to hang.
        peers: Open connections by what is at their other end.
    """

    def __init__(self, index: int, count: int, timeout: float, peers: dict[socket.socket, Peer]) -> None:
        self.index, self.count, self.timeout = index, count, timeout
        self.failure = ""
        self._peers = peers
        self._since, self._waits, self._calls = time.monotonic(), False, 0
        self._found, self._closing = threading.Event(), threading.Event()
        self._failed_at = 0.0
        self._thread = threading.Thread(target=self._run, name="metaspec-ranks", daemon=True)
        self._thread.start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Mark the time in which this rank waits for the others."""
        self._since, self._waits, self._calls = time.monotonic(), True, self._calls + 1
        try:
            yield
        finally:
            self._since, self._waits = time.monotonic(), False

    def fault(self, patience: float = 0.0) -> str:
        """Return what is known of a failure, after waiting for it up to `patience` seconds; else the empty string."""
        self._found.wait(patience)
        return self.failure

    def leave(self, error: BaseException | None = None) -> None:
        """End the watch: without an error in order, else by telling the others of it."""
        if error is None:
            self._send({"left": True})
        elif not self.failure:
            self._report(self.index, f"failed: {type(error).__name__}: {error}"[:TEXT], quiet=True)
        self._closing.set()
        self._thread.join(2 * GRACE)
        for connection in self._peers:
            connection.close()

    def _run(self) -> None:
        selector, beaten, ends = selectors.DefaultSelector(), 0.0, float("inf")
        for connection in self._peers:
            selector.register(connection, selectors.EVENT_READ, connection)
        while time.monotonic() < ends and selector.get_map():
            for key, _ in selector.select(BEAT / 5 if self._closing.is_set() else BEAT):
                if not self._receive(key.data):
                    selector.unregister(key.data)
                    if self.index == 0 or self._closing.is_set():
                        with suppress(OSError):
                            key.data.shutdown(socket.SHUT_WR)
            now = time.monotonic()
            if self._closing.is_set():
                if ends == float("inf"):  # others read what was sent last, then close
                    ends = now + (GRACE + 2 if self.failure else 2)
                    for connection in self._peers:
                        with suppress(OSError):
                            connection.shutdown(socket.SHUT_WR)
                continue
            if now - beaten >= BEAT:
                self._send({"waits": self._waits, "age": now - self._since, "calls": self._calls})
                beaten = now
            self._judge(now)
        while not self._closing.wait(BEAT):
            self._judge(time.monotonic())

    def _judge(self, now: float) -> None:
        if self.failure:
            if self._waits and now - max(self._failed_at, self._since) > GRACE:
                sys.stdout.flush()
                print(f"error: {self.failure}", file=sys.stderr, flush=True)
                os._exit(EXIT)  # the engine does not return
            return
        present = [peer for peer in self._peers.values() if not peer.left]
        for peer in present:
            if now - peer.heard > self.timeout:
                self._report(peer.rank, f"has given no sign of life for {now - peer.heard:.0f} s: stopped, or cut off")
                return
        if self._waits and not present and now - self._since > self.timeout:
            self._report(0, "has left, and this one waits for it")
        if self.index:
            return
        states = [(0, self._waits, now - self._since, self._calls)]
        states += [(peer.rank, peer.waits, peer.age, peer.calls) for peer in present]
        longest = max((age for _, waits, age, _ in states if waits), default=0.0)
        if longest > self.timeout:
            hanging = [(age, rank) for rank, waits, age, _ in states if not waits and age > self.timeout]
            if hanging:
                age, rank = max(hanging)
                self._report(rank, f"hangs: it computes alone for {age:.0f} s while others wait for it")
            elif all(waits for _, waits, _, _ in states):
                last = min((calls, rank) for rank, _, _, calls in states)
                self._report(last[1], f"is in reduction number {last[0]}, and all wait for {longest:.0f} s")

    def _receive(self, connection: socket.socket) -> bool:
        """Take what has come in; return whether more may come."""
        peer = self._peers[connection]
        try:
            content = connection.recv(LONGEST)
        except OSError:
            content = b""
        peer.heard = time.monotonic()
        *lines, peer.buffer = (peer.buffer + content).split(b"\n")
        for line in lines:
            self._take(peer, json.loads(line))
        if not content and not peer.left and not self._closing.is_set():
            self._report(peer.rank, "has ended: it was killed, or ran out of memory; its own output may say why")
        return bool(content) and len(peer.buffer) < LONGEST

    def _take(self, peer: Peer, message: dict[str, Any]) -> None:
        peer.left = peer.left or bool(message.get("left"))
        peer.waits, peer.age = message.get("waits", peer.waits), message.get("age", peer.age)
        peer.calls = message.get("calls", peer.calls)
        if "failed" in message:
            self._report(int(message["failed"]), str(message["what"]))

    def _report(self, rank: int, what: str, *, quiet: bool = False) -> None:
        if self.failure:
            return
        self._failed_at = time.monotonic()
        self.failure = f"rank {rank} of {self.count} {what}. {GO_ON}"
        if not self.index or quiet:
            self._send({"failed": rank, "what": what})
        self._found.set()

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message).encode() + b"\n"
        for connection in self._peers:
            with suppress(OSError):  # its end is seen where it is read
                connection.sendall(line)


def listening(local: bool) -> tuple[socket.socket, dict[str, Any]]:
    """Return rank 0's listening socket and its address: on the loopback interface where all ranks are `local`."""
    listener = socket.create_server(("127.0.0.1" if local else "", 0), backlog=4096)
    names = ["127.0.0.1"] if local else [socket.getfqdn(), socket.gethostname()]
    return listener, {"hosts": names, "port": listener.getsockname()[1], "token": secrets.token_hex(16)}


def accepted(listener: socket.socket, token: str, count: int) -> dict[socket.socket, Peer]:
    """Return the connections of the ranks that have come within the time that they are given."""
    found: dict[socket.socket, Peer] = {}
    deadline = time.monotonic() + CONNECT
    while len(found) < count - 1 and (left := deadline - time.monotonic()) > 0:
        listener.settimeout(left)
        with suppress(OSError, ValueError, KeyError, TypeError):  # whoever else calls
            connection, _ = listener.accept()
            connection.settimeout(GRACE)
            said = json.loads(connection.makefile("rb").readline(200))
            if secrets.compare_digest(str(said["token"]), token):
                found[connection] = Peer(int(said["rank"]))
    listener.close()
    return found


def connected(address: dict[str, Any], index: int) -> dict[socket.socket, Peer]:
    """Return the connection to rank 0; empty where it cannot be reached."""
    for host in address["hosts"]:
        with suppress(OSError):
            connection = socket.create_connection((host, address["port"]), timeout=GRACE)
            connection.sendall(json.dumps({"rank": index, "token": address["token"]}).encode() + b"\n")
            return {connection: Peer(0)}
    return {}
