#!/usr/bin/python3
"""bands.py FOLDER [HOP [BANDS]]: beside each WAV file (16 bits, one channel) features of its frames, as NAME.npy, float32 [frames, bands]: log10 of the
energy in triangular bands that are as wide as each other on the mel scale (m = 2595 log10(1 + Hz/700)), of 3·HOP samples about each frame's HOP, in Hann's
window. For `likely fit wavenet FOLDER --frames .npy --hop HOP`; HOP is 80, BANDS 8 where left out."""
import pathlib
import sys
import wave

import numpy as np


def triangles(bands, size, rate):
    """[bands, size // 2 + 1], each from the middle of the one before to the middle of the one after."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corner = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    hz = np.arange(size // 2 + 1) * rate / size
    rise = (hz - corner[:-2, None]) / (corner[1:-1] - corner[:-2])[:, None]
    fall = (corner[2:, None] - hz) / (corner[2:] - corner[1:-1])[:, None]
    return np.clip(np.minimum(rise, fall), 0, None)


def features(x, rate, hop, bands):
    n = -(-len(x) // hop)
    padded = np.concatenate([np.zeros(hop), x, np.zeros((n + 1) * hop - len(x))])
    size = 3 * hop
    pieces = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:n]
    power = np.abs(np.fft.rfft(pieces * np.hanning(size), axis=1)) ** 2
    return np.log10(power @ triangles(bands, size, rate).T + size).astype(np.float32)


def main(folder, hop=80, bands=8):
    for path in sorted(pathlib.Path(folder).rglob("*.wav")):
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2 or file.getnchannels() != 1:
                sys.exit(f"{path} has not one channel of 16 bits")
            x, rate = np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()
        np.save(path.with_suffix(".npy"), features(x.astype(float), rate, int(hop), int(bands)))


main(*sys.argv[1:])
