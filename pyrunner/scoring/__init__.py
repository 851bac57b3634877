"""Scoring: one model behind one codec, which every way in calls (stream, API, replay, batch, predict, tests).

    payloads -> decode.py -> events -> containers -> the model -> outcomes -> layout.py -> verify.py -> lines

`Scorer` (scorer.py) is the whole of it. On its hot path nothing is done per event in Python but one compiled loop that checks the
outputs; whatever goes wrong leaves that path: a payload that does not decode is recovered alone (decode.py), an exception or an
answer of the wrong shape splits the batch until the culprit is alone (isolate.py).
"""

from pyrunner.meta import Meta
from pyrunner.scoring.failures import FAIL, REJECT, RETRY, RowError, Surroundings
from pyrunner.scoring.scorer import Scored, ScoredEvents, Scorer
from pyrunner.signature import Signature, read_signature

__all__ = [
    "FAIL",
    "REJECT",
    "RETRY",
    "Meta",
    "RowError",
    "Scored",
    "ScoredEvents",
    "Scorer",
    "Signature",
    "Surroundings",
    "read_signature",
]
