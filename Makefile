# Everything here works on a fresh clone: what is missing is installed first, into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run serve test test-all check bench lock clean help

help:  ## show what there is to do
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/.installed  ## run the pipeline on the Brown Corpus
	$(BIN)/corpusflow run

serve: .venv/.installed  ## Prefect's server, a worker and the deployments, for a first look; Ctrl-C stops them
	$(BIN)/corpusflow serve

test: .venv/.installed  ## run the fast tests, and the pipeline once on the Brown Corpus
	$(BIN)/pytest -n auto -m "not slow"

test-all: .venv/.installed  ## run every test, the slow and hostile ones too
	$(BIN)/pytest -n auto

check: .venv/.installed  ## linters and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed  ## measure, print the figures and write docs/benchmarks.md
	$(BIN)/python -m benchmarks.all | tee docs/benchmarks.md

lock: .venv/.installed  ## renew requirements.lock from pyproject.toml
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --extra dev --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-options --output-file requirements.lock pyproject.toml
	sed -i 's/+cpu$$//' requirements.lock  # the plain version is there for every machine, with CUDA on Linux

clean:  ## remove the environment (data/ stays)
	rm -rf .venv

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "corpusflow needs Python 3.11 or newer; $(PYTHON) is older (make PYTHON=python3.12 …)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
