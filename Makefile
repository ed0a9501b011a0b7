# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEPENDENCIES := $(VENV)/.dependencies
INTEROP := .venv-interop
PYTEST := $(BIN)/python -m pytest
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo test test-long lint bench wheels release docs tools warm packages constraints clean

help:            ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*##/\t/'

install: $(STAMP) ## create .venv with the pinned dependencies and the project

# uv takes a third of the time of pip, which comes in where uv reaches no registry.
$(DEPENDENCIES): constraints.txt constraints-uv.txt
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('vmpz needs Python 3.11, 3.12 or 3.13, \
	found ' + sys.version.split()[0] + ': say which, for example make demo PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes --no-deps -r constraints-uv.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes --no-deps -r constraints.txt || \
	    $(BIN)/python -m pip install -q --require-hashes --no-deps -r constraints.txt
	@touch $@

# The version is that of the commit, so every commit installs again: a second.
$(STAMP): $(DEPENDENCIES) pyproject.toml $(wildcard .git/logs/HEAD)
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)   ## simulate a small survey, run stage 1, leave maps and figures in demo/
	$(BIN)/vmpz demo demo

test: $(STAMP)   ## the whole test suite but the long runs
	$(PYTEST) -n 2 --dist worksteal -m "not long"

test-long: $(STAMP) ## the tests that take minutes
	$(PYTEST) -n 2 -m long

lint: $(STAMP)   ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(STAMP)  ## measure side by side with today's practice and the floor; writes docs/performance.md
	$(BIN)/python -m benchmarks

wheels: $(STAMP) ## build wheel and sdist, try the wheel in clean environments of every Python
	$(BIN)/python tools/wheels.py

release: $(STAMP) ## is this tree a release? wheel and sdist, tried as far as can be, in dist/
	$(BIN)/python tools/release.py
	$(BIN)/python tools/wheels.py --oldest
	$(BIN)/python tools/wheels.py --compiled --out dist

docs: $(STAMP)   ## build the documentation in docs/_build
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes --no-deps -r constraints-docs.txt -r constraints-data.txt
	$(BIN)/sphinx-build -W -q -j 2 -b html docs docs/_build

tools: packages $(VENV)/.tools $(VENV)/.npm $(INTEROP)/.installed ## programs that some tests use: Debian packages (as root), a browser and what it shows (npm), an S3 server, pymangle (needs a C compiler), LSDB

warm: $(STAMP)   ## compile the kernels once, by a small demonstration, so that no test waits for it
	$(BIN)/vmpz demo $(VENV)/warm --size 192 --tiles 1 > /dev/null
	rm -rf $(VENV)/warm

packages:
	apt-get update -q
	apt-get install -q -y --no-install-recommends fitsverify stilts libxml2-utils aladin chromium

$(VENV)/.tools: $(DEPENDENCIES) constraints-tools.txt
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes --no-deps -r constraints-tools.txt
	@touch $@

# Neither is part of the project: the viewer's Aladin Lite, as `vmpz view` itself fetches it, and a checker of accessibility.
$(VENV)/.npm: $(DEPENDENCIES)
	mkdir -p $(VENV)/npm
	npm pack aladin-lite@3.8.2 --ignore-scripts --silent --pack-destination $(VENV)/npm
	npm install --prefix $(VENV)/npm --no-save --ignore-scripts --no-audit --no-fund --silent axe-core@4.14.1
	@touch $@

# Software that cannot live beside ours (LSDB brings 60 packages, heracles an older SciPy): tests run it from outside.
$(INTEROP)/.installed: $(VENV)/.tools constraints-interop.txt
	$(PYTHON) -m venv --clear --without-pip $(INTEROP)
	$(BIN)/uv pip install -q --python $(INTEROP)/bin/python --require-hashes --no-deps -r constraints-interop.txt
	@touch $@

constraints: $(DEPENDENCIES) ## compile the pinned, hashed constraints again
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url -o constraints-uv.txt constraints-uv.in
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url --extra test --extra oracles --extra lint --extra fast --extra s3 -o constraints.txt pyproject.toml constraints-build.in
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url -c constraints.txt --extra docs -o constraints-docs.txt pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-deps \
	    --no-emit-index-url -o constraints-data.txt constraints-data.in
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url -c constraints.txt -o constraints-tools.txt constraints-tools.in
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --no-emit-index-url -o constraints-interop.txt constraints-interop.in

clean:           ## remove what was made
	rm -rf $(VENV) $(INTEROP) demo docs/_build docs/jupyter_execute docs/.jupyter_cache .mypy_cache .ruff_cache .hypothesis
