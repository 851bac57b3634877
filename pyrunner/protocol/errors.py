"""Whose fault a broken conversation is."""

from __future__ import annotations

from pyrunner.protocol.frames import ByeCode


class ProtocolError(Exception):
    """The peer's fault. The connection ends with BYE `code` and this reason."""

    def __init__(self, code: ByeCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class DecodeError(ProtocolError):
    """The peer sent bytes that are no frame: malformed (code 1), over a limit (2) or of an unknown type (5)."""


def malformed(reason: str) -> DecodeError:
    return DecodeError(ByeCode.MALFORMED, reason)


def over_limit(reason: str) -> DecodeError:
    return DecodeError(ByeCode.LIMIT, reason)


class LocalError(Exception):
    """Our fault: a frame that the state does not allow was about to be sent. Nothing was sent."""
