"""The compiled loops over events. Only these modules need numba: they are imported where a loop is run.

Loops are compiled on first use, kept beside the module (or in ``NUMBA_CACHE_DIR``), and release the GIL. Indices
are unsigned: numba then leaves out what it does for negative ones, and the loops run twice as fast.
"""

from preprocessing.compiled import keep_somewhere

keep_somewhere(__file__)
