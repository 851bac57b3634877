"""Trained models on disk: immutable numbered versions, each a folder of payloads and a manifest, and aliases that move atomically.

    models/my-flights/3/manifest.json     what it is: hashes, class, params, signature, metrics, where it came from
    models/my-flights/3/state.pickle      what `Model.save` wrote
    models/my-flights/3/sample.jsonl      a few events, for warming up and checking
    models/my-flights/aliases/latest      "3"

store.py writes and reads folders, manifest.py says what fits, payload.py is the default of save and load, provenance.py
tells where a model came from.
"""

from pyrunner.models.manifest import Manifest
from pyrunner.models.store import Loaded, ModelStore, Version

__all__ = ["Loaded", "Manifest", "ModelStore", "Version"]
