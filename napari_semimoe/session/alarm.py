"""Signs that a round's network has collapsed, whatever its Dice says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_semimoe.session.step_log import Gates

#: A predicted foreground share this near to 0 or 1 is a collapse ...
_NEAR = 0.01
#: ... unless the masks' own share is as near as this.
_TRULY_NEAR = 0.05
#: An answer that takes more than this share from one expert listens to no other.
_ALONE = 0.98
#: An expert from which every answer takes less than this share is ignored.
_IGNORED = 0.02

NOT_IN_CHARGE = (
    "Its model was not put in charge; look at what it predicts before you choose it yourself."
)
NO_OTHER = "Its model predicts all the same, because there is no other yet."


def alarms(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence for each sign of collapse in a round's report.

    What was so in the model that the round began from is not the round's doing.

    Parameters
    ----------
    report
        ``validation`` and ``base_validation`` may hold the shares ``foreground`` and
        ``true_foreground``; ``gates`` the means of the ``first`` and ``last`` steps. What is
        missing raises no alarm.
    """
    return (*_foreground(report), *_gates(report.get("gates") or {}))


def _foreground(report: Mapping[str, Any]) -> tuple[str, ...]:
    scores, base = report.get("validation") or {}, report.get("base_validation") or {}
    side = _side(scores)
    if not side or side == _side(base):
        return ()
    what = "finds almost nothing on" if side == "empty" else "marks almost all of"
    return (
        f"The new model {what} the validation tiles ({100 * scores['foreground']:.1f} % of their "
        f"pixels, {100 * scores['true_foreground']:.1f} % in their masks).",
    )


def _side(scores: Mapping[str, Any]) -> str:
    """Return whether a network that should not marks nearly nothing, or nearly everything."""
    found, true = scores.get("foreground"), scores.get("true_foreground")
    if found is None or true is None:
        return ""
    if found <= _NEAR and true >= _TRULY_NEAR:
        return "empty"
    return "full" if found >= 1 - _NEAR and true <= 1 - _TRULY_NEAR else ""


def _gates(gates: Mapping[str, Gates]) -> tuple[str, ...]:
    before, after = (_findings(gates.get(part) or {}) for part in ("first", "last"))
    return tuple(sentence for sentence in after if sentence not in before)


def _findings(gates: Gates) -> tuple[str, ...]:
    table: dict[str, dict[str, float]] = {}
    for name, share in gates.items():
        task, expert = name.split("<-")
        table.setdefault(task, {})[expert] = share
    return (*_stuck(table), *_ignored(table))


def _stuck(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Find answers that listen to one expert alone.

    The boundary and the distance answer may listen to their own expert alone: in sound networks,
    the starter among them, the boundary answer does.
    """
    found = []
    for task, shares in table.items():
        expert = max(shares, key=lambda name: shares[name])
        own = expert == task and task != "segmentation"
        if len(shares) > 1 and shares[expert] > _ALONE and not own:
            found.append(f"The {task} answer listens to the {expert} expert alone.")
    return found


def _ignored(table: Mapping[str, Mapping[str, float]]) -> list[str]:
    experts = dict.fromkeys(expert for shares in table.values() for expert in shares)
    return [
        f"No answer listens to the {expert} expert any more."
        for expert in experts
        if all(shares.get(expert, 0.0) < _IGNORED for shares in table.values())
    ]
