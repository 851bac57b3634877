"""A folder that may not be written to is told in a sentence, without a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from .conftest import Shell


@pytest.mark.parametrize("number, fix", [(errno.EACCES, "Run as its owner"), (errno.ENOSPC, "Make room")])
def test_what_the_folder_refuses_is_the_users_to_mend(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, number: int, fix: str
) -> None:
    refused = OSError(number, os.strerror(number), str(shell.folder / "models" / ".draft-1"))
    monkeypatch.setattr("tempfile.mkdtemp", Mock(side_effect=refused))
    said = shell("train")
    assert said.code == 2
    assert f"{shell.folder / 'models'}: {os.strerror(number)}. {fix}" in said.err
    assert "Traceback" not in said.text


def test_another_error_of_the_system_is_a_bug_and_keeps_its_traceback(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", Mock(side_effect=OSError(errno.EIO, os.strerror(errno.EIO))))
    with pytest.raises(OSError, match="Input/output error"):
        shell("train")


def test_new_where_no_folder_can_be_made(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "file").touch()
    said = shell("new", "x", "--no-input", "--output-dir", str(tmp_path / "file" / "below"))
    assert said.code == 2
    assert "Traceback" not in said.text
