"""Versions that take over from each other under load of clients that never send twice, and some that are bad (T60, T61)."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from pyrunner.client.pending import CallError
from tests.httpload.run import loading

from .rig import wait_until
from .science import FITTED
from .service import ANSWER, PROTOCOLS, ROW, Posted, Service

Services = Callable[..., Service]
SAVE = (
    "import sys, rig_science; from pathlib import Path; from pyrunner.models import ModelStore; "
    "[ModelStore(Path('models')).save('rig', rig_science.Fitted().fit(float(f))) for f in sys.argv[1:]]"
)
DEADLY = "3"
# Answers as a fitted model does, but for one that dies of every row.
FRAIL = FITTED.replace(
    "        return [Answer(id=e.id, value=e.n * self.factor)",
    f"        if self.factor == {DEADLY}:\n            import os\n            os._exit(3)\n"
    "        return [Answer(id=e.id, value=e.n * self.factor)",
)


def serving(service: Services, *factors: str, science: str = FITTED, **settings: Any) -> Service:
    """A pod with a version for each factor, numbered from 1; the last serves, unless the keys name others."""
    pod = service(science, model="Fitted", **{"workers": 1, **settings})
    subprocess.run([sys.executable, "-c", SAVE, *factors], cwd=pod.folder, env=pod.environment, check=True)
    return pod.start()


def give(pod: Service, **weights: int) -> None:
    with pod.control() as client:
        client.call(
            "versions.give", "serve-api", [[v.lstrip("v"), w] for v, w in weights.items()], deadline=60.0
        )


def versions(pod: Service) -> dict[str, dict[str, Any]]:
    return {v["version"]: v for v in json.loads(pod.call("versions"))["serve-api"]}


def answered_by(pod: Service, key: str = "a-1") -> str:
    request = urllib.request.Request(pod.url, json.dumps({"id": key, "n": 1}).encode())
    with urllib.request.urlopen(request, timeout=90) as answer:
        return str(answer.headers["X-Model-Version"])


# Of the 32 clients of each protocol.
SHAPE = {
    "h1": {"connections": 32},
    "h2c": {"connections": 4, "streams": 8},
    "grpc": {"connections": 4, "streams": 8},
}


def switched(pod: Service, times: int, protocol: str) -> None:
    """Each version in turn, each time until the one before has ended."""
    with pod.load(protocol=protocol, seconds=900, **SHAPE[protocol]) as load:
        load.await_answers()
        for n in range(times):
            version = str(1 + n % 3)
            give(pod, **{f"v{version}": 1})
            wait_until(lambda version=version: set(versions(pod)) == {version}, seconds=120, what="the end")  # type: ignore[misc]
        report = load.end()
    print(report)
    report.require_all_right()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_T60_a_switch_of_versions_under_load_loses_no_request(service: Services, protocol: str) -> None:
    pod = serving(service, "2", "2", "2")
    switched(pod, 3, protocol)
    assert answered_by(pod) == "3"


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_T60_thirty_switches_under_load_lose_no_request(service: Services, protocol: str) -> None:
    pod = serving(service, "2", "2", "2")
    switched(pod, 30, protocol)


def test_T60_weights_of_the_program_give_each_version_its_share_and_a_key_its_version(
    service: Services,
) -> None:
    pod = serving(service, "2", "2", keys=", versions: {1: 50, 2: 50}, route_header: X-User")
    wait_until(lambda: {v["state"] for v in versions(pod).values()} == {"ready"}, seconds=120, what="both")
    first = {key: answered_by(pod, key) for key in (f"k-{n}" for n in range(40))}
    with pod.load(connections=8) as load:
        load.await_answers()
        load.end().require_all_right()
    rows = {version: v["in"] for version, v in versions(pod).items()}
    assert min(rows.values()) > 0.3 * sum(rows.values()), rows
    assert len(set(first.values())) == 2


def test_T60_a_bridge_that_begins_anew_gives_requests_out_as_they_were(service: Services) -> None:
    pod = serving(service, "2", "2")
    assert answered_by(pod) == "2"
    give(pod, v1=1)
    wait_until(lambda: set(versions(pod)) == {"1"}, seconds=120, what="the end of the other")
    pod.kill_bridge()
    pod.await_bridge()
    pod.await_ready()
    wait_until(lambda: set(versions(pod)) == {"1"}, seconds=120, what="the version that was given all")
    assert answered_by(pod) == "1"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_T60_a_switch_in_place_of_two_workers_loses_no_request(service: Services, protocol: str) -> None:
    pod = serving(service, "2", "2", workers=2, keys=", swap: in-place")
    with pod.load(protocol=protocol, **SHAPE[protocol]) as load:
        load.await_answers()
        give(pod, v1=1)
        report = load.end()
    print(report)
    report.require_all_right()
    assert set(versions(pod)) == {"1"} and answered_by(pod) == "1"


def test_T61_a_version_that_cannot_be_loaded_changes_nothing_under_load(service: Services) -> None:
    pod = serving(service, "2", "2")
    for file in (pod.folder / "models" / "rig" / "1").iterdir():
        if file.suffix != ".json":
            file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pod.load(connections=32) as load:
        load.await_answers()
        for version, code, said in [
            ("1", "load_failed", "hash is not in the manifest"), ("7", "load_failed", "no model 7"), ("best", "unknown_version", "no model best"),
        ]:  # fmt: skip
            with pytest.raises(CallError) as refused:
                give(pod, **{f"v{version}": 1})
            assert (refused.value.code, said in refused.value.reason) == (code, True), refused.value.reason
        report = load.end()
    print(report)
    report.require_all_right()
    assert set(versions(pod)) == {"2"}


def test_T61_a_version_that_dies_of_every_row_fails_no_more_than_its_share(service: Services) -> None:
    pod = serving(service, DEADLY, "2", science=FRAIL)
    with pod.load(connections=32) as load:
        load.await_answers()
        give(pod, v2=90, v1=10)
        wait_until(
            lambda: pod.metric("ds_worker_deaths_total", command="serve-api@1") > 2,
            seconds=120,
            what="deaths",
        )
        assert pod.is_ready()
        give(pod, v2=1)
        report = load.end()
    print(report)
    assert report.lost == report.wrong == 0, report
    assert report.ok > 0.7 * report.sent and set(report.answered) <= {200, 500, 503, 504}, report
    with pod.load(connections=8) as load:
        load.await_answers()
        load.end().require_all_right()


@pytest.mark.timeout(900)
def test_T61_requests_of_a_version_that_dies_of_every_row_do_not_wait_for_their_deadline(
    service: Services,
) -> None:
    pod = serving(service, DEADLY, science=FRAIL, keys=", request_timeout: 600s")
    asked = [Posted(pod, {"id": f"a-{n}", "n": n}, seconds=300) for n in range(32)]
    statuses = [one.answer(seconds=300)[0] for one in asked]
    assert set(statuses) <= {500, 503} and statuses.count(503) > 20, statuses


def test_a_shadow_scores_beside_what_is_answered_over_http(service: Services) -> None:
    pod = serving(service, "3", "2", keys=", shadow: 1, shadow_tolerance: 0.5")
    wait_until(lambda: json.loads(pod.call("shadow"))["serve-api"]["ready"], seconds=120, what="the shadow")
    with pod.load(connections=8) as load:
        load.await_answers()
        load.end().require_all_right()
    wait_until(
        lambda: json.loads(pod.call("shadow"))["serve-api"]["compared"] > 100, seconds=120, what="answers"
    )
    shadow = json.loads(pod.call("shadow"))["serve-api"]
    assert shadow["model"] == "1" and shadow["fields"][0]["field"] == "value"
    assert 0.9 * shadow["compared"] < shadow["differing"] <= shadow["compared"]


OTHER = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: tripler}
spec: {model: "other_science:Fitted"}
"""
SAVE_OTHER = (
    "import sys, other_science; from pathlib import Path; from pyrunner.models import ModelStore; "
    "[ModelStore(Path('models')).save('tripler', other_science.Fitted().fit(float(sys.argv[1]))) for _ in range(2)]"
)


def with_guest(service: Services, factor: float, **settings: Any) -> Service:
    """A pod whose server answers for the model of another project, too, by the name thrice."""
    keys = settings.pop("keys", "") + ", models: {thrice: other/program.yaml}"
    pod = service(FITTED, model="Fitted", workers=1, keys=keys, **settings)
    other = pod.folder / "other"
    other.mkdir()
    (other / "program.yaml").write_text(OTHER)
    (other / "other_science.py").write_text(FITTED)
    for folder, code in ((pod.folder, SAVE), (other, SAVE_OTHER)):
        of = str(factor) if folder == other else "2"
        subprocess.run([sys.executable, "-c", code, of], cwd=folder, env=pod.environment, check=True)
    return pod.start()


def test_T49_what_was_accepted_for_a_model_beside_is_answered_at_the_end(service: Services) -> None:
    pod = with_guest(service, 2.0, host="0.0.0.0", keys=", drain_delay: 500ms")
    url = pod.url.replace("/predict", "/models/thrice/predict")
    shape = {"announce": 500, "body": ROW, "want": ANSWER, "connections": 32, "until_refused": True}
    with loading(pod._loader, url, seconds=600, **shape) as load:
        load.await_answers()
        pod.stop_bridge()
        report = load.report()
    print(report)
    report.require_all_right()


def test_a_model_of_another_project_is_served_beside_and_has_versions_of_its_own(service: Services) -> None:
    pod = with_guest(service, 3.0)
    row = {"id": "a-1", "n": 2}
    assert pod.post(row) == (200, {"id": "a-1", "value": 4.0})
    assert pod._ask("POST", "/models/thrice/predict", json.dumps(row)) == (200, {"id": "a-1", "value": 6.0})
    with pod.load(connections=16) as load:
        load.await_answers()
        with pod.control() as client:
            client.call("versions.give", "serve-api:thrice", [["1", 1]], deadline=60.0)
        load.end().require_all_right()
    assert pod.get("/v2/models/thrice")[1]["versions"] == ["1"]
    assert pod.get("/v2/models/rig")[1]["versions"] == ["1"]
    assert pod._ask("POST", "/models/thrice/predict", json.dumps(row)) == (200, {"id": "a-1", "value": 6.0})
    assert pod._ask("POST", "/models/twice/predict", json.dumps(row))[0] == 404
