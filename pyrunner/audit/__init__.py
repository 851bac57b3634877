"""The audit: does a route keep its promise while its parts are killed?

    route    whose way is audited: the user's connections, our topics, our model (model)
    pod      one bridge and one runner, whose parts can be killed; parts kills them
    producer, reader    numbered events in, results and dead letters out, counted in the ledger
    promise  what the route promises, and whether the ledger keeps it
    run      puts these together; report shows what came of it

`ds-runner audit` is this with a command line; the project's own fault tests call it, too.
"""

from pyrunner.audit.ledger import Ids, Tally, Verdict
from pyrunner.audit.pod import Disorderly, Pod
from pyrunner.audit.producer import Flow
from pyrunner.audit.promise import Promise, promise_of
from pyrunner.audit.route import Place, Route, embedded_route, route_of
from pyrunner.audit.run import Outcome, Plan, audit

__all__ = [
    "Disorderly",
    "Flow",
    "Ids",
    "Outcome",
    "Place",
    "Plan",
    "Pod",
    "Promise",
    "Route",
    "Tally",
    "Verdict",
    "audit",
    "embedded_route",
    "promise_of",
    "route_of",
]
