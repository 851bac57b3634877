"""Lays the chosen example over the project and removes the others."""

import shutil
from pathlib import Path

LAYERS = {
    "flights": ["flights-data", "flights"],
    "minimal": ["minimal"],
    "sklearn": ["flights-data", "sklearn"],
}

for layer in LAYERS["{{ cookiecutter.example }}"]:
    shutil.copytree(Path("examples", layer), ".", dirs_exist_ok=True)
shutil.rmtree("examples")
