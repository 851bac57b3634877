"""`{{ cookiecutter.project_slug }}`: the commands of ds-runner, and any function of yours that `@pyrunner.command` marks."""

from pyrunner.cli import program_app

main = program_app("{{ cookiecutter.package_name }}")

if __name__ == "__main__":
    main()
