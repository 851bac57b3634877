"""The processes that hold models: a parent that never loads one, and N workers that each hold one.

`Supervisor` (the parent) spawns workers, names the causes of their deaths, ends those that the bridge cuts, and starts new
ones. `worker` is what a spawned process runs: load, dial, score until told to drain. DELIVERY order and leases are the
bridge's; nothing here decides an event's fate.
"""

from pyrunner.runtime.specs import WorkerEvent, WorkerSpec
from pyrunner.runtime.supervisor import Supervisor

__all__ = ["Supervisor", "WorkerEvent", "WorkerSpec"]
