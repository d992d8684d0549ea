"""Every number that latticear makes, from fixed seeds, in one file: the proof that a rearrangement changes none.

    python tests/support/golden_run.py OUT.json             # record what the code does
    python tests/support/golden_run.py --compare OUT.json   # do it again, print what differs; status 1 if anything

Tensors are recorded by the SHA-256 of their bytes, numbers exactly, refusals by their message. The hashes depend on the
processor and on the versions of PyTorch and NumPy, so two records compare only where they were made on one machine.
Only public names are used: `latticear` itself, and the application behind the command.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import torch
from golden_commands import commands
from golden_library import library
from golden_record import Record, differing

matplotlib.use("agg")
os.fsync = lambda descriptor: None


SECTIONS = {section.__name__: section for section in (*library, *commands)}


def recorded(names: list[str]) -> dict[str, Any]:
    """The record of the code as it is, of these sections."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    record = Record()
    for name in names:
        t_start = time.process_time()
        SECTIONS[name](record)
        print(f"{name:24s} {time.process_time() - t_start:6.1f} s of the processor", file=sys.stderr)
    return record.content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--compare", action="store_true", help="compare with FILE instead of writing it")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections of the record")
    arguments = parser.parse_args()
    expected = json.loads(arguments.file.read_text()) if arguments.compare else None
    content = recorded(arguments.only)
    if expected is None:
        arguments.file.write_text(json.dumps(content, indent=0, sort_keys=True) + "\n")
        print(f"{arguments.file}: {len(content)} entries")
        return 0
    if len(arguments.only) < len(SECTIONS):
        expected = {name: value for name, value in expected.items() if name in content}
    lines = differing(expected, json.loads(json.dumps(content)))
    print("\n".join([*lines, f"{len(content)} entries, {len(lines)} differences"]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
