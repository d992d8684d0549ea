"""Draw the figures of the documentation that need no training: `python docs/figures.py`."""

from pathlib import Path

from matplotlib.figure import Figure

import latticear as la
from latticear.plotting import receptive_field, wavefront

FIGURES = Path(__file__).parent / "figures"


def main() -> None:
    """Write the figures into the folder beside this file."""
    bias = la.Ising((16, 16)).bias(2.269)
    models = {
        "three 3x3 layers": la.PixelCNN((16, 16), kernel_size=3, bias=bias),
        "default: the first layer sees all": la.PixelCNN((16, 16), bias=bias),
    }
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    for ax, (title, model) in zip(figure.subplots(1, 2), models.items(), strict=True):
        receptive_field(ax, model, (15, 9)).set_title(title)
    figure.savefig(FIGURES / "receptive_field.png", dpi=120, bbox_inches="tight")

    figure = Figure(figsize=(5, 5.5), layout="constrained")
    wavefront(figure.subplots(), la.PixelCNN((12, 12), kernel_size=3))
    figure.savefig(FIGURES / "wavefront.png", dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
