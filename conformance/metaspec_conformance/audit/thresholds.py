"""Every threshold of the audit with the reason for its value, and the settings that code is called with.

None is part of the error model (docs/error-model.md), which judges the digits of an explanation once it is found.
"""

from collections.abc import Mapping

FIT_SETTINGS: Mapping[str, float] = {"lr": 0.05, "steps": 3, "regularization": 3.0, "cg_steps": 2, "outer_lr": 0.5}
"""The settings of the calls that hypotheses are searched on: all different, none of them 1, which hides factors."""

VALIDATION_SETTINGS: tuple[Mapping[str, float], ...] = (
    {"lr": 0.08, "steps": 5, "regularization": 4.0, "cg_steps": 3, "outer_lr": 0.3},
    {"lr": 0.03, "steps": 2, "regularization": 2.0, "cg_steps": 1, "outer_lr": 0.8},
)
"""The settings of the calls that confirm: every number goes up once and down once."""

SAME_NUMBER = 1e-6
"""Relative difference below which two numbers that code was given or holds (rates, weights, factors) are equal: float32
rounds a rate by at most 6e-8, and five roundings in a row stay below; no slip is as small."""

FIT_RESIDUAL = {"float64": 1e-9, "float32": 1e-4}
"""Residual at or below which a hypothesis is a candidate: the format's roundoff times an amplification of 10^3 to 10^7,
and far below what the smallest deviation tried (weight decay of 1e-4) leaves."""

FIT_RESIDUAL_CAP = 1e-2
"""The largest that the candidates' residual may become where a result is a small difference of parameters."""

ORIGIN_ROUNDINGS = 64
"""Roundings of the parameters that a difference phi - result may carry, for results that are updated parameters."""

LOST_DIGITS = 5e-5
"""Residual that arithmetic in float32, or difference quotients, may leave in code that is otherwise right."""

LOST_DIGITS_16_BITS = 3e-2
"""Residual that 16-bit arithmetic may leave in code whose result does not follow a relative change of `NUDGE`."""

NUDGE = 1e-8
"""Relative change of the parameters that float32 does not see and float64 does."""

EQUAL_CALLS = {"float64": 1e-11, "float32": 1e-5}
"""Relative difference that equal calls may have: sums in another order by other threads, and no more."""

SEARCH_SECONDS = 20.0
"""Seconds of processor time after which no further hypotheses are tried."""

SECOND_PROBLEM_SECONDS = 3.0
"""Seconds of search on the second problem, after the first explained nothing: enough for single deviations."""

CANDIDATES = 12
"""How many of the simplest candidates are held against the validation calls."""

GENERALISATIONS = 400
"""How many ways in which numbers may follow the settings are tried for one candidate."""

AFTER_A_FIT = 300
"""Hypotheses of a level that are still tried after one that fits: an equally simple one must not be missed."""

BLOCK = 60
"""Structures with free numbers of which the most promising are fitted."""

PROMISING = 0.5
"""Residual on a grid at or above which free numbers are not fitted: no direction of the result is explained."""

FIT_ALL_TARGETS = 0.02
"""Residual on the first target below which free numbers are fitted on all of them."""

TASK_COMBINATION = 1e-7
"""Residual that a combination of single tasks' results may leave, unless the fit itself leaves a hundredth of it."""

VALIDATION_FACTOR = 10
"""Times the candidates' residual that the validation calls may leave: other steps and rates amplify rounding more."""

SHOWN_DIGITS = 3.0
"""Digits below which no hypothesis is named as the nearest one: every algorithm has one or two in common with any."""

FITTED_DIGITS = 10.0
"""Digits that an explanation with many fitted numbers has to have in common with a result: the numbers' own errors are
amplified by the conditioning of their fit."""

MEAN_SECONDS = 45.0
"""Seconds of processor time, at most, for calls of random code whose mean is held against the algorithms."""

MEAN_AGREES, MEAN_DIFFERS = 2.0, 3.0
"""How many standard errors of the mean an algorithm may lie off it, and from how many on it is another one. The length
of an error of 24 entries of like size is 1 with a standard deviation of 0.14; of 5 that count, 0.3."""

TOLD_STANDARD_ERROR = 0.06
"""Relative standard error of the mean at which calls end, once one algorithm is left: MAML and FO-MAML differ by a
tenth."""

SHOWN_STANDARD_ERROR = 0.2
"""Relative standard error of the mean above which nothing is named: about what Reptile and MAML differ by."""
