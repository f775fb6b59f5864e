"""The mixed model of a rating study: model A against B with an effect of every input and of every rater.

Two masks of one input are mostly rated by different people, so the difference of two ratings holds the difference of two
raters. Input effects are fixed here, and go out with the difference within each input; rater effects are random. What is left
has one variance ratio, which statsmodels' MixedLM fits by REML in milliseconds, where the crossed model with a random effect of a
thousand inputs takes a minute and says nearly the same: almost all that ratings tell about A - B lies within inputs.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sambench.metrics.bootstrap import Float64Array

# statsmodels' gradient methods can run off to a singular solution and call it converged; Powell's finds the boundary, too.
_OPTIMISERS = ("powell", "nm", "bfgs")
_RATIOS = (1e-6, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of rater to residual variance, to check a solution against
_TOLERANCE = 1e-2  # of log-likelihood
_MOST_RATERS, _MOST_EFFECTS = 1000, 10_000_000  # a minute's work, and 1 GB
_EDGE = 1e-6  # a ratio that is none
_NO_VARIANCE = "raters do not differ more than by chance: their variance is estimated as 0"
_CANCELS = "both masks of every input were rated by the same raters, whose effects cancel"


@dataclass(frozen=True)
class MixedDifference:
    """A - B with input and rater effects. low, high: at the level asked for. They and the p-values are by the t distribution
    with n_inputs - 1 degrees of freedom (choice; statsmodels takes the normal one): without rater effects it is the paired t-test.

    rater_sd, input_sd, residual_sd: standard deviations of the effects on one mask's rating (input_sd by moments; the residual
    holds what is the mask's own). fitted: whether the estimate can be used; if not, `note` says why and all numbers are NaN. note
    is also set where an estimate lies at the edge.
    """

    mean: float
    std_error: float
    low: float
    high: float
    p_two_sided: float
    p_greater: float
    rater_sd: float
    input_sd: float
    residual_sd: float
    n_ratings: int
    n_inputs: int
    n_raters: int
    fitted: bool
    note: str


def mixed_difference(
    scores: Float64Array, is_a: npt.ArrayLike, inputs: npt.ArrayLike, raters: npt.ArrayLike, *, level: float = 0.99
) -> MixedDifference:
    """score = input + rater + (A - B) [model is A] + error. All arrays [n], a rating a row; inputs rated for one model alone drop
    out. is_a bool; inputs, raters: labels. Several ratings of a mask are averaged, and their raters' effects with them, since they
    share what is the mask's own; a mask counts once. Never raises for data: see `MixedDifference.fitted`.
    """
    scores, is_a = np.asarray(scores, np.float64), np.asarray(is_a, np.bool_)
    codes = np.unique(np.asarray(inputs), return_inverse=True)[1]
    kept = _rated_for_both(is_a, codes)
    scores, is_a = scores[kept], is_a[kept]
    codes, who = (np.unique(np.asarray(x)[kept], return_inverse=True)[1] for x in (inputs, raters))
    counts = (len(scores), len(np.unique(codes)), len(np.unique(who)))
    reason = _hopeless(counts, who)
    if reason:
        return _unfitted(counts, reason)
    whole = np.column_stack([scores, np.eye(counts[2])[who]])
    a, b = (_mean_by(codes[side], whole[side]) for side in (is_a, ~is_a))
    fit, why = _fit(a[:, 0] - b[:, 0], a[:, 1:] - b[:, 1:])
    if fit is None:
        return _unfitted(counts, why)
    return _result(fit, counts, level, a[:, 0] + b[:, 0])


def _rated_for_both(is_a: npt.NDArray[np.bool_], inputs: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    n = inputs.max() + 1 if len(inputs) else 0
    both = (np.bincount(inputs, is_a, n) > 0) & (np.bincount(inputs, ~is_a, n) > 0)
    return np.asarray(both[inputs], np.bool_)


def _hopeless(counts: tuple[int, int, int], raters: npt.NDArray[np.intp]) -> str:
    _, n_inputs, n_raters = counts
    if n_inputs < 3:
        return f"only {n_inputs} inputs are rated for both models"
    if n_raters < 2:
        return "only one rater: no rater effect can be told from the rest"
    if np.bincount(raters).max() < 2:
        return "no rater rated twice: rater effects cannot be told from the error"
    if n_raters >= n_inputs:
        return f"{n_raters} raters for {n_inputs} inputs: too few to estimate rater effects"
    if n_raters > _MOST_RATERS or n_raters * n_inputs > _MOST_EFFECTS:
        return f"{n_raters} raters of {n_inputs} inputs: their effects would take hours to estimate"
    return ""


def _mean_by(codes: npt.NDArray[np.intp], rows: Float64Array) -> Float64Array:
    """Means of rows [n, M] by code, in the codes' order; every code occurs."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sums = np.add.reduceat(rows[order], starts, axis=0)
    return np.asarray(sums / np.bincount(codes)[:, None], np.float64)


class _Fit(NamedTuple):
    """A - B, its error, and the variances of a rater's effect and of a difference's error."""

    mean: float
    error: float
    rater: float
    scale: float


def _fit(y: Float64Array, z: Float64Array) -> tuple[_Fit | None, str]:
    """The REML solution of y [n] = mean + z [n, R] rater effects + error, or (None, why not): the first optimiser's that holds."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    if np.ptp(y) == 0:
        return None, "the difference is the same for every input"
    plain = _Fit(float(y.mean()), float(y.std(ddof=1)) / math.sqrt(len(y)), 0.0, float(y.var(ddof=1)))
    if np.allclose(z, 0):
        return plain._replace(rater=math.nan), ""
    names = [[[f"rater {i}" for i in range(z.shape[1])]]]
    why = []
    for method in _OPTIMISERS:
        model = MixedLM(y, np.ones((len(y), 1)), groups=np.zeros(len(y)), exog_vc=VCSpec(["rater"], names, [[z]]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is checked below
            try:
                fit = model.fit(reml=True, method=[method])
                flaw = _flaw(model, fit)
            except (np.linalg.LinAlgError, ValueError, ZeroDivisionError) as e:
                flaw = f"{type(e).__name__}: {e}"
                if _at_zero(model):  # where it has no second derivative to make standard errors of
                    return plain, ""
        if not flaw and fit.vcomp[0] < _EDGE * fit.scale:
            return plain, ""
        if not flaw:
            return _Fit(float(fit.fe_params[0]), float(fit.bse_fe[0]), float(fit.vcomp[0]), float(fit.scale)), ""
        why.append(f"{method}: {flaw}")
    return None, "REML did not converge (" + "; ".join(why) + ")"


def _likelihood(model: Any, ratio: float) -> float:
    """REML log-likelihood, profiled, at a ratio of rater to residual variance; of a model that was fitted, with whatever
    success.
    """
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    params = MixedLMParams.from_components(fe_params=np.zeros(1), vcomp=np.array([ratio]))
    return float(model.loglike(params, profile_fe=True))


def _at_zero(model: Any) -> bool:
    """Whether the likelihood falls from a rater variance of 0 on."""
    found = [_likelihood(model, r) for r in _RATIOS]
    return all(b < a for a, b in pairwise(found))


def _flaw(model: Any, fit: Any) -> str:
    """Why a solution cannot be used, '' if it can. statsmodels' own `converged` is not enough."""
    if not fit.converged:
        return "not converged"
    if not (np.isfinite(fit.fe_params).all() and np.isfinite(fit.bse_fe).all() and (fit.bse_fe > 0).all() and fit.scale > 0):
        return "no finite standard error"
    here = _likelihood(model, max(float(fit.vcomp[0] / fit.scale), 1e-9))
    best = max(_likelihood(model, r) for r in _RATIOS)
    return "" if here > best - _TOLERANCE else f"a worse likelihood than elsewhere ({here:.3f} against {best:.3f})"


def _result(fit: _Fit, counts: tuple[int, int, int], level: float, sums: Float64Array) -> MixedDifference:
    """sums: of both models' ratings, by input."""
    from scipy import stats

    df = counts[1] - 1
    residual = fit.scale / 2  # the error of a difference is that of two masks
    reach = float(stats.t.isf((1 - level) / 2, df)) * fit.error
    cancels, edge = math.isnan(fit.rater), fit.rater == 0
    between = float(np.var(sums / 2, ddof=1)) - ((0.0 if cancels else fit.rater) + residual) / 2
    return MixedDifference(
        fit.mean,
        fit.error,
        fit.mean - reach,
        fit.mean + reach,
        p_two_sided=float(2 * stats.t.sf(abs(fit.mean) / fit.error, df)),
        p_greater=float(stats.t.sf(fit.mean / fit.error, df)),
        rater_sd=math.sqrt(fit.rater),
        input_sd=math.sqrt(max(0.0, between)),
        residual_sd=math.sqrt(residual),
        n_ratings=counts[0],
        n_inputs=counts[1],
        n_raters=counts[2],
        fitted=True,
        note=_CANCELS if cancels else _NO_VARIANCE if edge else "",
    )


def _unfitted(counts: tuple[int, int, int], reason: str) -> MixedDifference:
    nan = math.nan
    return MixedDifference(nan, nan, nan, nan, nan, nan, nan, nan, nan, *counts, fitted=False, note=reason)
