"""spectrogram.py OUT.png RECORDING.wav …: spectrograms one under the other, 0 to half the rate, 80 dB from white to black."""
import pathlib
import sys
import wave

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

out, *paths = sys.argv[1:]
figure, axes = plt.subplots(len(paths), 1, figsize=(8, 1.7 * len(paths)), squeeze=False)
for ax, path in zip(axes[:, 0], paths):
    with wave.open(path) as file:
        rate, x = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    frames = np.lib.stride_tricks.sliding_window_view(x, 256)[::64] * np.hanning(256)
    power = 20 * np.log10(np.abs(np.fft.rfft(frames)) + 1e-6)
    ax.imshow(power.T, origin="lower", aspect="auto", cmap="gray_r", vmax=power.max(), vmin=power.max() - 80,
              extent=(0, len(x) / rate, 0, rate / 2000))
    ax.set_title(pathlib.Path(path).stem, fontsize=8, loc="left")
    ax.set_ylabel("kHz", fontsize=7)
    ax.tick_params(labelsize=7)
axes[-1, 0].set_xlabel("s", fontsize=7)
figure.tight_layout()
figure.savefig(out, dpi=80, metadata={"Software": None})
