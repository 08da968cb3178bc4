# Every target works on a fresh clone: missing packages are installed first, into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run serve test test-all torture check bench lock clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: .venv/.installed  ## run the pipeline on the Brown Corpus
	$(BIN)/corpusflow run

serve: .venv/.installed  ## start Prefect's server, a worker and the deployments; Ctrl-C stops them
	$(BIN)/corpusflow serve

test: .venv/.installed  ## run the fast tests, and the pipeline once on the Brown Corpus
	$(BIN)/pytest -n auto -m "not slow"

test-all: .venv/.installed  ## run every test, also the slow ones that kill processes
	$(BIN)/pytest -n auto

torture: .venv/.installed  ## try every fault of docs/reliability.md; its table
	$(BIN)/python -m benchmarks.torture --write

check: .venv/.installed  ## run the linters and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive flows tasks
	$(BIN)/mypy

bench: .venv/.installed  ## run the benchmarks and write docs/benchmarks.md
	$(BIN)/python -m benchmarks.all | tee docs/benchmarks.md

lock: .venv/.installed  ## update requirements.lock from pyproject.toml
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --extra dev --extra dask --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-options --output-file requirements.lock pyproject.toml
	sed -i 's/+cpu$$//' requirements.lock  # the plain version exists for every machine, with CUDA on Linux
	sed -i "/ ; /!s/^triton==.*/& ; sys_platform == 'linux' and platform_machine == 'x86_64'/" requirements.lock  # pip-compile drops the marker

clean:  ## remove the environment (data/ stays)
	rm -rf .venv

.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "corpusflow needs Python 3.11 or newer; $(PYTHON) is older (make PYTHON=python3.12 …)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
