"""vae-from-scratch gradcheck: the table of all gradients."""

import numpy as np

from .. import gradcheck
from ..engine import gradient_table


def run_gradcheck(options):
    """Every pair and every model; exit code 1 if one gradient is wrong."""
    wide = gradcheck.HAS_EXTENDED
    print("Relative error of each hand-written gradient, max |a - n| / max(|a|, |n|), the worst array of each row.")
    print(
        "A row passes when every array is below its limit in double"
        + (" and in extended precision." if wide else " precision.")
    )
    print(f"\n{'':66} {'double':>18}   {'extended':>18}\n{'':66} {'error':>9}{'limit':>9}   {'error':>9}{'limit':>9}")
    wrong = 0
    doubles = [*gradient_table.PAIRS, *gradient_table.models("float64")]
    extended = [*gradient_table.PAIRS, *gradient_table.models("longdouble")]
    for row, wide_row in zip(doubles, extended):
        is_pair = isinstance(row, gradient_table.Pair)
        results = [row.check(np.float64) if is_pair else row.check()]
        if wide:
            results.append(wide_row.check(np.longdouble) if is_pair else wide_row.check())
        worst = [max(result, key=lambda check: check.error / check.limit) for result in results]
        bad = [check for result in results for check in result if not check.ok]
        wrong += bool(bad)
        name = f"{row.name} ({row.tags})" if is_pair else row.name
        cells = "   ".join(f"{check.error:9.1e}{check.limit:9.0e}" for check in worst)
        print(f"{name:66} {cells}   {'ok' if not bad else 'WRONG: ' + bad[0].worst}", flush=True)
    print(f"\n{len(doubles) - wrong} of {len(doubles)} rows pass.")
    return 1 if wrong else 0
