# Two commands do everything on a fresh machine: `make demo` and `make test`; a third, `make gpu`, wants a GPU.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
CONSTRAINTS := constraints.txt

.PHONY: demo test suite slow gpu pretrained lint docs results clean oldest newest matrix dist installs

$(READY): pyproject.toml setup.py $(CONSTRAINTS) $(wildcard latticear/kernels/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --no-compile $(addprefix -c ,$(CONSTRAINTS)) \
		--config-settings editable_mode=compat -e '.[dev]'
	touch $@

demo: $(READY)
	rm -rf runs/demo
	$(BIN)/latticear train configs/demo.toml --out runs/demo
	$(BIN)/latticear estimate runs/demo -n 20000
	$(BIN)/latticear report runs/demo

test: $(READY)
	@$(MAKE) --no-print-directory -j 2 lint suite

suite: $(READY)
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not slow" $(TESTS)

slow: $(READY)
	$(BIN)/pytest -q -m slow

gpu: # installs nothing before it has found a GPU
	@PYTHON="$(PYTHON)" sh benchmarks/gpu.sh

pretrained: $(READY) # trains what latticear/runs/shipped lacks, and goes on where it was interrupted
	$(BIN)/python benchmarks/pretrained.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

SITE := $(VENV)/.site

$(SITE): $(READY)
	$(BIN)/pip install -q --disable-pip-version-check --no-compile -c constraints.txt \
		--config-settings editable_mode=compat -e '.[docs]'
	touch $@

docs: $(SITE) # the site, in docs/_build/html; every warning is an error, and the notebooks are run
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

results: $(READY) # what the documentation claims, measured: hours; a stopped command goes on
	$(BIN)/python benchmarks/claims.py

# The versions of Python at hand, with pinned, oldest and newest packages; TESTS="tests/models" for a part of the suite.
PYTHONS := python3.11 python3.12 python3.13 python3.14

matrix:
	@for python in $(PYTHONS); do \
		name=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || \
			{ echo "matrix: no $$python here"; continue; }; \
		echo "matrix: Python $$name"; $(MAKE) --no-print-directory suite PYTHON=$$python VENV=.venv-$$name || exit 1; \
	done
	@echo "matrix: the oldest packages"; $(MAKE) --no-print-directory oldest PYTHON=$(firstword $(PYTHONS))
	@echo "matrix: the newest packages"; $(MAKE) --no-print-directory newest

oldest: # old packages warn of their own end
	@$(MAKE) --no-print-directory suite VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt TESTS="-W default $(TESTS)"

newest:
	@$(MAKE) --no-print-directory suite VENV=.venv-newest CONSTRAINTS=

DIST := .venv-dist/bin

dist: # sdist and wheel, checked
	$(PYTHON) -m venv .venv-dist
	$(DIST)/pip install -q --disable-pip-version-check -c constraints.txt build twine
	rm -rf dist
	$(DIST)/python -m build
	$(DIST)/twine check --strict dist/*
	@tar -tzf dist/*.tar.gz | cut -d / -f 2- | sort >build/in-sdist
	@! git ls-files | sort | comm -23 - build/in-sdist | grep . || { echo "dist: these are not in the sdist"; exit 1; }

installs: dist # the sdist in clean environments, with a C compiler and without one
	sh tests/installed/installs.sh "$(PYTHON)" dist/*.tar.gz

clean:
	rm -rf $(VENV) .venv-* runs docs/_build dist build
