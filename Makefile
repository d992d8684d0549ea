# Two commands do everything on a fresh machine: `make demo` and `make test`; a third, `make gpu`, wants a GPU.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test suite slow gpu lint docs results clean

$(READY): pyproject.toml setup.py constraints.txt $(wildcard latticear/kernels/*.[ch])
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --no-compile -c constraints.txt \
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
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not slow"

slow: $(READY)
	$(BIN)/pytest -q -m slow

gpu: # installs nothing before it has found a GPU
	@PYTHON="$(PYTHON)" sh benchmarks/gpu.sh

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

clean:
	rm -rf $(VENV) .venv-gpu runs docs/_build
