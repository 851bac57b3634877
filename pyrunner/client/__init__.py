"""The thin coat around `pyrunner.protocol`: sockets, waiting and dialling again.

`sockets` makes a socket that user code does not trip over, `connection` reads and writes frames on it, `dialler` opens one
again and again until it stands, `calls` and `control` ask the bridge things and wait for its answers.
"""

from pyrunner.client.calls import Calls
from pyrunner.client.connection import Connection, Identity, LinkLost
from pyrunner.client.control import ControlClient
from pyrunner.client.dialler import Backoff, Dialler
from pyrunner.client.pending import CallError, TooLate, Unreachable

__all__ = [
    "Backoff",
    "CallError",
    "Calls",
    "Connection",
    "ControlClient",
    "Dialler",
    "Identity",
    "LinkLost",
    "TooLate",
    "Unreachable",
]
