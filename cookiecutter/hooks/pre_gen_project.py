"""Refuses a name that a Python package, or a cluster, would not take."""

import keyword
import re
import sys

slug, package = "{{ cookiecutter.project_slug }}", "{{ cookiecutter.package_name }}"

if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", slug):
    sys.exit(f"{slug!r} cannot be a project's name: lower-case letters, digits and -, at most 63. Example: my-flights")
if not package.isidentifier() or keyword.iskeyword(package) or package in sys.stdlib_module_names:
    sys.exit(f"{package!r} cannot be a Python package of yours. Example: my_flights")
