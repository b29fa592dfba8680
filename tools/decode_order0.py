"""The codec `order0`, from docs/file-format.md."""
import struct

from decode_bytes import Damaged


def decode_order0(n, code):
    if len(code) == 2 and code[0] == 0:
        return code[1:] * n
    if len(code) < 33 or code[0] != 1:
        raise Damaged("order0: its first byte")
    at, place = 33, []  # for each of 4096 places: byte, start, share
    for byte in range(256):
        if not code[1 + byte // 8] >> byte % 8 & 1:
            continue
        share = code[at] if at < len(code) else 0
        at += 1
        if share > 127:
            share = share & 127 | (code[at] if at < len(code) else 0) << 7
            at += 1
        place += [(byte, len(place), share + 1)] * (share + 1)
    if len(place) != 4096 or place[0][2] == 4096 or at + 128 > len(code) or (len(code) - at) % 2:
        raise Damaged("order0: shares")
    states = list(struct.unpack_from("<32I", code, at))
    words = struct.iter_unpack("<H", code[at + 128:])
    out = bytearray()
    for i in range(n):
        x = states[i % 32]
        byte, start, share = place[x % 4096]
        out.append(byte)
        x = x // 4096 * share + x % 4096 - start
        if x < 65536:
            word = next(words, None)
            if word is None:
                raise Damaged("order0: words")
            x = x << 16 | word[0]
        states[i % 32] = x
    if any(x != 65536 for x in states) or next(words, None):
        raise Damaged("order0: its end")
    return bytes(out)
