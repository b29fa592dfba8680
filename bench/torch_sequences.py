"""torch_sequences.py WHAT MODE THREADS [BATCH]: prints PyTorch's version and its seconds, on the same network as bench/run's.

WHAT: a step of learning (transformer-small, of 12 windows of 64 bytes, 4 layers of 128; transformer-large, of 8 of 128, 6 of 384; lstm-small
and lstm-large, of 32 of 64, 256 and 512 units; wavenet-small and wavenet-large, of 4 of 1,024, 10 layers of 32 residual and 64 skip channels,
20 of 64 and 128), or transformer-one and lstm-one (a symbol of each of BATCH texts with keys and values, or the state, kept: 6 layers
of 384 with 6 heads after 128 symbols, and 512 units). MODE: eager or compiled."""
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

what, mode, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
batch = int(sys.argv[4]) if len(sys.argv) > 4 else 1
torch.set_num_threads(threads)
torch.manual_seed(1)
SYMBOLS = 256


def turned(x, angles):
    c, s = angles
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, eps=1e-5), nn.RMSNorm(width, eps=1e-5)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, h, angles, kept=None, at=None):
        rows, n, width = h.shape
        q, k, v = (x.view(rows, n, self.heads, -1).transpose(1, 2) for x in self.qkv(self.norm1(h)).chunk(3, -1))
        q, k = turned(q, angles), turned(k, angles)
        if kept is not None:
            kept[0][:, :, at], kept[1][:, :, at] = k[:, :, 0], v[:, :, 0]
            y = F.scaled_dot_product_attention(q, kept[0][:, :, :at + 1], kept[1][:, :, :at + 1])
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.out(y.transpose(1, 2).reshape(rows, n, width))
        return h + self.down(F.gelu(self.up(self.norm2(h))))


class Transformer(nn.Module):
    def __init__(self, layers, width, heads, context):
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.RMSNorm(width, eps=1e-5), nn.Linear(width, SYMBOLS)
        size = width // heads
        angle = torch.arange(context)[:, None] * 10000 ** (-torch.arange(0, size, 2) / size)
        self.register_buffer("c", angle.cos())
        self.register_buffer("s", angle.sin())

    def forward(self, x, kept=None, at=None):
        h = self.embed(x)
        angles = (self.c[:x.shape[1]], self.s[:x.shape[1]]) if at is None else (self.c[at:at + 1], self.s[at:at + 1])
        for i, block in enumerate(self.blocks):
            h = block(h, angles, None if kept is None else kept[i], at)
        return self.head(self.norm(h))


class Recurrent(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS + 1, width)
        self.cell, self.head = nn.LSTM(width, width, batch_first=True), nn.Linear(width, SYMBOLS)

    def forward(self, x, state=None):
        h, state = self.cell(self.embed(x), state)
        return self.head(h), state


class WaveNet(nn.Module):
    def __init__(self, layers, width, skips):
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS + 1, width)
        self.gates = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2 ** (i % 10)) for i in range(layers))
        self.residual = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(layers - 1))
        self.skip = nn.ModuleList(nn.Conv1d(width, skips, 1, bias=i == 0) for i in range(layers))
        self.hidden, self.head = nn.Conv1d(skips, skips, 1), nn.Conv1d(skips, SYMBOLS, 1)

    def forward(self, x):
        h, total = self.embed(x).transpose(1, 2), 0
        for i, gates in enumerate(self.gates):
            a, b = gates(F.pad(h, (gates.dilation[0], 0))).chunk(2, 1)
            z = torch.tanh(a) * torch.sigmoid(b)
            total = total + self.skip[i](z)
            if i < len(self.residual):
                h = h + self.residual[i](z)
        return self.head(F.relu(self.hidden(F.relu(total)))).transpose(1, 2)


def median_seconds(step, few, many):
    for i in range(few):
        step(i)
    took = []
    for i in range(few, few + many):
        began = time.perf_counter()
        step(i)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def training(model, rows, length=64, few=5, many=30):
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
    x = torch.randint(SYMBOLS, (rows, length + 1))

    def loss_of(x):
        y = model(x[:, :-1])
        y = y[0] if isinstance(y, tuple) else y
        return F.cross_entropy(y.reshape(-1, SYMBOLS), x[:, 1:].reshape(-1), reduction="sum") / rows

    loss_of = torch.compile(loss_of) if mode == "compiled" else loss_of

    def step(_):
        optimiser.zero_grad(set_to_none=True)
        loss_of(x).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return median_seconds(step, few, many)


@torch.inference_mode()
def sampling(what):
    x = torch.randint(SYMBOLS, (batch, 1))
    if what == "lstm-one":  # LSTMCell: nn.LSTM through oneDNN packs its weights anew at each symbol, ten times as long
        embed, cell, head = nn.Embedding(SYMBOLS + 1, 512), nn.LSTMCell(512, 512), nn.Linear(512, SYMBOLS)
        state = [None]

        def step(_):
            nonlocal x
            state[0] = cell(embed(x[:, 0]), state[0])
            x = torch.multinomial(head(state[0][0]).softmax(-1), 1)
    else:
        model = Transformer(6, 384, 6, 256).eval()
        kept = [torch.zeros(2, batch, 6, 256, 64) for _ in range(6)]

        def step(i):
            nonlocal x
            x = torch.multinomial(model(x, kept, i)[:, -1].softmax(-1), 1)
    return median_seconds(step, 20, 230) if what != "lstm-one" else median_seconds(step, 50, 500)


STEPS = {"transformer-small": lambda: training(Transformer(4, 128, 4, 64), 12),
         "transformer-large": lambda: training(Transformer(6, 384, 6, 128), 8, 128, 3, 8),
         "lstm-small": lambda: training(Recurrent(256), 32),
         "lstm-large": lambda: training(Recurrent(512), 32, 64, 3, 12),
         "wavenet-small": lambda: training(WaveNet(10, 32, 64), 4, 1024, 4, 12),
         "wavenet-large": lambda: training(WaveNet(20, 64, 128), 4, 1024, 3, 8)}
took = STEPS[what]() if what in STEPS else sampling(what)
print(torch.__version__, took)
