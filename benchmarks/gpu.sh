#!/bin/sh
# What `make gpu` does: finds a Python whose PyTorch sees a GPU, and runs benchmarks/gpu.py with it.
#
# PYTHON (python3 unless given) is taken if its PyTorch sees a GPU, else .venv. Packages that it lacks are installed
# beside it, in .venv-gpu. Only where there is a GPU, but no PyTorch anywhere, is everything installed, as by `make test`.
# Nothing is installed where there is no GPU.
set -u
cd "$(dirname "$0")/.." || exit 1
PYTHON=${PYTHON:-python3}

stop() {
	echo "make gpu: $*; nothing was measured" >&2
	exit 1
}

sees_a_gpu() {
	"$1" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' >/dev/null 2>&1
}

has() { # PYTHON NAME...: whether it has all of these
	of=$1
	shift
	"$of" -c 'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))' "$@"
}

missing() { # of the packages that the package needs, those that a Python lacks
	"$1" - <<-'END'
	import re, tomllib
	from importlib.util import find_spec
	needs = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]
	print(*(n for n in needs if find_spec(re.split("[<>=]", n)[0].replace("-", "_")) is None))
	END
}

over() { # make .venv-gpu, which also has the packages of a Python, and install more there
	"$1" -m venv .venv-gpu || return 1
	"$1" -c 'import os, sys; print(*filter(os.path.isdir, sys.path), sep="\n")' \
		>"$(.venv-gpu/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/parent.pth"
	shift
	.venv-gpu/bin/pip install -q --disable-pip-version-check --retries 1 --timeout 10 "$@" >/dev/null 2>&1
}

ls ${GPU_DEVICES-/dev/nvidia[0-9]* /dev/kfd /dev/dxg} >/dev/null 2>&1 || stop "this machine has no GPU"
command -v "$PYTHON" >/dev/null 2>&1 || stop "there is no $PYTHON: give one as PYTHON=..."

if sees_a_gpu "$PYTHON"; then
	python=$PYTHON
elif [ -x .venv/bin/python ] && sees_a_gpu .venv/bin/python; then
	python=.venv/bin/python
elif has "$PYTHON" torch; then
	stop "the PyTorch of $PYTHON sees no GPU: give another Python as PYTHON=..."
else
	make -s .venv/.ready PYTHON="$PYTHON" >&2 || stop "PyTorch could not be installed: give a Python that has it as PYTHON=..."
	python=.venv/bin/python
	sees_a_gpu $python || stop "the PyTorch in .venv sees no GPU: give another Python as PYTHON=..."
fi

own=$python
needed=$(missing "$own") || stop "$own is too old: latticear needs Python 3.11"
if [ -n "$needed" ]; then
	over "$own" $needed || stop "$own lacks these packages, and pip could not fetch them: $needed"
	python=.venv-gpu/bin/python
fi
if ! has "$python" pytest hypothesis; then # the tests alone need them
	over "$own" $needed pytest hypothesis && python=.venv-gpu/bin/python
fi
"$python" setup.py -q build_ext --inplace >/dev/null 2>&1 || # or, where setuptools is missing or old:
	cc -O3 -std=gnu11 -fopenmp -fPIC -shared latticear/kernels/*.c -lm -o latticear/kernels/_native.abi3.so 2>/dev/null ||
	echo "make gpu: the kernels for the CPU could not be compiled; PyTorch does their work" >&2
# the package runs from here without being installed, but for its version, which is looked up in its metadata
"$python" - <<-'END' || exit 1
	import pathlib, tomllib
	project = tomllib.load(open("pyproject.toml", "rb"))["project"]
	folder = pathlib.Path("build/gpu/latticear.dist-info")
	folder.mkdir(parents=True, exist_ok=True)
	folder.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: latticear\nVersion: {project['version']}\n")
END
PYTHONPATH=.:build/gpu exec "$python" benchmarks/gpu.py "$@"
