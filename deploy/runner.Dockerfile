# The Python half with the command line, to build programs on or to mount one into.
#   docker build -f deploy/runner.Dockerfile -t ds-runner .
FROM golang:1.26-bookworm AS go

FROM python:3.11-slim-bookworm AS build
COPY --from=go /usr/local/go /usr/local/go
ENV PATH=/venv/bin:/usr/local/go/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /venv
WORKDIR /src
COPY requirements-dev.lock pyproject.toml hatch_build.py go.mod go.sum README.md LICENSE ./
COPY bridge_go bridge_go
COPY pyrunner pyrunner
COPY cookiecutter cookiecutter
COPY templates templates
RUN pip install --constraint requirements-dev.lock '.[frames]'

FROM python:3.11-slim-bookworm
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /program
USER 65532:65532
ENTRYPOINT ["ds-runner"]
CMD ["--help"]
