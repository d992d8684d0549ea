# Two commands do everything on a fresh machine: `make demo` and `make test`; a third, `make gpu`, wants a GPU.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test suite slow gpu pretrained lint docs clean

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

pretrained: $(READY) # trains what latticear/runs/shipped lacks, and goes on where it was interrupted
	$(BIN)/python benchmarks/pretrained.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ROOMS   := $(patsubst latticear/%/__init__.py,latticear.%,$(wildcard latticear/*/__init__.py))
MODULES := $(patsubst latticear/%.py,latticear.%,$(filter-out %__init__.py %__main__.py,$(wildcard latticear/*.py)))

docs: $(READY)
	$(BIN)/pdoc --docformat google --math -o docs/api latticear $(MODULES) $(ROOMS)

clean:
	rm -rf $(VENV) .venv-gpu runs docs/api
