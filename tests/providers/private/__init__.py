"""A container engine of our own, for machines where none runs: CI that is a root shell on Debian and nothing more.

    python -m tests.providers engine -- COMMAND      runs COMMAND with DS_PROVIDER=container

Where an engine answers already it is taken, with the official images. Otherwise one is installed from Debian's packages
and started for the command's time, below a temporary folder, without touching the machine's packet filter; its images
are made of this machine's own programs and understand what the official ones do, so nothing is pulled.
"""

from .command import under_engine

__all__ = ["under_engine"]
