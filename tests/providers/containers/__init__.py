"""Servers as containers, by testcontainers."""

from .kinds import KINDS

__all__ = ["KINDS"]
