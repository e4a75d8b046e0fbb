"""Many runs as one panel: a result against a setting, with the spread over the seeds."""

import numpy as np

from ..engine import require
from .curves import NAMED
from .style import Figure, plain, style


@style()
def sweep(rows, result, against, others=(), label=None):
    """A result against a setting: every seed a thin line, the mean over the seeds bold.

    rows: dicts as sweep returns them; result, against: names in them; others: settings that get a colour for each
    combination of their values (eight, then the same eight dashed).  Runs without the result are counted in the title.
    """
    if not rows:
        raise ValueError("rows is empty: a sweep of one run or more is needed")
    others = (others,) if isinstance(others, str) else others
    columns = dict.fromkeys(name for row in rows for name in row)  # a run that diverged may lack some
    require.choice("result", result, [name for name in columns if all(_is_number(row.get(name)) for row in rows)])
    for what, name in (("against", against), *(("each of others", name) for name in others)):
        require.choice(what, name, [name for name in columns if all(name in row for row in rows)])
    seen = sorted({_key(row[against]) for row in rows}, key=lambda key: (isinstance(key, str), key))
    numeric = all(not isinstance(key, str) for key in seen)
    place = {key: key if numeric else number for number, key in enumerate(seen)}
    groups = {}
    for row in rows:
        groups.setdefault(tuple(_key(row[name]) for name in others), []).append(row)
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    ax = figure.subplots()
    for number, (key, group) in enumerate(groups.items()):
        colour, line = NAMED[number % len(NAMED)], ("-", "--", ":")[number // len(NAMED) % 3]
        found = {}
        for row in group:
            value = np.nan if row.get(result) is None else float(row[result])
            found.setdefault(row["seed"] if against != "seed" else None, {})[place[_key(row[against])]] = value
        for of_seed in found.values() if against != "seed" else ():
            at = sorted(of_seed)
            ax.plot(at, [of_seed[x] for x in at], ".-", color=colour, linewidth=0.7, markersize=4, alpha=0.6)
        at = sorted({x for of_seed in found.values() for x in of_seed})
        each = [[of_seed[x] for of_seed in found.values() if not np.isnan(of_seed.get(x, np.nan))] for x in at]
        means = [np.mean(values) if values else np.nan for values in each]
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in zip(others, key) if value != "None")
        ax.plot(at, means, "o" if against == "seed" else f"o{line}", color=colour, linewidth=2.6, label=plain(words) or None)
    if numeric and seen[0] > 0 and seen[-1] >= 8 * seen[0]:
        ax.set_xscale("log", base=2 if seen[-1] / seen[0] < 1000 else 10)
    if len(seen) <= 12:
        ax.set_xticks([place[key] for key in seen], [f"{key:g}" if numeric else plain(key) for key in seen])
        ax.minorticks_off()
    ax.set(xlabel=against.replace("_", " "), ylabel=label or result)
    seeds = len({row["seed"] for row in rows})
    missing = sum(row.get(result) is None for row in rows)
    spread = "" if against == "seed" or seeds == 1 else f"{seeds} seeds, thin; their mean, bold"
    ax.set_title("; ".join(filter(None, [spread, f"{missing} of {len(rows)} runs without it" * (missing > 0)])), fontsize="medium")
    if others:
        figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _is_number(value):
    # or missing
    try:
        float(0 if value is None else value)
    except (TypeError, ValueError):
        return False
    return True


def _key(value):
    # a number for an axis, or a word
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return ",".join(map(str, value)) or "none" if isinstance(value, (list, tuple)) else str(value)
