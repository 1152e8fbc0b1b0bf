"""The types of the numpy arrays that pass between modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
"""Scores, times, weights: whatever is computed with."""
Matrix = npt.NDArray[np.float32]
"""Embeddings and factors, one or many, and the features of candidates."""
Vectors = npt.NDArray[np.float16]
"""Embeddings as they lie in the article pool, at half the memory."""
Integers = npt.NDArray[np.int64]
"""Counts and labels."""
Rows = npt.NDArray[np.int64]
"""Places in a table of articles or readers; where it is said, -1 stands for none."""
Codes = npt.NDArray[np.int32]
"""Words as places in a vocabulary (sections, sources, languages), -1 for none."""
Kinds = npt.NDArray[np.int8]
"""Kinds of events, as codes."""
Flags = npt.NDArray[np.bool_]
"""True or false, one for each element."""
Column = npt.NDArray[Any]
"""One column of a table, of any type."""
Columns = dict[str, Column]
"""The columns of a table by name, all of one length."""
