"""Constants, structures and functions of the C sources in this folder, declared for ctypes under the same names.

`latticear.kernels.library` compares the sizes of the structures when it loads the compiled kernels; a test reads the C
sources and compares every field and argument.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

__all__ = [
    "CONFIGURATIONS",
    "FUNCTIONS",
    "INTERFACE",
    "KINDS",
    "LANES",
    "MAX_INPUTS",
    "MAX_TOKENS",
    "MOST_TOKENS",
    "PADDING",
    "STRUCTURES",
    "Batch",
    "Block",
    "Bond",
    "Choice",
    "Column",
    "Couplings",
    "Node",
    "Order",
    "Phase",
    "Program",
    "Row",
    "Step",
]

INTERFACE = 14
"""Version of the interface, increased with every change of this module.

Some changes keep the sizes of the structures, such as another order of the fields or other arguments, and only this
number reveals them.
"""

CONFIGURATIONS = 16
"""Number of configurations that a thread draws together by the wavefront, one in each lane of the vector registers."""

LANES = 64
"""Number of configurations that a thread draws together for a network that draws phase by phase."""

MAX_INPUTS, MAX_TOKENS = 8, 1024

MOST_TOKENS = 8
"""Largest number of tokens of a site of a network that draws phase by phase."""

PADDING = 16
"""Vectors over a bond of a matrix product are padded with zeros to a multiple of so many numbers."""

KINDS = (
    "tokens",
    "taps",
    "identity",
    "negative",
    "relu",
    "elu",
    "silu",
    "sigmoid",
    "tanh",
    "add",
    "subtract",
    "multiply",
    "concatenate",
    "slice",
    "constant",
)
"""The names of `enum kind` in program.h in lower case; the position of a name is its value."""

_INTEGER, _REAL, _POINTER = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p

Fields = Iterator[tuple[str, Any]]


def _integers(*names: str) -> Fields:
    return ((name, _INTEGER) for name in names)


def _pointers(*names: str) -> Fields:
    return ((name, _POINTER) for name in names)


class Node(ctypes.Structure):
    """A tensor of a traced network and how it is computed; `Node` in program.h, where the fields are explained."""

    _fields_ = [
        *_integers("kind", "channels", "ready", "by_row", "slots", "rows", "offset", "n_inputs"),
        ("inputs", _INTEGER * MAX_INPUTS),
        *_integers("start", "n_taps"),
        *_pointers("taps", "weight", "bias"),
        ("constant", _REAL),
    ]


class Step(ctypes.Structure):
    """Channels of a node that are computed together; `Step` in program.h, where the fields are explained."""

    _fields_ = [*_integers("node", "stage", "first", "stop", "n_here")]


class Program(ctypes.Structure):
    """A network for the wavefront kernels; `Program` in program.h, where the fields are explained."""

    _fields_ = [
        *_integers("height", "width", "slope", "n_tokens", "flips", "n_nodes"),
        *_pointers("nodes"),
        *_integers("n_components", "n_steps"),
        *_pointers("steps"),
        *_integers("degree"),
        *_pointers("neighbours", "energies", "field", "couplings"),
    ]


class Block(ctypes.Structure):
    """Uniform numbers and results of the wavefront kernels; `Block` in program.h, where the fields are explained."""

    _fields_ = [
        *_integers("n"),
        *_pointers("u", "where", "tokens", "log_q", "log_q_given", "temperatures", "constants"),
        *_integers("n_constants", "n_couplings"),
        *_pointers("couplings"),
    ]


class Bond(ctypes.Structure):
    """A bond of a site to a neighbour; `Bond` in patches.h, where the fields are explained."""

    _fields_ = [(name, ctypes.c_int32) for name in ("neighbour", "table", "coupling")]


class Phase(ctypes.Structure):
    """Sites that are drawn together and their perceptron; `Phase` in patches.h, where the fields are explained."""

    _fields_ = [
        *_integers("n_targets", "n_taps", "n_terms", "depth", "width", "n_outputs", "n_drawn"),
        *_integers("bonded", "n_later", "by_target"),
        *_pointers("drawn", "columns", "sites", "taps", "neighbours", "tables", "bonds", "fields", "weights"),
        *_pointers("added", "factors", "by_added", "by_factors"),
    ]


class Order(ctypes.Structure):
    """The phases of a multiscale network in their order; `Order` in patches.h, where the fields are explained."""

    _fields_ = [
        *_integers("n_sites", "n_tokens", "degree", "gauged", "symmetric", "n_phases"),
        *_pointers("phases", "pairs"),
        *_integers("n_padded", "n_instances"),
        *_pointers("instances", "scales", "couplings"),
    ]


class Batch(ctypes.Structure):
    """Configurations and results of the phase kernels; `Batch` in patches.h, where the fields are explained."""

    _fields_ = [
        *_integers("n", "n_columns", "known"),
        *_pointers("u", "where", "tokens", "log_q", "log_q_given"),
    ]


class Couplings(ctypes.Structure):
    """The network of the couplings of a phase; `Couplings` in patches.h, where the fields are explained."""

    _fields_ = [
        *_integers("n_targets", "n_offsets", "n_bonds", "n_taps", "width", "depth", "n_added"),
        *_pointers("parents", "tree", "ends", "window", "taps", "weights"),
        *_pointers("added", "factors", "by_added", "by_factors"),
    ]


class Column(ctypes.Structure):
    """One column of a matrix product; `Column` in rows.h, where the fields are explained."""

    _fields_ = [*_integers("left", "right", "n_lower", "offset"), *_pointers("forward", "backward")]


class Row(ctypes.Structure):
    """One row of configurations; `Row` in rows.h, where the fields are explained."""

    _fields_ = [
        *_integers("n", "width", "n_tokens", "n_sites", "n_first", "most", "n_sums"),
        *_pointers("columns", "tokens", "lower", "instances", "known", "bonds", "sums", "left"),
    ]


class Choice(ctypes.Structure):
    """How the tokens of a row are chosen; `Choice` in rows.h, where the fields are explained."""

    _fields_ = [
        *_integers("spin_flip"),
        ("least", _REAL),
        *_pointers("u", "where", "tokens", "turned", "settled", "logits", "log_q", "log_q_given"),
    ]


STRUCTURES: tuple[type[ctypes.Structure], ...] = (
    Node,
    Step,
    Program,
    Block,
    Bond,
    Phase,
    Order,
    Batch,
    Couplings,
    Column,
    Row,
    Choice,
)

_PROGRAM, _BLOCK, _ORDER, _BATCH, _ROW, _CHOICE, _COUPLINGS = (
    ctypes.POINTER(structure) for structure in (Program, Block, Order, Batch, Row, Choice, Couplings)
)

FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "latticear_interface": (_INTEGER,),
    "latticear_size_of": (_INTEGER, ctypes.c_char_p),
    "latticear_instruction_sets": (_INTEGER,),
    "latticear_instruction_set": (ctypes.c_char_p, _INTEGER),
    "latticear_size_of_work": (_INTEGER, _PROGRAM, _INTEGER, _INTEGER),
    "latticear_draw": (None, _PROGRAM, _BLOCK, *(_INTEGER,) * 4, _POINTER),
    "latticear_patches_size": (_INTEGER, _ORDER, *(_INTEGER,) * 3),
    "latticear_patches_draw": (None, _ORDER, _BATCH, *(_INTEGER,) * 3, _POINTER),
    "latticear_patches_learn": (None, _ORDER, _INTEGER, *(_POINTER,) * 4, *(_INTEGER,) * 3, _POINTER),
    "latticear_couplings_size": (_INTEGER, _COUPLINGS, *(_INTEGER,) * 4),
    "latticear_couplings": (None, _COUPLINGS, *(_INTEGER,) * 2, *(_POINTER,) * 2, *(_INTEGER,) * 3, _POINTER),
    "latticear_row_size": (_INTEGER, _ROW, *(_INTEGER,) * 2),
    "latticear_row_begin": (None, _ROW, *(_INTEGER,) * 3, _POINTER),
    "latticear_row_shares": (None, _ROW, *(_INTEGER,) * 4, _POINTER),
    "latticear_row_advance": (None, _ROW, *(_INTEGER,) * 4, _POINTER),
    "latticear_row_draw": (None, _ROW, _CHOICE, *(_INTEGER,) * 3, _POINTER),
    "latticear_uniforms": (None, *(ctypes.c_uint64,) * 3, _INTEGER, _INTEGER, _POINTER),
    "latticear_mersenne_columns": (None, *(_POINTER,) * 2, *(_INTEGER,) * 4, _POINTER),
    "latticear_swendsen_wang": (None, *(_INTEGER,) * 3, *(_POINTER,) * 8),
    "latticear_wolff": (_INTEGER, *(_INTEGER,) * 3, _REAL, *(_POINTER,) * 8),
    "latticear_multicanonical": (None, *(_INTEGER,) * 8, _REAL, *(_POINTER,) * 13),
}
"""For each C function by name: the type of its result, then the types of its arguments."""
