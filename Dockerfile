# One image for workers and for the runs of a Docker or Kubernetes pool; docs/deployment.md shows how to use it.
#
#   docker build --tag corpusflow .                        for the CPU
#   docker build --tag corpusflow:cuda --build-arg VARIANT=cuda .
#
# PyTorch includes its CUDA libraries, so both variants start from the same small image; the host provides the driver.
ARG PYTHON=3.12-slim-bookworm
ARG VARIANT=cpu

FROM python:${PYTHON} AS base
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/venv/bin:$PATH


FROM base AS build-cpu
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
# On this index the same version is `+cpu`: it satisfies the pin, and pip prefers it.
FROM base AS build-cuda

FROM base AS base-cpu
FROM base AS base-cuda
# Triton compiles its launchers on the machine with the GPU.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*

# hadolint ignore=DL3006
FROM build-${VARIANT} AS build
WORKDIR /opt/corpusflow
RUN python -m venv /opt/venv
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --requirement requirements.lock
COPY pyproject.toml README.md ./
COPY flows flows
COPY tasks tasks
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable .


# hadolint ignore=DL3006
FROM base-${VARIANT} AS final
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin corpusflow \
    && install --directory --owner=corpusflow /opt/corpusflow /opt/corpusflow/data
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/corpusflow
COPY --from=build /opt/corpusflow ./
COPY prefect.yaml prefect.toml pipeline.yaml ./
COPY automations automations
COPY examples examples
USER 10001
VOLUME /opt/corpusflow/data
# The runs of a pool replace this command with Prefect's own.
CMD ["prefect", "worker", "start", "--pool", "corpusflow", "--with-healthcheck"]
