"""The program {{ cookiecutter.project_slug }}: its model is in science.py."""
