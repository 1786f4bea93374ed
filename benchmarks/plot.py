"""A run as a picture: what waited, what was sent each second, and how long each event took."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.timeline import Kind, Run

_INK, _FAINT, _BLUE, _RED = "#1f2933", "#cbd2d9", "#2b6cb0", "#d64545"
_STYLE: Final[Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "burst",  # the same run, the same file
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _FAINT,
    "grid.linewidth": 0.5,
    "text.color": _INK,
}


def draw(runs: Sequence[Run], file: Path) -> None:
    """Draw one column for each run, with three rows, as SVG or PNG by the file's ending."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.6 * len(runs), 6.6), layout="constrained")
        rows = figure.subplots(3, len(runs), sharex=True, sharey="row", squeeze=False)
        for column, run in enumerate(runs):
            backlog, sends, latency = rows[:, column]
            _draw_backlog(backlog, run)
            _draw_sends(sends, run)
            _draw_latency(latency, run)
            backlog.set_title(f"{run.workers} worker{'s' if run.workers > 1 else ''}")
            latency.set_xlabel("seconds since the burst")
        for axes, label in zip(rows[:, 0], ("calls waiting", "calls per second", "seconds to Attentive"), strict=True):
            axes.set_ylabel(label)
        no_date = {"Date": None, "Creator": None} if file.suffix == ".svg" else {"Software": None}
        figure.savefig(file, dpi=110, metadata=no_date, facecolor="white")


def _draw_backlog(axes: Axes, run: Run) -> None:
    moments, waiting = run.backlog(0.25)
    axes.fill_between(moments, waiting, color=_BLUE, alpha=0.15, linewidth=0)
    axes.plot(moments, waiting, color=_BLUE, linewidth=1.2)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(axis="y")


def _draw_sends(axes: Axes, run: Run) -> None:
    moments, sent = run.sends(0.5)
    axes.plot(moments, sent, color=_BLUE, linewidth=1.2, label="sent")
    axes.axhline(run.limit, color=_RED, linewidth=1, linestyle="--", label=f"limit: {run.limit:g}")
    axes.axhline(run.ceiling, color=_INK, linewidth=0.8, linestyle=":", label=f"ceiling: {run.ceiling:g}")
    axes.set_ylim(0, run.limit * 1.15)
    axes.legend(loc="lower right", frameon=False, ncols=3)
    axes.grid(axis="y")


def _draw_latency(axes: Axes, run: Run) -> None:
    for kind, every, color, size in ((Kind.VIEW, 20, _BLUE, 4), (Kind.ORDER, 1, _RED, 12)):
        events = [event for event in run.events if event.kind is kind and event.arrived][::every]
        arrived, took = [event.arrived[0] for event in events], [event.took for event in events]
        axes.scatter(arrived, took, s=size, color=color, linewidths=0, label=f"{kind.value}s, {kind.priority} priority")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.legend(loc="center right", bbox_to_anchor=(1, 0.62), frameon=False)
    axes.grid(axis="y")
