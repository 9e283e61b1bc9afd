"""The learning curve, for a person to look at."""

from collections.abc import Mapping, Sequence


def draw_learning_curve(history: Sequence[tuple[int, Mapping[str, float]]], path: str) -> None:
    """Draws every metric of the evaluations over the steps, one below the other, as PNG.

    Args:
      history: (step, metrics) of every evaluation.
      path: the file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(history[0][1]) if history else []
    figure = Figure(figsize=(7, 1 + 2.2 * max(1, len(names))), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(max(1, len(names)), 1, sharex=True, squeeze=False)[:, 0]
    steps = [step for step, _ in history]
    for axis, name in zip(axes, names, strict=False):
        axis.plot(steps, [metrics[name] for _, metrics in history], marker="o", markersize=3)
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[0].set_title("evaluation")
    axes[-1].set_xlabel("step")
    figure.savefig(path, dpi=120)
