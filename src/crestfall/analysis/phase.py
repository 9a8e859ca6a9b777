"""Is the fall a cliff? The phase-transition score: the share of the fall that happens in one step."""

from __future__ import annotations

import numpy as np

from crestfall.analysis.trajectory import FloatArray


def phase_transition_score(values_S: FloatArray, peak: int) -> float | None:
    """max_{t >= peak} (p_t - p_{t+1}) / (p_peak - p_end), clipped at 1; None where nothing was lost.

    Noise alone gives a score near 1 on a curve that does not fall: read it beside its null (`null.py`).
    """
    gap = float(values_S[peak] - values_S[-1])
    if gap <= 0:
        return None
    return min(1.0, float(np.max(values_S[peak:-1] - values_S[peak + 1 :])) / gap)
