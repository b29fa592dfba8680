#!/usr/bin/python3
"""decode_archive.py [--model MODEL] ARCHIVE: writes what an archive holds to standard output. Slow and plain: it was
written from docs/file-format.md, docs/model-file.md and docs/numerics.md and shares nothing with the program, so that the
pages are known to be complete. Of the codec `rows` it knows tables of text whose model is a `made` with one ordering, and
names what it does not know."""
import argparse
import hashlib
import struct
import sys
import zlib

sys.dont_write_bytecode = True
from decode_bytes import Bytes, Damaged  # noqa: E402
from decode_order0 import decode_order0  # noqa: E402
from decode_rows import Made, decode_chunk, unpack_model  # noqa: E402

MAGIC = b"\x8clka\r\n\x1a\n"


def records(data):
    if data[:8] != MAGIC:
        raise Damaged("no archive")
    at = 8
    while at < len(data):
        if at + 12 > len(data):
            raise Damaged("cut short")
        tag, n, crc = struct.unpack_from("<4sII", data, at)
        if zlib.crc32(data[at:at + 8]) != crc or at + 16 + n > len(data):
            raise Damaged(f"record at {at}")
        body = data[at + 12:at + 12 + n]
        if zlib.crc32(body) != struct.unpack_from("<I", data, at + 12 + n)[0]:
            raise Damaged(f"record at {at}: body")
        yield at, tag.decode("ascii"), body
        at += 16 + n


def model_of(file, digest):
    """The model of the rows, if it is the file whose SHA-256 the head has."""
    if hashlib.sha256(file).digest() != digest:
        raise Damaged(f"the model is not the one of SHA-256 {digest.hex()}")
    return Made(file)


def decode(data, model_file=None):
    out, places, codec, model = [], [], None, None
    done = False
    for at, tag, body in records(data):
        if done:
            raise Damaged("something follows the end")
        if codec is None and tag != "HEAD":
            raise Damaged("no head")
        if tag == "HEAD":
            version, contract, name, codec_version, level, most, needs, digest = struct.unpack_from("<II16sIIII32s", body)
            codec = name.rstrip(b"\0").decode("ascii")
            known = {"stored": 0, "bytes": 0, "order0": 0, "rows": 1}
            if (version, contract, codec_version) != (1, 1, 1) or known.get(codec) != needs:
                raise Damaged(f"not known: format {version}, codec {codec} {codec_version}, model {needs}")
        elif tag == "MODL":
            if out or codec != "rows":
                raise Damaged("a model where there is none")
            model = model_of(unpack_model(body), digest)
        elif tag == "CHNK":
            number, n, method = struct.unpack_from("<QII", body)
            if number != len(out) or n > most or method > 1:
                raise Damaged(f"chunk {number}")
            if method and codec == "rows":
                if not model and not model_file:
                    raise Damaged(f"it needs --model, the model of SHA-256 {digest.hex()}")
                model = model or model_of(model_file, digest)
                chunk = decode_chunk(model, level, n, body[24:])
            elif method and codec == "order0":
                chunk = decode_order0(n, body[24:])
            else:
                chunk = Bytes(level, n).decode(body[24:]) if method else body[24:]
            if len(chunk) != n or hashlib.sha256(chunk).digest()[:8] != body[16:24]:
                raise Damaged(f"chunk {number}: its hash")
            places.append((at, sum(map(len, out))))
            out.append(chunk)
        elif tag == "INDX":
            if places != list(struct.iter_unpack("<QQ", body)):
                raise Damaged("index")
            index_at = at
        elif tag == "DONE":
            whole = b"".join(out)
            if struct.unpack_from("<QQQ", body) != (len(whole), len(out), index_at):
                raise Damaged("sizes")
            if hashlib.sha256(whole).digest() != body[24:56]:
                raise Damaged("hash")
            done = True
        elif not tag[0].islower():
            raise Damaged(f"unknown record {tag}")
    if not done:
        raise Damaged("cut short")
    return whole


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=argparse.FileType("rb"))
    parser.add_argument("--model", type=argparse.FileType("rb"), help="of the codec rows, where it is not embedded")
    given = parser.parse_args()
    try:
        whole = decode(given.archive.read(), given.model and given.model.read())
    except Damaged as why:
        sys.exit(f"decode_archive.py: {why}")
    sys.stdout.buffer.write(whole)


if __name__ == "__main__":
    main()
