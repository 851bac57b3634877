"""A program with its model behind a scorer: what a worker has before it dials the bridge."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyrunner.client import Calls, Identity
    from pyrunner.project import Project
    from pyrunner.scoring import Scorer

# What a batch of a stream may grow to: by payloads (False), where the objects of more than 1,024 events leave the processor's cache, and by columns.
_GROWN = {False: 1024, True: 4096}
_BATCHES_AHEAD = 4  # the window, in batches: one scored, one on its way, two to balance bridge and model


class Loaded:
    """A program with its model behind a scorer, warm."""

    def __init__(
        self,
        program: str,
        version: str,
        scorer: Scorer,
        window: tuple[int, int],
        *,
        kept: bool,
        describe: bytes,
        concurrency: int = 1,
    ) -> None:
        self.program, self.version, self.scorer, self.window = program, version, scorer, window
        self.kept = kept  # its events stay in a stream
        self.concurrency = concurrency  # batches scored beside each other, which may be answered in any order
        self.describe = describe  # schemas and environment, for HELLO

    @classmethod
    def load(cls, options: argparse.Namespace, project: Project, calls: Calls) -> Loaded:
        from pyrunner.data import Access
        from pyrunner.examples import with_examples
        from pyrunner.program.kinds import kind_of
        from pyrunner.program.models import Batch
        from pyrunner.scoring import Scorer
        from pyrunner.tape.environment import described, environment_of

        access = Access(calls, project.connections)
        if project.program.spec.model_store is not None:
            calls.start()
        trained = project.reaching(access).trained(options.model)
        scorer = Scorer(trained.model, model_version=trained.version, access=access)
        answered = scorer.warm_up(trained.sample)
        command = project.program.command(options.command)
        kept = kind_of(command.name, command.kind or "") != "serve-api"
        grown = _GROWN[scorer.signature.path.plan is not None] if kept else 256
        events, size = (command.batch or Batch()).most(grown)
        abreast = 1 if kept or options.shadow else command.concurrency or 1
        ahead = max(_BATCHES_AHEAD, abreast)
        describe = described(scorer.signature.describe(), environment_of(project.folder, trained))
        if not kept:
            describe = with_examples(describe, scorer.signature, trained.sample, answered)
        return cls(
            options.known_as or project.name,
            trained.version,
            scorer,
            (ahead * events, ahead * max(size, 256 * 1024)),
            kept=kept,
            describe=describe,
            concurrency=abreast,
        )

    def identity(self, options: argparse.Namespace) -> Identity:
        """What the worker says of itself on its connection for events."""
        from pyrunner.client import Identity
        from pyrunner.protocol import Wants

        wants = self.scorer.signature.wants
        if self.concurrency > 1:
            wants |= int(Wants.ANY_ORDER)
        if options.standby:
            wants |= int(Wants.STANDBY)
        return Identity(
            self.program, options.route, options.worker, options.slot, self.version, wants, self.describe
        )
