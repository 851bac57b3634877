"""One connection: frames from and to a socket, by one thread at a time in each direction."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from dataclasses import dataclass

from pyrunner.client import sockets
from pyrunner.protocol import (
    Bye,
    ByeCode,
    ClientPreface,
    Frame,
    Hello,
    PrefaceError,
    ProtocolError,
    Role,
    Session,
    Welcome,
)
from pyrunner.protocol.codec import check_length
from pyrunner.protocol.frames import MAX_FRAME
from pyrunner.protocol.preface import CHALLENGE_SIZE, NONCE_SIZE, VERDICT_SIZE

PREFACE_TIMEOUT = 5.0
_STEP = 1024 * 1024  # memory taken ahead of the bytes of a large frame


class LinkLost(ConnectionError):
    """The connection has ended: end of file, an error of the socket, a goodbye, or a peer that broke the rules."""

    def __init__(self, reason: str, bye: Bye | None = None) -> None:
        super().__init__(reason)
        self.bye = bye


@dataclass(frozen=True)
class Identity:
    """Who dials: the fields of HELLO."""

    program: str = ""
    command: str = ""
    worker: str = ""
    slot: int = 0
    model: str = ""
    wants: int = 0
    describe: bytes = b""
    max_frame: int = MAX_FRAME

    def hello(self) -> Hello:
        return Hello(
            self.program,
            self.command,
            self.worker,
            self.slot,
            os.getpid(),
            _sdk_version(),
            self.model,
            self.wants,
            self.max_frame,
            self.describe,
        )


class Connection:
    """A greeted connection. Blocking; not safe from two threads without a lock around `session` and `send`."""

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.session = session
        self._sock = sock
        self._header = memoryview(bytearray(4))
        self._have = 0
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    @classmethod
    def open(
        cls, address: str, token: bytes, role: Role, identity: Identity, timeout: float = PREFACE_TIMEOUT
    ) -> Connection:
        """Dial, prove, greet. Raises OSError, PrefaceError or LinkLost; the socket is then closed."""
        sock = sockets.connect(address, timeout)
        try:
            minor = _preface(sock, token, role)
            connection = cls(sock, Session(role, minor))
            connection._greet(identity)
            sock.settimeout(None)
            return connection
        except BaseException:
            sock.close()
            raise

    @property
    def welcome(self) -> Welcome:
        assert self.session.welcome is not None
        return self.session.welcome

    def fileno(self) -> int:
        return self._sock.fileno()

    def watch(self, descriptor: int) -> None:
        """Let `receive` return when this descriptor becomes readable, too."""
        self._poll.register(descriptor, select.POLLIN)

    def receive(self, timeout: float | None = None) -> Frame | None:
        """The next frame, None when the time is over, a watched descriptor is readable, or a frame was to be skipped.

        Raises LinkLost when the connection has ended; a peer that broke a rule was told so.
        """
        body = self.receive_body(timeout)
        return None if body is None else self.accept(body)

    def receive_body(self, timeout: float | None = None) -> bytearray | None:
        """Like `receive`, without looking at the frame: what one thread may do while another holds the session."""
        try:
            if not self._read_header(timeout):
                return None
            self._have = 0
            return self._read(check_length(self._header, self.session.max_frame))
        except ProtocolError as error:
            raise self.broken(error) from None
        except OSError as error:
            raise self.lost(str(error)) from None

    def accept(self, body: bytearray) -> Frame | None:
        """The frame in a body. Raises LinkLost for a goodbye and for a peer that broke a rule."""
        try:
            frame = self.session.receive(body)
        except ProtocolError as error:
            raise self.broken(error) from None
        if isinstance(frame, Bye):
            self.close()
            raise LinkLost(_farewell(frame), frame)
        return frame

    def send(self, data: bytes | bytearray) -> None:
        """All of it. Raises LinkLost."""
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise self.lost(str(error)) from None

    def close(self, code: ByeCode = ByeCode.DONE, reason: str = "", *, goodbye: bool = False) -> None:
        """Close at once, with a goodbye where it can still be said."""
        if goodbye and self._sock.fileno() >= 0:
            self._say(code, reason)
        with contextlib.suppress(OSError):  # user code may have closed the descriptor
            self._sock.close()

    def lost(self, reason: str) -> LinkLost:
        self.close()
        return LinkLost(reason)

    def _greet(self, identity: Identity) -> None:
        self.send(self.session.hello(identity.hello()))
        while self.session.welcome is None:
            self.receive(PREFACE_TIMEOUT)

    def _read_header(self, timeout: float | None) -> bool:
        """Whether the header is complete. What is read of it stays when the wait is broken off."""
        while self._have < 4:
            try:
                flags = 0 if self._sock.gettimeout() else socket.MSG_DONTWAIT
                got = self._sock.recv_into(self._header[self._have :], 0, flags)
            except BlockingIOError:
                ready = self._poll.poll(None if timeout is None else timeout * 1000)
                if not any(descriptor == self._sock.fileno() for descriptor, _ in ready):
                    return False
                continue
            if not got:
                raise ConnectionResetError("the bridge closed the connection")
            self._have += got
        return True

    def _read(self, length: int) -> bytearray:
        """A body in a buffer of its own, which grows with the bytes received."""
        body = bytearray(min(length, _STEP))
        have = 0
        while have < length:
            if have == len(body):
                body.extend(bytes(min(length - have, len(body))))
            with memoryview(body) as view:
                got = self._sock.recv_into(view[have:])
            if not got:
                raise ConnectionResetError("the bridge closed the connection within a frame")
            have += got
        return body

    def broken(self, error: ProtocolError) -> LinkLost:
        """Tell a peer that broke a rule, and close: what to raise."""
        self._say(error.code, error.reason)
        return self.lost(f"the bridge broke the protocol: {error.reason}")

    def _say(self, code: ByeCode, reason: str) -> None:
        try:
            self._sock.settimeout(1.0)
            self._sock.sendall(self.session.goodbye(code, reason))
        except OSError:
            pass  # the other side is gone already


def _preface(sock: socket.socket, token: bytes, role: Role) -> int:
    """The negotiated minor version."""
    preface = ClientPreface(token, role, os.urandom(NONCE_SIZE))
    sock.sendall(preface.hello)
    sock.sendall(preface.prove(_read_exactly(sock, CHALLENGE_SIZE)))
    return preface.finish(_read_exactly(sock, VERDICT_SIZE))[1]


def _read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise PrefaceError("the peer closed the connection during the preface")
        data += part
    return data


def _farewell(bye: Bye) -> str:
    known = ByeCode(bye.code).name.lower() if bye.code in ByeCode._value2member_map_ else f"code {bye.code}"
    return f"the bridge said goodbye: {known}{': ' + bye.reason if bye.reason else ''}"


def _sdk_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ds-runner")
    except PackageNotFoundError:
        return "0"
