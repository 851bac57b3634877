"""The default of `Model.save` and `Model.load`: the attributes that fit set, in one pickle.

Unpickling runs code, so the store hands a folder to `load` only after every file's hash was found in the manifest, and after
`refuse_main` has looked at the pickles in it.
"""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrunner.errors import UserError

if TYPE_CHECKING:
    from pyrunner.model import Model

FILE = "state.pickle"
PROTOCOL = 5
_SUFFIXES = (".pickle", ".pkl")


def save_attributes(model: Model[Any, Any], folder: Path) -> None:
    """Pickle what the model learnt. A UserError names the attribute that cannot be pickled."""
    learnt = model.learnt()
    try:
        data = pickle.dumps(learnt, protocol=PROTOCOL)
    except Exception as error:
        raise UserError(_cannot_save(model, learnt, error)) from None
    (folder / FILE).write_bytes(data)


def load_attributes(model: Model[Any, Any], folder: Path) -> Model[Any, Any]:
    """Set the saved attributes on a fresh model."""
    with (folder / FILE).open("rb") as file:
        model.__dict__.update(pickle.load(file))
    return model


def refuse_main(folder: Path) -> None:
    """Refuse pickles that name a class or function of `__main__`: it is another module in the next process."""
    for path in sorted(folder.iterdir()):
        if path.suffix in _SUFFIXES and (name := _main_name(path)) is not None:
            raise UserError(
                f"{path.name} holds {name}, which is defined in a script or notebook (__main__) and cannot be found from anywhere "
                "else. Move it into a module of the program, import it from there and train again"
            )


def _main_name(path: Path) -> str | None:
    """The first `__main__.name` that a pickle refers to, found without running it.

    Names of classes and functions are either one GLOBAL, or two texts and STACK_GLOBAL; a text that came before is fetched from
    the memo.
    """
    memo: dict[int, Any] = {}
    module = name = None  # the last two values that were pushed, where they are texts
    with path.open("rb") as file:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "GLOBAL" and str(argument).startswith("__main__ "):
                return str(argument).replace(" ", ".")
            if opcode.name == "STACK_GLOBAL" and module == "__main__":
                return f"{module}.{name}"
            if opcode.name == "MEMOIZE":
                memo[len(memo)] = name
            elif opcode.name.endswith("PUT"):
                memo[int(argument or 0)] = name
            elif opcode.name.endswith("GET"):
                module, name = name, memo.get(int(argument or 0))
            elif opcode.name not in ("FRAME", "PROTO"):
                module, name = name, argument if isinstance(argument, str) else None
    return None


def _cannot_save(model: Model[Any, Any], learnt: dict[str, Any], error: Exception) -> str:
    name = type(model).__name__
    for attribute, value in learnt.items():
        try:
            pickle.dumps(value, protocol=PROTOCOL)
        except Exception as e:
            return (
                f"{name}: attribute {attribute} (a {type(value).__qualname__}) cannot be saved: {e}. "
                f"Make it in {name}.warm_up or where it is used, or write {name}.save and {name}.load"
            )
    return f"{name} cannot be saved: {error}"
