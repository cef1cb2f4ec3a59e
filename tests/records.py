"""Records to save: as many as a test wants, which compress as real ones do."""

import numpy as np

CALLS = np.dtype([("chr", "S10"), ("pos", "i4"), ("pct", "f4"), ("c", "i4"), ("t", "i4")])


def records(rows):
    """Records as in methylation calls, more of them than fit one chunk if asked."""
    random = np.random.default_rng(rows)
    table = np.zeros(rows, CALLS)
    table["chr"] = np.repeat([b"chr1", b"chr22", b"chrX", b"chrY"], -(-rows // 4))[:rows]
    table["pos"] = np.cumsum(random.integers(1, 200, rows))
    table["pct"] = 100 * random.random(rows)
    table["c"], table["t"] = random.integers(0, 40, (2, rows))
    return table
