# Installs an sdist in clean environments, with a C compiler and without one, and tries each: sh installs.sh PYTHON SDIST
set -eu
python=$1
sdist=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for kernels in --kernels --none; do
	rm -rf venv
	"$python" -m venv venv
	if [ $kernels = --none ]; then
		export CC=no-such-compiler
	fi
	venv/bin/pip install -q --disable-pip-version-check --no-compile --no-cache-dir -c "$root/constraints.txt" "$sdist"
	venv/bin/python "$root/tests/installed/smoke.py" $kernels
done
