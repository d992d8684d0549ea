"""PixelCNN: masked convolutions over one-hot tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Unpack

from torch import Tensor, nn

from latticear.models.base import AbstractModel, Common
from latticear.models.layers import MaskedConv2d, check_width, per_layer, site_layer
from latticear.sampling.schedule import wavefront_rank
from latticear.sampling.tracing import one_hot

__all__ = ["PixelCNN"]


class PixelCNN(AbstractModel):
    """A stack of masked convolutions, one of Type A and then others of Type B, each with ReLU, and a 1x1 output layer.

    Args:
        shape: (H, W).
        n_tokens: q >= 2.
        width: number of channels of the hidden layers.
        depth: number of masked layers, including the Type-A layer but not the output layer.
        kernel_size: odd; one value for all masked layers, or one for each. With None the kernel of the first layer
            covers the whole lattice, `2 max(H, W) - 1`, and the others are 3x3. Small kernels alone leave a blind spot
            (earlier sites on which the logits do not depend), which on a torus contains close neighbours across the
            boundary. The large kernel is cheap, because the first layer has only q input channels.
        dilation: distance between neighbouring taps of a kernel; one value for all masked layers, or one for each.
        n_components: C, number of tokens at each site; component c is conditioned on the components before it and on
            all earlier sites.
        common: `spin_flip_symmetric`, `bias`, `n_condition`, `n_condition_maps`, `seed`, as in `AbstractModel`; the
            condition enters every hidden layer.

    Raises:
        ValueError: for an even kernel size, q < 2, width, depth or dilation < 1, a list whose length is not `depth`, or
            a width that is not divisible by n_components.

    References:
        van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel recurrent neural networks" (2016), arXiv 1601.06759;
        Wu, Wang, Zhang, "Solving statistical mechanics using variational autoregressive networks" (2019),
        arXiv 1809.10606.

    Example:
        >>> model = PixelCNN((4, 6), n_tokens=2, width=8, depth=2)
        >>> samples = model.sample(5, seed=1)
        >>> samples.tokens.shape, samples.log_q.shape
        (torch.Size([5, 4, 6]), torch.Size([5]))
        >>> bool(((model.log_prob(samples.tokens) - samples.log_q).abs() < 1e-4).all())
        True
    """

    name: ClassVar[str] = "pixelcnn"

    def __init__(
        self,
        shape: tuple[int, int],
        n_tokens: int = 2,
        *,
        width: int = 32,
        depth: int = 3,
        kernel_size: int | Sequence[int] | None = None,
        dilation: int | Sequence[int] = 1,
        n_components: int = 1,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(shape, n_tokens, n_components=n_components, **common)
        if width < 1 or depth < 1:
            raise ValueError(f"width and depth must be at least 1, got width={width}, depth={depth}")
        check_width(width, n_components)
        if kernel_size is None:
            kernel_size = (2 * max(self.shape) - 1, *[3] * (depth - 1))
        kernels, dilations = per_layer("kernel_size", kernel_size, depth), per_layer("dilation", dilation, depth)
        self.width, self.depth = width, depth
        self.kernel_size = kernel_size if isinstance(kernel_size, int) else tuple(kernel_size)
        self.dilation = dilation if isinstance(dilation, int) else tuple(dilation)
        layers = [
            MaskedConv2d(
                width if i else n_components * n_tokens,
                width,
                kernel,
                "B" if i else "A",
                spread,
                n_components=n_components,
            )
            for i, (kernel, spread) in enumerate(zip(kernels, dilations, strict=True))
        ]
        self.layers = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
        self.conditions = self.conditioning.embeddings(width, depth)
        self.head = site_layer(width, n_components * n_tokens, n_components)
        nn.init.normal_(self.head.weight, std=0.1 * width**-0.5)  # start close to the uniform distribution
        self._set_rank(wavefront_rank(self))

    def _logits(self, tokens: Tensor, condition: Tensor | None) -> Tensor:
        x = one_hot(tokens, self.n_tokens, self.head.weight.dtype)
        if not self.conditioned:
            return self.head(self.layers(x))
        layers = list(self.layers)
        for layer, activation, embed in zip(layers[::2], layers[1::2], self.conditions, strict=True):
            x = activation(layer(x) + embed(condition))
        return self.head(x)
