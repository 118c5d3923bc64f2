# The commands of newcomers, developers and CI. Every target installs what it needs first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NODE_PACKAGES := $(VENV)/azurite/installed $(VENV)/openid/installed $(VENV)/tus/installed
PAGE := src/spleeter_microservice/web/static/index.html

.DEFAULT_GOAL := help
.PHONY: help demo serve page test test-fast test-research coverage components check docs bench bench-service bench-crash bench-damage bench-siege fuzz wheel image format lock clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(VENV)/installed ## start the service, separate the example song through its API, stop
	$(BIN)/python scripts/demo.py

serve: $(VENV)/installed $(PAGE) ## run the service; prints the page's address and a key
	$(BIN)/spleeter-microservice serve

page: $(PAGE) ## build the page, with Node.js of the package index if this machine has none

$(PAGE): page/package-lock.json page/index.html page/vite.config.ts $(shell find page/src -name '*.ts*' -o -name '*.css')
	PYTHON=$(PYTHON) scripts/page.sh build
	@touch $@

test: $(VENV)/installed-train components $(NODE_PACKAGES) $(PAGE) ## run every test of the package
	$(PYTEST) $(PYTEST_ARGS)

test-fast: $(VENV)/installed-train ## run the unit tests, which need nothing else
	$(PYTEST) tests/unit $(PYTEST_ARGS)

test-research: $(VENV)/installed-train components ## run the tests of research/lite, which synthesise music
	$(PYTEST) research/lite/tests $(PYTEST_ARGS)

coverage: $(VENV)/installed-train components $(NODE_PACKAGES) $(PAGE) ## run every test of the package and report what they cover
	$(PYTEST) --cov --cov-report=term-missing:skip-covered $(PYTEST_ARGS)

# tests/conftest.py says how many processes; the tests of a file share its services, so one process runs them all.
# In alphabetical order, the acceptance tests, which take longest, come first.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
# Without compiled modules, the hundreds of processes that the tests start compile the package again and again.
unexport PYTHONDONTWRITEBYTECODE

check: $(VENV)/installed-dev ## lint, check types, imports, dead code and documents, look for known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/python -m scripts.generate_docs --check
	$(BIN)/python -m pytest -q tests/unit/test_docs.py
	$(BIN)/python scripts/audit_dependencies.py
	PYTHON=$(PYTHON) scripts/page.sh check

docs: $(VENV)/installed-dev ## rewrite the generated tables of the documents
	$(BIN)/python -m scripts.generate_docs

bench: $(VENV)/installed-dev ## measure beside official Spleeter; BENCH_ARGS=--quick for a trial run
	$(BIN)/python -m bench $(BENCH_ARGS)

bench-service: $(VENV)/installed-dev ## measure the service through its API
	$(BIN)/python -m bench.service $(BENCH_ARGS)

bench-crash: $(VENV)/installed-dev ## separate many clips while processes are killed, and compare the stems
	$(BIN)/python -m bench.crashes $(BENCH_ARGS)

bench-damage: $(VENV)/installed-dev ## send damaged files and damaged forms to the service
	$(BIN)/python -m bench.damage $(BENCH_ARGS)

bench-siege: $(VENV)/installed-dev ## attack the service while an innocent tenant uploads
	$(BIN)/python -m bench.siege $(BENCH_ARGS)

SECONDS ?= 60
fuzz: $(VENV)/installed-dev ## feed mutated bytes to our own parsers, SECONDS=60 each; FUZZ_ARGS chooses parsers
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(FUZZ_ARGS)

components: ## install the programs that the tests run, if you are root on a system with apt-get
	@if [ -x /usr/sbin/clamd ] && [ -x /usr/sbin/pgbouncer ] && [ -x /usr/bin/chromedriver ] \
		&& dpkg -s $(OBJECT_STORE) $(SYNTHESIS) ffmpeg node-form-data >/dev/null 2>&1 \
		&& command -v prometheus >/dev/null && command -v kubectl >/dev/null && command -v microsocks >/dev/null \
		&& command -v npm >/dev/null && command -v firefox-esr >/dev/null && command -v dbus-send >/dev/null \
		|| ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then exit 0; fi; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		clamav-daemon chromium chromium-driver curl dbus ffmpeg firefox-esr fonts-dejavu-core microsocks nodejs node-form-data pgbouncer \
		$(OBJECT_STORE) $(SYNTHESIS) \
		$$(command -v npm >/dev/null || echo npm) \
		$$(command -v kubectl >/dev/null || echo kubernetes-client) >/dev/null && \
	{ command -v prometheus >/dev/null || scripts/install_prometheus.sh; }

# Ceph's S3 server and the least that it needs.
OBJECT_STORE := ceph-mon ceph-osd radosgw

# The programs and sounds that synthesise music to train the built-in models on.
SYNTHESIS := mma fluidsynth fluid-soundfont-gm timgm6mb-soundfont musescore-general-soundfont-small \
	csound-soundfont opl3-soundfont avldrums.lv2-soundfont timidity freepats flite \
	hydrogen-drumkits hydrogen-data lmms-common sonic-pi-samples

wheel: $(VENV)/installed $(PAGE) ## build the wheel, which has the page in it, into dist
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

image: ## build and try the image with buildah and podman, as root on Debian; with Docker: docker build .
	PYTHON=$(PYTHON) scripts/image_proof.sh

format: $(VENV)/installed-dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## pin the requirements to their newest versions, with hashes
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv
	$(LOCK) pyproject.toml $(EXTRAS:%=--extra %) --group dev --output-file requirements-dev.txt
	$(LOCK) pyproject.toml --extra service --extra tracing --constraints requirements-dev.txt --output-file requirements.txt
	$(LOCK) --group build --constraints requirements-dev.txt --output-file requirements-build.txt
	$(LOCK) --group page --output-file requirements-page.txt
	echo torch==2.13.0 >$(VENV)-lock/torch.txt
	$(LOCK) pyproject.toml --extra train --constraints requirements-dev.txt --constraints $(VENV)-lock/torch.txt \
		--output-file $(VENV)-lock/train.txt
	$(PYTHON) scripts/split_train_lock.py $(VENV)-lock/train.txt

# All extras except train, which has its own requirements files.
EXTRAS := evaluate service tracing

LOCK := $(VENV)-lock/bin/uv pip compile --quiet --universal --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

clean: ## remove the files that the other targets made
	rm -rf $(VENV) $(VENV)-lock .venv-node page/node_modules $(dir $(PAGE)) dist pictures .fuzz separated_audio

$(VENV)/installed: requirements.txt requirements-build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, for instance: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.txt -r requirements-build.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.txt
	@touch $@

# PyTorch's CPU-only build if the package index has it, else the standard build, on Linux with CUDA's libraries.
$(VENV)/installed-train: requirements-train.txt requirements-train-cpu.txt $(VENV)/installed-dev
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-train-cpu.txt 2>/dev/null || \
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-train.txt
	@touch $@

# The packages of the tests for Node.js; without npm, the tests that use them fail and say so.
$(NODE_PACKAGES): $(VENV)/%/installed: tests/support/%/package-lock.json | components
	@mkdir -p $(@D) && cp tests/support/$*/package.json tests/support/$*/package-lock.json $(@D)
	@! command -v npm >/dev/null || { npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@; }
