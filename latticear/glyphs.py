"""Small pictures of characters, drawn here: data to try networks on that come with nothing to download."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from torch import Tensor

from latticear.lattice import check_shape
from latticear.philox import check_seed
from latticear.samples import token_dtype

__all__ = ["glyphs"]
