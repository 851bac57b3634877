"""The shared prefaces: whole exchanges, and what either side refuses."""

from __future__ import annotations

import pytest

from pyrunner.protocol import ClientPreface, PrefaceError, Role
from pyrunner.protocol import preface as pure
from tests.unit.protocol.vectors_of_the_wire import load

EXCHANGES = load("preface/exchanges.json")


def client(vector: dict) -> ClientPreface:
    hello = bytes.fromhex(vector["hello"])
    made = ClientPreface(
        vector["token"].encode(), Role(hello[11]), hello[16:], low=hello[8], high=hello[9], minor=hello[10]
    )
    assert made.hello == hello
    return made


@pytest.mark.parametrize("vector", EXCHANGES, ids=lambda v: v["name"])
def test_both_sides_prove_that_they_know_the_token(vector):
    mine = client(vector)
    assert mine.prove(bytes.fromhex(vector["challenge"])).hex() == vector["proof"]
    assert mine.finish(bytes.fromhex(vector["verdict"])) == (vector["major"], vector["minor"])


@pytest.mark.parametrize("vector", EXCHANGES, ids=lambda v: v["name"])
def test_the_bridges_side_that_tests_use_answers_as_written(vector):
    token, hello = vector["token"].encode(), bytes.fromhex(vector["hello"])
    challenge, refusal = pure.challenge(token, hello, bytes.fromhex(vector["bridge_nonce"]))
    assert (challenge.hex(), refusal) == (vector["challenge"], 0)
    assert (
        bytes((pure.verdict(token, hello, challenge, bytes.fromhex(vector["proof"])),)).hex()
        == vector["verdict"]
    )


@pytest.mark.parametrize("vector", load("preface/refused_by_bridge.json"), ids=lambda v: v["name"])
def test_T29_T30_what_a_bridge_refuses(vector):
    token, hello = vector["token"].encode(), bytes.fromhex(vector["hello"])
    if "proof" in vector:
        challenge = bytes.fromhex(vector["challenge"])
        assert pure.verdict(token, hello, challenge, bytes.fromhex(vector["proof"])) == vector["refusal"]
    else:
        challenge, refusal = pure.challenge(token, hello, bytes(32))
        assert (challenge.hex(), refusal) == (vector["challenge"], vector["refusal"])


@pytest.mark.parametrize("vector", load("preface/refused_by_client.json"), ids=lambda v: v["name"])
def test_T29_T30_what_a_client_refuses(vector):
    with pytest.raises(PrefaceError) as refused:
        mine = client(vector)
        mine.prove(bytes.fromhex(vector["challenge"]))
        mine.finish(bytes.fromhex(vector.get("verdict", "00")))
    assert refused.value.refusal == vector["refusal"]


@pytest.mark.parametrize("vector", load("preface/tokens.json"), ids=lambda v: v["name"])
def test_a_token_is_the_content_of_its_file(vector):
    content = bytes.fromhex(vector["file"])
    if vector["token"] is None:
        with pytest.raises(ValueError, match="at least 16 bytes"):
            pure.read_token(content)
    else:
        assert pure.read_token(content).hex() == vector["token"]
