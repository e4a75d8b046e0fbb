"""The figure of note 22, from its table.  Run from the repository: python derivations/figures/note_22.py (a second)."""

import re
from pathlib import Path

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito: told apart by colour-blind readers


def rows():
    """(case, reported, true, right reported, right true) of the note's table."""
    note = (Path(__file__).parents[1] / "22-course.md").read_text("utf-8")
    found = re.findall(r"^\| ([\w.-]+) \|" + r" (-?[\d.]+) \|" * 4 + "$", note, re.M)
    return [(case, *map(float, numbers)) for case, *numbers in found]


def reported_and_true():
    """For every bug in the plain VAE of the digits, the loss that it reports and the loss that it reaches."""
    import matplotlib.pyplot as plt

    table = [row for row in rows() if row[3:] == (25.2, 24.8)]
    table.sort(key=lambda row: row[1])
    figure, axes = plt.subplots(figsize=(7.2, 5.6), layout="constrained")
    axes.axvline(24.8, color=GREY, linewidth=1, linestyle="--", label="a right program")
    for place, (_, reported, true, *_) in enumerate(table):
        axes.plot([reported, true], [place, place], color="0.75", linewidth=1.5, zorder=1)
    axes.plot([row[1] for row in table], range(len(table)), "o", color=BLUE, markerfacecolor="white", markersize=7, label="reported")
    axes.plot([row[2] for row in table], range(len(table)), "o", color=ORANGE, markersize=5, label="true, by a right program")
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50, 100, 200], ["0.5", "1", "2", "5", "10", "20", "50", "100", "200"])
    axes.minorticks_off()
    axes.set_yticks(range(len(table)), [row[0] for row in table], fontsize=10)
    axes.set_xlabel("loss (nats), a logarithmic scale", fontsize=12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=10, loc="upper left", bbox_to_anchor=(0.0, 0.95))
    return figure


def main():
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcdefaults()
    reported_and_true().savefig(Path(__file__).parent / "22-reported-and-true.png", dpi=110)


if __name__ == "__main__":
    main()
