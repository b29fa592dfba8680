"""torch_steps.py WHAT eager|compiled THREADS DATA (WHAT begins with made or vae): prints PyTorch's version and its seconds a training step
of the same network as bench/run's, on the same rows, with Adam in its fastest form."""
import statistics
import sys
import time

import numpy
import torch
from torch import nn
from torch.nn import functional as F

family, mode, threads, path = sys.argv[1].split()[0], sys.argv[2], int(sys.argv[3]), sys.argv[4]
torch.set_num_threads(threads)
torch.manual_seed(1)
rows = torch.from_numpy(numpy.unpackbits(numpy.load(path), axis=1)[:, :784].astype("f4"))
BATCH = {"made": 100, "vae": 128}[family]


class Made(nn.Module):
    def __init__(self, n=784, hidden=500):
        super().__init__()
        self.first, self.out = nn.Linear(n, hidden), nn.Linear(hidden, n)
        degree = torch.arange(hidden) * (n - 1) // hidden
        self.register_buffer("below", (degree[:, None] >= torch.arange(n)[None]).float())
        self.register_buffer("above", (torch.arange(n)[:, None] > degree[None]).float())

    def forward(self, x):
        h = F.relu(F.linear(x, self.first.weight * self.below, self.first.bias))
        logits = F.linear(h, self.out.weight * self.above, self.out.bias)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


class Vae(nn.Module):
    def __init__(self, n=784, hidden=500, latents=50):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(n, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
                                    nn.Linear(hidden, 2 * latents))
        self.decode = nn.Sequential(nn.Linear(latents, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
                                    nn.Linear(hidden, n))

    def forward(self, x):
        mean, log_sd = self.encode(x).chunk(2, 1)
        z = mean + torch.exp(log_sd) * torch.randn_like(mean)
        kl = 0.5 * (mean ** 2 + torch.exp(2 * log_sd) - 2 * log_sd - 1).sum()
        return (F.binary_cross_entropy_with_logits(self.decode(z), x, reduction="sum") + kl) / len(x)


model = Made() if family == "made" else Vae()
optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
loss_of = torch.compile(model) if mode == "compiled" else model


def step(i):
    x = rows[i * BATCH % (len(rows) - BATCH):][:BATCH]
    optimiser.zero_grad(set_to_none=True)
    loss_of(x).backward()
    optimiser.step()


for i in range(30):
    step(i)
took = []
for i in range(300):
    began = time.perf_counter()
    step(i)
    took.append(time.perf_counter() - began)
print(torch.__version__, statistics.median(took))
