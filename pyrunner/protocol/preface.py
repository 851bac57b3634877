"""The preface: both sides prove that they know the token, in fixed bytes, before any decoder runs.

    client   hello (48)      bridge   challenge (80)
    client   proof (32)      bridge   verdict (1)

Pure: nonces are handed in. The layout is frozen for all versions (PROTOCOL.md section 1).
"""

from __future__ import annotations

import hmac
from enum import IntEnum
from hashlib import sha256

from pyrunner.protocol.frames import Role

MAGIC = b"DSWIRE\r\n"
MAJOR = 1
MINOR = 1
HELLO_SIZE, CHALLENGE_SIZE, PROOF_SIZE, VERDICT_SIZE = 48, 80, 32, 1
NONCE_SIZE = 32
MIN_TOKEN = 16
_SIGNED = 48  # bytes of the challenge that both proofs cover


class Refusal(IntEnum):
    """Why the bridge does not talk to us; 0 is a welcome."""

    NONE = 0
    NOT_THIS_PROTOCOL = 1
    NO_COMMON_VERSION = 2
    UNKNOWN_ROLE = 3
    WRONG_PROOF = 4
    TOO_MANY_CONNECTIONS = 5
    DRAINING = 6
    USER_NOT_ALLOWED = 7


_SENTENCES = {
    Refusal.NOT_THIS_PROTOCOL: "the bridge does not know this protocol",
    Refusal.NO_COMMON_VERSION: f"the bridge and this worker (version {MAJOR}) have no protocol version in common",
    Refusal.UNKNOWN_ROLE: "the bridge does not know this kind of connection",
    Refusal.WRONG_PROOF: "the token is not the bridge's token",
    Refusal.TOO_MANY_CONNECTIONS: "the bridge has too many connections",
    Refusal.DRAINING: "the bridge is draining",
    Refusal.USER_NOT_ALLOWED: "the bridge does not allow this user id",
}
_PASSING = {Refusal.TOO_MANY_CONNECTIONS, Refusal.DRAINING}


class PrefaceError(Exception):
    """No session came about. `refusal` is None when the peer is no bridge of ours; `passing` says that it may be tried again."""

    def __init__(self, reason: str, refusal: Refusal | int | None = None) -> None:
        super().__init__(reason)
        self.refusal = refusal
        self.passing = refusal in _PASSING


def read_token(content: bytes) -> bytes:
    """The token in the content of a token file. Raises ValueError when it is too short to be one."""
    token = content.strip()
    if len(token) < MIN_TOKEN:
        raise ValueError(f"a token has at least {MIN_TOKEN} bytes, this one has {len(token)}")
    return token


def bridge_proof(token: bytes, hello: bytes, challenge: bytes) -> bytes:
    return hmac.digest(token, b"ds-wire bridge" + hello + challenge[:_SIGNED], sha256)


def client_proof(token: bytes, hello: bytes, challenge: bytes) -> bytes:
    return hmac.digest(token, b"ds-wire client" + hello + challenge[:_SIGNED], sha256)


class ClientPreface:
    """The client's side: send `hello`, give the challenge to `prove`, send what it returns, give the verdict to `finish`."""

    def __init__(
        self,
        token: bytes,
        role: Role,
        nonce: bytes,
        *,
        low: int = MAJOR,
        high: int = MAJOR,
        minor: int = MINOR,
    ) -> None:
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"a nonce has {NONCE_SIZE} bytes")
        self._token = token
        self._range = range(low, high + 1)
        self._minor = minor
        self.hello = MAGIC + bytes((low, high, minor, role, 0, 0, 0, 0)) + nonce
        self.version: tuple[int, int] | None = None

    def prove(self, challenge: bytes) -> bytes:
        """The proof to send. Raises PrefaceError when the bridge refuses or is not the one that knows our token."""
        if len(challenge) != CHALLENGE_SIZE or challenge[:8] != MAGIC:
            raise PrefaceError("the peer is not a ds-bridge")
        major, minor = challenge[8], challenge[9]
        _raise_refusal(challenge[10])
        if major not in self._range or minor > self._minor or any(challenge[11:16]):
            raise PrefaceError(f"the bridge chose a version that was not offered: {major}.{minor}")
        if not hmac.compare_digest(challenge[48:], bridge_proof(self._token, self.hello, challenge)):
            raise PrefaceError("the bridge does not know our token")
        self.version = (major, minor)
        return client_proof(self._token, self.hello, challenge)

    def finish(self, verdict: bytes) -> tuple[int, int]:
        """The negotiated version. Raises PrefaceError when the bridge refuses our proof."""
        if self.version is None or len(verdict) != VERDICT_SIZE:
            raise PrefaceError("the bridge closed during the preface")
        _raise_refusal(verdict[0])
        return self.version


def _raise_refusal(code: int) -> None:
    if code == Refusal.NONE:
        return
    if code not in Refusal._value2member_map_:
        raise PrefaceError(f"the bridge refuses with code {code}, which this version does not know", code)
    raise PrefaceError(_SENTENCES[Refusal(code)], Refusal(code))


def challenge(token: bytes, hello: bytes, nonce: bytes) -> tuple[bytes, Refusal]:
    """The bridge's answer to a hello, for test bridges."""
    refusal = _judge(hello)
    if refusal:
        return MAGIC + bytes((MAJOR, MINOR, refusal)) + bytes(CHALLENGE_SIZE - 11), refusal
    head = MAGIC + bytes((MAJOR, min(MINOR, hello[10]), 0, 0, 0, 0, 0, 0)) + nonce
    return head + bridge_proof(token, hello, head), Refusal.NONE


def verdict(token: bytes, hello: bytes, challenge: bytes, proof: bytes) -> Refusal:
    """What a bridge says to a proof."""
    right = hmac.compare_digest(proof, client_proof(token, hello, challenge))
    return Refusal.NONE if right else Refusal.WRONG_PROOF


def _judge(hello: bytes) -> Refusal:
    if len(hello) != HELLO_SIZE or hello[:8] != MAGIC or any(hello[12:16]):
        return Refusal.NOT_THIS_PROTOCOL
    if not hello[8] <= MAJOR <= hello[9]:
        return Refusal.NO_COMMON_VERSION
    return Refusal.NONE if hello[11] in Role._value2member_map_ else Refusal.UNKNOWN_ROLE
