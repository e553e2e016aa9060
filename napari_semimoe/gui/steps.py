"""The four steps of the loop, in the order a person takes them."""

from __future__ import annotations

from enum import StrEnum


class Step(StrEnum):
    """One page of the panel; the value is the text on its tab."""

    PREDICT = "Predict"
    REFINE = "Refine"
    RETRAIN = "Retrain"
    EXPORT = "Export"
