"""Weights of the member `counts`: a shrunken, balanced multinomial logistic regression on root frequencies of words.

With few long texts, how often they use common words tells more than which rare words they have. So terms are scaled by
the power -3/4 of their deviation, between their own weight and an equal one; and terms in which the labels hardly
differ are shrunk by the share of their variance that chance explains, 1/F of a one-way analysis of variance (like the
estimator of James and Stein). docs/experiments.md compares other forms.

Time and memory: at most `MAX_WEIGHTS` weights, of which L-BFGS keeps twenty copies (some 400 MB), and at most `WORK`
multiplications a fit, some twenty seconds.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.linear.member import Choice
from tasks.shared.statistics.metrics import Floats, Ints

MAX_WEIGHTS = 2**21
WORK = 2**34
EXPONENT = 0.75


def fit_logistic(
    values: csr_array, labels: Ints, label_count: int, choice: Choice
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights [terms, labels] and bias [labels], from root frequencies [texts, terms].

    A label without texts is less likely than every other by the number of texts. If there is no term that tells labels
    apart, or only one label, all labels have the same logit.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    weights, bias = np.zeros((values.shape[1], label_count), np.float32), np.zeros(label_count, np.float32)
    known = np.unique(labels)
    if len(known) < 2:
        return weights, bias
    scales = term_scales(values, labels)
    kept = np.flatnonzero(scales)
    if not len(kept):
        return weights, bias
    scaled = csr_array(values[:, kept])
    scaled.data *= scales[kept].astype(np.float32)[scaled.indices]
    iterations = int(np.clip(WORK / (4 * (scaled.nnz + 1) * len(known)), 10, 100))
    regression = LogisticRegression(
        C=choice.C, class_weight="balanced" if choice.balanced else None, max_iter=iterations
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early, it is regularized a little more
        regression.fit(scaled, labels)
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(known) == 2:  # scikit-learn then has one row, for the second label
        coefficients, intercepts = (np.concatenate([-some, some]) / 2 for some in (coefficients, intercepts))
    weights[np.ix_(kept, known)] = coefficients.T * scales[kept, None]
    bias[:] = intercepts.min() - np.log(len(labels))
    bias[known] = intercepts
    return weights, bias


def term_scales(values: csr_array, labels: Ints) -> Floats:
    """The factor of each term, [terms], such that the mean squared distance of texts from their mean is at most one.

    Zero for a term that is the same in all texts, or differs no more between labels than within.
    """
    texts, terms = values.shape
    known, group = np.unique(labels, return_inverse=True)
    member = csr_array((np.ones(texts), (group, np.arange(texts))), shape=(len(known), texts))
    sizes = np.bincount(group)[:, None]
    squares = np.bincount(values.indices, values.data.astype(np.float64) ** 2, minlength=terms)
    means = (member @ values).toarray() / sizes
    mean = (means * sizes).sum(axis=0) / texts
    deviation = np.sqrt(np.maximum(squares / texts - mean**2, 0))
    deviation[deviation < 1e-6 * np.sqrt(squares / texts)] = 0  # constant except for rounding
    scales = np.divide(1.0, deviation**EXPONENT, out=np.zeros(terms), where=deviation > 0)
    if texts > len(known):
        between = (sizes * (means - mean) ** 2).sum(axis=0) / (len(known) - 1)
        within = (squares - (sizes * means**2).sum(axis=0)) / (texts - len(known))
        chance = np.divide(within, between, out=np.ones(terms), where=between > 0)
        scales *= np.where(chance < 1 - 1e-9, 1 - np.clip(chance, 0, 1), 0)
    norm = np.sqrt(((scales * deviation) ** 2).sum())
    return np.asarray(scales / norm if norm > 0 else scales)
