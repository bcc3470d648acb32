"""The training step of `training.rs` in PyTorch, to hold ours against: the same networks, loss, batch and optimiser (AdamW,
with a moving average of the weights), on noise.

    python model/benches/training.py            # needs torch, with two cores
"""

import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

BATCH, CROP, STEPS, KNOTS = 6, 192, 30, 9
# y, z, analysis, its blocks, hyper, scale, synthesis, its blocks, λ at both ends: `architecture.rs`.
PROFILES = {
    "lite": (256, 32, 128, 3, 64, 64, 96, 5, (0.0009, 0.15)),
    "base": (384, 32, 192, 4, 128, 64, 160, 5, (0.0009, 0.3)),
}


class Linear(nn.Linear):
    """1×1 convolution of a map (N, H, W, C)."""

    def forward(self, x, knots=None):
        return super().forward(x)


class Depthwise(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, groups=c)

    def forward(self, x):
        # (N, H, W, C) seen as (N, C, H, W) is what PyTorch calls channels_last.
        x = F.pad(x.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="replicate")
        return self.conv(x).permute(0, 2, 3, 1)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.depthwise, self.expand, self.project = Depthwise(c), nn.Linear(c, 2 * c), nn.Linear(c, c)
        self.quality = nn.Parameter(torch.ones(KNOTS, c))

    def forward(self, x, knots):
        a, b = self.expand(self.depthwise(x)).chunk(2, -1)
        branch = self.project(a * (0.5 + 0.5 * b / (1 + b.abs())))
        return x + branch * (knots @ self.quality)[:, None, None]


def unshuffle(x, k):
    n, h, w, c = x.shape
    return x.reshape(n, h // k, k, w // k, k, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h // k, w // k, k * k * c)


def shuffle(x, k):
    n, h, w, c = x.shape
    return x.reshape(n, h, w, k, k, c // (k * k)).permute(0, 1, 3, 2, 4, 5).reshape(n, h * k, w * k, c // (k * k))


class Layer(nn.Module):
    """A function without parameters."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, knots):
        return self.function(x)


def replicated(x, before, after):
    x = F.pad(x.permute(0, 3, 1, 2), (before, after, before, after), mode="replicate")
    return x.permute(0, 2, 3, 1)


class Conv(nn.Module):
    """k×k convolution with `pad` replicated cells around."""

    def __init__(self, i, o, k, pad):
        super().__init__()
        self.conv, self.pad = nn.Conv2d(i, o, k), pad

    def forward(self, x, knots=None):
        x = replicated(x, self.pad, self.pad) if self.pad else x
        return self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Chain(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x, knots):
        for layer in self.layers:
            x = layer(x, knots)
        return x


class Codec(nn.Module):
    def __init__(self, y, z, analysis, a_blocks, hyper, scale, synthesis, s_blocks, lambdas):
        super().__init__()
        down, up = Layer(lambda x: unshuffle(x, 2)), Layer(lambda x: shuffle(x, 2))
        blocks = lambda c, n: [Block(c) for _ in range(n)]
        self.y, self.lambdas = y, lambdas
        self.analysis = Chain(
            Layer(lambda x: unshuffle(replicated(x, 4, 4), 8)), Conv(192, analysis, 2, 0),
            *blocks(analysis, a_blocks), down, Linear(4 * analysis, y))
        self.hyper_analysis = Chain(
            Linear(y, hyper), Block(hyper), down, Linear(4 * hyper, hyper), Block(hyper), down, Linear(4 * hyper, z))
        self.hyper_synthesis = Chain(
            Linear(z, hyper), Block(hyper), Linear(hyper, 4 * hyper), up, Block(hyper), Linear(hyper, 4 * hyper), up,
            Block(hyper))
        chain = lambda: Chain(Linear(y + hyper, hyper), Block(hyper), Linear(hyper, y))
        self.means = nn.ModuleList([Chain(Linear(hyper, y)), chain(), chain(), chain()])
        self.correction = chain()
        self.synthesis = Chain(
            Linear(y, 4 * synthesis), up, *blocks(synthesis, s_blocks), Conv(synthesis, 192, 2, 1),
            Layer(lambda x: shuffle(x, 8)[:, 4:-4, 4:-4]))
        self.scale = Chain(
            Conv(z + 1, scale, 3, 1), Layer(F.relu), Linear(scale, 4 * scale), Layer(F.relu), up, Conv(scale, scale, 3, 1),
            Layer(F.relu), Linear(scale, 4 * scale), Layer(F.relu), up, Linear(scale, y))
        self.gain = nn.Parameter(torch.zeros(KNOTS, y))
        self.prior = nn.ParameterList([torch.zeros(KNOTS, z), torch.full((KNOTS, z), 0.5)])

    def forward(self, x, positions):
        n, h, w, _ = x.shape
        at = positions * (KNOTS - 1)
        knots = (1 - (at[:, None] - torch.arange(KNOTS)).abs()).clamp(min=0)
        gain = (knots @ self.gain)[:, None, None]
        y = self.analysis(x, knots) * gain.exp()
        z = self.hyper_analysis(y, knots)
        z_hat = rounded(z)
        mean, log_scale = ((knots @ p)[:, None, None] for p in self.prior)
        centred = (noisy(z) - mean).abs() * (-log_scale).exp()
        half = 0.5 * (-log_scale).exp()
        bits = -((half - centred).sigmoid() - (-half - centred).sigmoid() + 1e-6).log2().sum()
        quality = positions[:, None, None, None].expand(-1, *z.shape[1:3], 1)
        level = self.scale(torch.cat([z_hat, quality], -1), knots)
        features = self.hyper_synthesis(z_hat, knots)
        y_hat, residual = None, None
        for step, network in enumerate(self.means):
            mask = self.mask(step, *y.shape[1:3])
            mu = network(features if y_hat is None else torch.cat([y_hat, features], -1), knots)
            r = (y - mu) * mask
            decoded = (rounded(r) + mu) * mask
            y_hat = decoded if y_hat is None else y_hat + decoded
            residual = r if residual is None else residual + r
        y_hat = y_hat + self.correction(torch.cat([y_hat, features], -1), knots)
        sigma = 0.11 * (level.clamp(0, 63) * 0.12).exp()
        magnitude = noisy(residual).abs()
        cdf = lambda v: 0.5 * (1 + torch.erf(v / math.sqrt(2)))
        bits = bits - (cdf((0.5 - magnitude) / sigma) - cdf((-0.5 - magnitude) / sigma)).clamp(min=1e-9).log2().sum()
        x_hat = self.synthesis(y_hat * (-gain).exp(), knots)
        mse = (x - x_hat).square().mean((1, 2, 3)) * 127.5**2
        low, high = self.lambdas
        lambdas = low * (high / low) ** positions
        return (lambdas * mse).mean() + bits / (n * h * w)

    def mask(self, step, h, w):
        group = self.y // 4
        position = (torch.arange(h)[:, None] % 2 * 2 + torch.arange(w) % 2) ^ step
        return (torch.arange(self.y) // group == position[..., None]).float()


def rounded(x):
    return x + (x.round() - x).detach()


def noisy(x):
    return x + torch.rand_like(x) - 0.5


def rate(profile):
    """Pixels a second."""
    torch.manual_seed(1)
    codec = Codec(*PROFILES[profile])
    parameters = list(codec.parameters())
    average = [p.detach().clone() for p in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    pictures = torch.randint(0, 256, (24, 256, 256, 3), dtype=torch.uint8)
    for step in range(STEPS + 5):
        if step == 5:
            begun = time.perf_counter()
        x = torch.stack([pictures[step % 24, :CROP, :CROP]] * BATCH).float() / 127.5 - 1
        loss = codec(x, torch.rand(BATCH))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        torch._foreach_lerp_(average, parameters, 0.1)
    return STEPS * BATCH * CROP * CROP / (time.perf_counter() - begun)


if __name__ == "__main__":
    torch.set_num_threads(2)
    print("torch", torch.__version__)
    for profile in sys.argv[1:] or PROFILES:
        pixels = rate(profile)
        print(f"{profile:5} AdamW: {pixels / (BATCH * CROP * CROP):.2f} steps/s, {pixels / 1e6:.2f} Mpixel/s")
