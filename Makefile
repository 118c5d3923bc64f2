# What a newcomer, a developer and CI type; every target installs what it needs first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test components check bench format lock clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/installed ## separate the example song into vocals and accompaniment
	$(BIN)/python scripts/demo.py

test: $(VENV)/installed-dev components ## run every test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/installed-dev ## lint, types, import contracts, documents in step
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit/test_docs.py

bench: $(VENV)/installed-dev ## measure against official Spleeter, side by side
	$(BIN)/python -m bench.side_by_side

components: ## install the programs that tests run, where apt-get and the right to use it are there
	@if [ -x /usr/sbin/clamd ] || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then exit 0; fi; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends clamav-daemon >/dev/null
	@if { [ -x /usr/bin/fluidsynth ] && [ -x /usr/bin/mma ]; } || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then exit 0; fi; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYNTHESIS) >/dev/null

# What the built-in models' music is synthesised with.
SYNTHESIS := mma fluidsynth fluid-soundfont-gm timgm6mb-soundfont musescore-general-soundfont-small \
	csound-soundfont opl3-soundfont avldrums.lv2-soundfont hydrogen-drumkits

format: $(VENV)/installed-dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## pin the requirements anew, with hashes
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv
	$(LOCK) pyproject.toml --output-file requirements.txt
	$(LOCK) --group build --output-file requirements-build.txt
	$(LOCK) pyproject.toml --all-extras --group dev --constraints requirements.txt --output-file requirements-dev.txt

LOCK := $(VENV)-lock/bin/uv pip compile --quiet --universal --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

clean: ## remove what the other targets made
	rm -rf $(VENV) $(VENV)-lock separated_audio

$(VENV)/installed: requirements.txt requirements-build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, for instance: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.txt -r requirements-build.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.txt
	@touch $@
