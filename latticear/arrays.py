"""Arrays of NumPy by what they hold, for annotations."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Bools", "Ints"]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
