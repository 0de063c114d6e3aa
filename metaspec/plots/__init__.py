"""Pictures of what training comes to, as matplotlib figures; needs `metaspec[plots]`.

Figures are made by matplotlib's objects alone: no window, no global figure, no setting of the process is touched.

Example:
    >>> import metaspec as ms
    >>> from metaspec import data, nn, plots
    >>> network, algo = nn.MLP((1, 40, 40, 1)), ms.MAML(ms.GradientDescent(0.01, 1))
    >>> params = network.init(seed=0)
    >>> figure = plots.adaptation_curves(algo, network, params, data.Sinusoid(stream="test"), backend="numpy")
    >>> plots.save(figure, "adaptation.svg")
"""

from metaspec.errors import tell_nearest
from metaspec.plots.adaptation import adaptation_curves
from metaspec.plots.episodes import episode_grid, predictions
from metaspec.plots.figures import save, svg
from metaspec.plots.learning import Curve, accuracy_of, curves, losses_of

__all__ = [
    "Curve",
    "accuracy_of",
    "adaptation_curves",
    "curves",
    "episode_grid",
    "losses_of",
    "predictions",
    "save",
    "svg",
]

tell_nearest(__name__)
