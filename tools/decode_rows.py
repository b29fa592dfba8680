"""The codec `rows` of docs/file-format.md, for tables of text whose model is a `made` with one ordering. Part of
decode_archive.py: written from docs/file-format.md, docs/model-file.md and docs/numerics.md."""
import decimal
import hashlib
import json
import math
import re
import struct

from decode_bytes import GOLDEN, M32, M64, RECIPROCAL, STRETCH, Bytes, Damaged, clamp, mix, squash

INFINITY = math.inf
decimal.getcontext().prec = 200


class NotKnown(Damaged):
    """It may be sound, but this decoder does not know it."""


# ---- The model file -------------------------------------------------------------------------------------


def label(text):
    """Names, marks and levels are UTF-8, or bytes in hexadecimal."""
    return bytes.fromhex(text["hex"]) if isinstance(text, dict) else text.encode()


class Cell:
    """One number of a row: `kind` is binary, category, grid or real."""

    def __init__(self, field, kind, missingness):
        about = dict(field, low=0, high=1, bounded=True) if missingness else field
        self.kind, self.missingness, self.gate = kind, missingness, None
        self.n = 2 if kind == "binary" else len(field["levels"]) + 1 if kind == "category" else 0
        self.low, self.high, self.mean = float(about["low"]), float(about["high"]), float(field["mean"])
        self.sd = float(field["sd"]) if field["sd"] > 0 else 1.0
        self.bounded = about.get("bounded", False)


def cells_of(schema):
    """The cells of a row; and of each column its field and the number of its cell, or None."""
    cells, columns = [], []
    for field in schema["fields"]:
        kind, size = field["kind"], math.prod(field.get("shape", [1]))
        if kind == "text" or field.get("ignored"):
            columns += [(field, None)] * size
            continue
        if kind not in ("binary", "category", "grid", "real") or field.get("condition"):
            raise NotKnown(f"not known: fields that are {'conditions' if field.get('condition') else kind}")
        gate = None
        if field.get("missing"):
            gate = len(cells)
            cells.append(Cell(field, "binary", True))
        for _ in range(size):
            columns.append((field, len(cells)))
            cells.append(Cell(field, kind, False))
            cells[-1].gate = gate
    return cells, columns


def read_model(file):
    """The description and the tensors, (shape, flat list), of a model file whose hash is right."""
    n = struct.unpack_from("<Q", file)[0]
    if n > len(file) - 8:
        raise Damaged("the model's header")
    head = file[8:8 + n].rstrip(b" ")
    header = json.loads(head)
    about = header.pop("__metadata__")
    plain = head.replace(about["sha256"].encode(), b"0" * 64)
    whole = hashlib.sha256(hashlib.sha256(plain).digest() + hashlib.sha256(file[8 + n:]).digest())
    if about["format"] != "likely model" or whole.hexdigest() != about["sha256"]:
        raise Damaged("the model's hash")
    tensors = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        count = math.prod(tensor["shape"])
        if tensor["dtype"] not in ("F32", "F64"):
            raise NotKnown(f"not known: tensors of {tensor['dtype']}")
        letter, size = ("f", 4) if tensor["dtype"] == "F32" else ("d", 8)
        if end - begin != size * count or 8 + n + end > len(file):
            raise Damaged(f"the tensor {name}")
        tensors[name] = tensor["shape"], struct.unpack_from(f"<{count}{letter}", file, 8 + n + begin)
    return json.loads(about["likely"]), tensors


# ---- float32: numbers are Python's floats, rounded after each operation ------------------------------------


def f32(x):
    try:
        return struct.unpack("<f", struct.pack("<f", x))[0]
    except OverflowError:
        return math.copysign(INFINITY, x)


def fma32(a, b, c):
    """a·b + c rounded once: the product is exact in float64; their sum is rounded to odd there (Boldo and Melquiond
    2008), which a second rounding does not disturb."""
    p = a * b
    s = p + c
    back = s - p
    error = (p - (s - back)) + (c - back)
    if error != 0 and math.isfinite(s) and not struct.unpack("<q", struct.pack("<d", s))[0] & 1:
        s = math.nextafter(s, INFINITY if error > 0 else -INFINITY)
    return f32(s)


def horner32(p, x, coefficients):
    for c in coefficients:
        p = fma32(p, x, f32(c))
    return p


def hexadecimal(text):
    return [float.fromhex(c) for c in text.split()]


EXP32 = hexadecimal("0x1.6d43b4p-10 0x1.120be8p-7 0x1.5554e8p-5 0x1.5554dcp-3 0x1p-1")
LOG1P32 = hexadecimal("0x1.aa0312p-4 0x1.65995ep-4 0x1.c7fd24p-4 0x1.248f4ep-3 0x1.9999a0p-3 0x1.555556p-2")
TANH32 = hexadecimal("0x1.48ac64p-9 -0x1.16f890p-7 0x1.656c96p-6 -0x1.ba1396p-5 0x1.111104p-3 -0x1.555556p-2")
LOG2E32, LN2_HIGH32, LN2_LOW32 = hexadecimal("0x1.715476p+0 0x1.62e400p-1 0x1.7f7d1cp-20")


def exp32(x):
    y = max(-104.0, min(89.0, x))
    t = fma32(y, LOG2E32, 1.5 * 2 ** 23) - 1.5 * 2 ** 23
    n = int(t)
    r = fma32(t, -LN2_LOW32, fma32(t, -LN2_HIGH32, y))
    p = horner32(EXP32[0], r, EXP32[1:])
    p = f32(fma32(f32(p * r), r, r) + 1)
    h = n >> 1
    return f32(f32(p * 2.0 ** h) * 2.0 ** (n - h))


def log1p32(f):
    s = f32(f / f32(2 + f))
    w, z = f32(s + s), f32(s * s)
    return fma32(w, f32(horner32(LOG1P32[0], z, LOG1P32[1:]) * z), w)


def relu32(x):
    return 0.0 if x < 0 else x


def softplus32(x):
    return f32(log1p32(exp32(-abs(x))) + max(x, 0.0))


def tanh32(x):
    if abs(x) < 0.550000011920929:  # 0.55 as a float32
        z = f32(x * x)
        return fma32(f32(horner32(TANH32[0], z, TANH32[1:]) * z), x, x)
    b = min(abs(x), 10.0)
    return math.copysign(f32(1 - f32(2 / f32(exp32(f32(b + b)) + 1))), x)


ACTIVATIONS = {"relu": relu32, "softplus": softplus32, "tanh": tanh32}


def product(terms):
    """Sum of a·b over the (a, b): chunks of 256, in each one fma after another."""
    total = None
    for at in range(0, len(terms), 256):
        acc = 0.0
        for a, b in terms[at:at + 256]:
            acc = fma32(a, b, acc)
        total = acc if total is None else f32(total + acc)
    return 0.0 if total is None else total


# ---- Elementary functions in float64 -----------------------------------------------------------------------

LN2_HIGH, LN2_LOW, LOG2E, ROOT2 = hexadecimal(
    "0x1.62e42fee00000p-1 0x1.a39ef35793c76p-33 0x1.71547652b82fep+0 0x1.6a09e667f3bcdp+0")
EXP = hexadecimal("0x1.6124613a86d09p-33 0x1.1eed8eff8d898p-29 0x1.ae64567f544e4p-26 0x1.27e4fb7789f5cp-22"
                  " 0x1.71de3a556c734p-19 0x1.a01a01a01a01ap-16 0x1.a01a01a01a01ap-13 0x1.6c16c16c16c17p-10"
                  " 0x1.1111111111111p-7 0x1.5555555555555p-5 0x1.5555555555555p-3 0x1p-1")


def horner(coefficients, x):
    p = coefficients[0]
    for c in coefficients[1:]:
        p = p * x + c
    return p


def exp(x):
    if math.isnan(x) or x > 709.79:
        return x if math.isnan(x) else INFINITY
    if x < -745.2:
        return 0.0
    n = (x * LOG2E + 1.5 * 2 ** 52) - 1.5 * 2 ** 52
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    e = horner(EXP, r) * r * r + r
    h = int(n / 2)
    return ((1 + e) * 2.0 ** h) * 2.0 ** (int(n) - h)


def l_of(f):
    s = f / (2 + f)
    z = s * s
    h = 0.5 * f * f
    t = z * horner([1 / k for k in range(23, 1, -2)], z)
    return f - (h - s * (h + 2 * t))


def log(x):
    m, n = math.frexp(x)
    m, n = 2 * m, n - 1
    if m > ROOT2:
        m, n = 0.5 * m, n + 1
    return n * LN2_HIGH + (l_of(m - 1) + n * LN2_LOW)


def sigmoid(x):
    e = exp(-abs(x))
    return (e if x < 0 else 1.0) / (1 + e)


def log_bernoulli(logit, x):
    t = logit if x else -logit
    e = exp(-abs(t))
    return min(t, 0.0) - (LN2_HIGH + (l_of(0.5 * (e - 1)) + LN2_LOW) if e > 0.41 else l_of(e))


def lane_sum(numbers):
    lanes = [0.0] * 64
    for i, x in enumerate(numbers):
        lanes[i % 64] += x
    for w in (32, 16, 8, 4, 2, 1):
        lanes[:w] = [lanes[i] + lanes[i + w] for i in range(w)]
    return lanes[0]


# ---- MADE --------------------------------------------------------------------------------------------------


class Made:
    """What docs/model-file.md says of `made`: degrees of the units, and from cells the parameters of the next."""

    def __init__(self, file):
        about, tensors = read_model(file)
        if (about["format"], about["order_contract"]) != (1, 1):
            raise NotKnown(f"not known: format {about['format']}, order contract {about['order_contract']}")
        options = about["options"]
        if about["family"] != "made" or options["orderings"] != "1" or options["activation"] not in ACTIVATIONS:
            raise NotKnown(f"not known: models of the family {about['family']} with {options.get('orderings', 1)} orderings")
        self.schema = about["schema"]
        self.cells, self.columns = cells_of(self.schema)
        self.components, self.activation = int(options["components"]), ACTIVATIONS[options["activation"]]
        self.inputs = [c.n if c.kind == "category" else 1 for c in self.cells]
        self.outputs = [1 if c.kind == "binary" else c.n if c.kind == "category" else 3 * self.components
                        for c in self.cells]
        sizes, below, most = [int(s) for s in options["hidden"].split(",")], sum(self.inputs), max(len(self.cells) - 1, 1)
        self.degrees = [[j * most // h for j in range(h)] for h in sizes]
        self.layers = []
        for name, size in [*((f"hidden.{i}", h) for i, h in enumerate(sizes)), ("out", sum(self.outputs))]:
            weight, bias = tensors[name + ".weight"], tensors[name + ".bias"]
            if (weight[0], bias[0]) != ([below, size], [size]):
                raise Damaged(f"the tensors {name}")
            self.layers.append((size, weight[1], bias[1]))
            below = size

    def start(self):
        """A row of which nothing is known: its inputs, and the units that are known of each layer."""
        return [], [[] for _ in self.degrees]

    def learn(self, row, i, value):
        """The cell at place i is known (None: absent): its inputs, then the units of degree i."""
        x, hidden = row
        cell = self.cells[i]
        if value is None:
            x += [0.0] * self.inputs[i]
        elif cell.kind == "category":
            x += [float(k == value) for k in range(cell.n)]
        elif cell.kind == "binary":
            x.append(value)
        else:
            x.append(f32(max(-8.0, min(8.0, (value - cell.mean) / cell.sd))))
        below = x
        for (size, weight, bias), degrees, h in zip(self.layers, self.degrees, hidden):
            for j in range(len(h), size):
                if degrees[j] > i:
                    break
                # What is below and not yet known has weights that count as 0.
                total = product([(a, weight[k * size + j]) for k, a in enumerate(below)])
                h.append(self.activation(f32(total + bias[j])))
            below = h

    def parameters(self, row, i):
        size, weight, bias = self.layers[-1]
        first, below = sum(self.outputs[:i]), row[1][-1]
        return [f32(product([(a, weight[k * size + j]) for k, a in enumerate(below)]) + bias[j])
                for j in range(first, first + self.outputs[i])]


# ---- The distributions of cells ----------------------------------------------------------------------------


def probabilities(cell, parameters):
    """Of a finite cell's values."""
    if cell.kind == "binary":
        logs = [log_bernoulli(parameters[0], x) for x in (0, 1)]
    else:
        top = max(parameters)
        whole = log(lane_sum([exp(p - top) for p in parameters]))
        logs = [(p - top) - whole for p in parameters]
    out, total = [exp(p) for p in logs], 0.0
    for p in out:
        total += p
    return [p / total for p in out]


def cumulative(cell, parameters, value):
    """P(a cell's value <= value): a mixture of logistics."""
    at = value
    if cell.kind == "grid":
        if cell.bounded and value < cell.low:
            return 0.0
        if cell.bounded and value >= cell.high:
            return 1.0
        at = value + 0.5
    at = (at - cell.mean) / cell.sd
    m, total, part = len(parameters) // 3, 0.0, 0.0
    weights = [exp(p - max(parameters[:m])) for p in parameters[:m]]
    for w in weights:
        total += w
    least = -7.0 if cell.kind == "real" else -30.0
    for k, w in enumerate(weights):
        mean, log_scale = parameters[m + 2 * k:m + 2 * k + 2]
        z = (at - mean) * exp(-max(least, min(30.0, log_scale)))
        part += w * sigmoid(max(-1e150, min(1e150, z)))
    return max(0.0, min(1.0, part / total))


# ---- Decisions ---------------------------------------------------------------------------------------------


def logit_table():
    table, x = [], -3071
    for p in range(65536):
        while x < 3071 and squash(x) < p:
            x += 1
        table.append(x)
    return table


LOGIT = logit_table()
FIRST_WEIGHTS = [14000, 0] * 9 + [40000, 0, 0]


class Decisions:
    def __init__(self, code, rows, cells):
        self.t = next((t for t in range(12, 22) if 1 << t >= 32 * rows * cells), 22)
        self.nodes, self.weights = {}, ({}, {})
        self.rate, self.count = 120, 0
        self.code, self.at = code, 4
        self.low, self.high, self.x = 0, M32, int.from_bytes(code[:4].ljust(4, b"\0"), "big")

    def bit(self, p):
        middle = self.low + ((self.high - self.low) * p >> 16)
        y = int(self.x <= middle)
        if y:
            self.high = middle
        else:
            self.low = middle + 1
        while self.low >> 24 == self.high >> 24:
            self.low, self.high = self.low << 8 & M32, self.high << 8 & M32 | 255
            self.x = (self.x << 8 | (self.code[self.at] if self.at < len(self.code) else 0)) & M32
            self.at += 1
        return y

    def uniform(self, bits):
        value = 0
        for _ in range(bits):
            value = 2 * value + self.bit(32768)
        return value

    def node(self, context, k):
        h = (context * 65536 + k) * GOLDEN & M64
        i, check = h >> (64 - self.t), h >> 16 & 255
        two = [self.nodes.setdefault(j, [0, 0, 0]) for j in (i, i ^ 1)]
        for v in two:
            if v[1] > 0 and v[2] == check:
                return v
        v = two[two[1][1] < two[0][1]]
        v[:] = [32768, 0, check]
        return v

    def decide(self, contexts, group, step, p):
        nodes, inputs, known = [], [], 0
        for k, context in enumerate(contexts, 1):
            v = self.node(context, k)
            nodes.append(v)
            inputs += [STRETCH[v[0] >> 4] * (4 if v[1] > 2 else v[1] + 1) >> 2, v[0] - 32768 >> 5] if v[1] else [0, 0]
            known += (k <= 4 and v[1] > 1) << (k - 1)
        inputs += [LOGIT[p], p - 32768 >> 5, 256]
        numbers = 64 * group + min(step, 63), 16 * group + known
        sets = [s.setdefault(number, list(FIRST_WEIGHTS)) for s, number in zip(self.weights, numbers)]
        xs = [clamp(sum(a * b for a, b in zip(w, inputs)) >> 16, 3071) for w in sets]
        y = self.bit(max(1, min(65535, squash(sum(xs) >> 1))))
        goal = 65535 if y else 0
        for w, x in zip(sets, xs):
            error = (goal - squash(x)) * self.rate >> 8
            w[:] = [clamp(a + (b * error + 8192 >> 14), 1 << 20) for a, b in zip(w, inputs)]
        for v in nodes:
            v[0] += (goal - v[0]) * RECIPROCAL[v[1]] >> 16
            v[1] += v[1] < 254
        self.count += 1
        if self.count % 1024 == 0 and self.rate > 32:
            self.rate -= 1
        return y

    def at_end(self):
        return len(self.code) <= self.at < len(self.code) + 8


# ---- Rows --------------------------------------------------------------------------------------------------


def place_of(value):
    word = struct.unpack("<I", struct.pack("<f", value))[0]
    return ~word & M32 if word >> 31 else word | 1 << 31


def float_at(place):
    return struct.unpack("<f", struct.pack("<I", place & (1 << 31) - 1 if place >> 31 else ~place & M32))[0]


def window_end(x):
    return int(max(-2.0 ** 51, min(2.0 ** 51, x)))


def share_of(part, whole):
    if whole != 0:
        return part / whole
    return math.nan if part == 0 or math.isnan(part) or math.isnan(whole) else math.copysign(INFINITY, part)


class Value:
    """The decisions of one cell's value in one row."""

    def __init__(self, decisions, number, cell, parameters, seen):
        self.d, self.number, self.cell, self.parameters = decisions, number, cell, parameters
        self.above, self.left, self.partners = seen
        self.step = 0

    def decide(self, path, place, share):
        h, (l1, l2), (q1, q2) = mix(self.number + 1, path), self.left, self.partners
        both = mix(mix(h, q1), q2)
        contexts = [h, mix(h, l1), mix(h, q1), both, mix(h, self.above), mix(self.number + 1, place), mix(h, l2),
                    mix(mix(h, l1), l2), mix(both, l1)]
        p = 32768 if math.isnan(share) else max(1, min(65535, int(65536 * max(0.0, min(1.0, share)))))
        y = self.d.decide(contexts, self.number, self.step, p)
        self.step += 1
        return y

    def cdf(self, value):
        return cumulative(self.cell, self.parameters, float(value))

    def finite(self):
        p, low, high, path = probabilities(self.cell, self.parameters), 0, self.cell.n, 1
        while high - low > 1:
            middle = low + (high - low) // 2
            below = above = 0.0
            for q in p[low:middle]:
                below += q
            for q in p[middle:high]:
                above += q
            y = self.decide(path, path, share_of(above, below + above))
            low, high = (middle, high) if y else (low, middle)
            path = (2 * path + y) & M32
        return float(low)

    def escape(self, low, high):
        above = self.d.uniform(1)
        length = self.d.uniform(6)
        if not 1 <= length <= 55:
            raise Damaged("a distance from the window")
        n = 1 << (length - 1) | self.d.uniform(length - 1)
        return float(high + n if above else low - n)

    def grid(self):
        cell = self.cell
        span = 0.0 if cell.bounded else cell.high - cell.low + 1
        low, high = window_end(cell.low - span), window_end(cell.high + span)
        high = max(low, high)
        start, end = self.cdf(low - 1), self.cdf(high)
        if not (cell.bounded and cell.low > -2.0 ** 51 and cell.high < 2.0 ** 51):
            if not self.decide(1, 1, end - start):
                return self.escape(low, high)
        base, scale, position = 0, 1, 0
        if low < 0:
            base = -1
            while base > low:
                base *= 10
        while high - base >= 10 * scale:
            scale *= 10
        while scale:
            digit = 0
            for half in (8, 4, 2, 1):
                middle, y = base + (digit + half) * scale, 1
                if digit + half > 9 or middle > high:
                    continue
                if middle > low:
                    at = self.cdf(middle - 1)
                    node = 256 * position + 16 * (digit + half) + half
                    path = mix((base >> 32 ^ node) & M32, base & M32)
                    y = self.decide(path, 2 + 4 * node, share_of(end - at, end - start))
                    if y:
                        low, start = middle, at
                    else:
                        high, end = middle - 1, at
                digit += half if y else 0
            base += digit * scale
            scale //= 10
            position += 1
        return float(low)

    def real(self):
        low, high, base, start, end = 0x00800000, 0xFF7FFFFF, 0, 0.0, 1.0
        for b in range(31, -1, -1):
            middle = base + (1 << b)
            y = middle <= low
            if low < middle <= high:
                at = self.cdf(0.5 * (float_at(middle - 1) + float_at(middle)))
                y = self.decide(mix(middle, 1 << b), 1 << b, share_of(end - at, end - start))
                if y:
                    low, start = middle, at
                else:
                    high, end = middle - 1, at
            if y:
                base = middle
        return float_at(low)


def class_of(cell, value):
    if value is None:
        return 0
    if cell.kind == "real":
        return 1 + (place_of(value) >> 20)
    low, span, width = window_end(cell.low), cell.high - cell.low, 1
    if not cell.n and span >= 128:
        width = window_end(span) // 64 + 1
    at = value - low
    return 1 if at < 0 else 2 + min(int(at) // width if at < 2.0 ** 53 else 1 << 20, 1 << 20)


def bits_of(value):
    if value is None:
        return 0
    word = struct.unpack("<Q", struct.pack("<d", value))[0]
    return mix(word >> 32, word & M32) | 1


def decode_mixed(model, code, rows):
    """Rows of values, None where there is none."""
    cells = model.cells
    n = len(cells)
    if len(code) < 4 + 4 * n:
        raise Damaged("the rows' head")
    version, latent, side_by_side, how = code[:4]
    if (version, latent, how) != (2, 0, 0):
        raise NotKnown(f"not known: rows coded as version {version}, how {how}")
    partners = list(struct.iter_unpack("<HH", code[4:4 + 4 * n]))
    decisions = Decisions(code[4 + 4 * n:], rows, n)
    out, above = [], [None] * n
    while len(out) < rows:
        block = [[None] * n for _ in range(min(side_by_side + 1, rows - len(out)))]
        states = [model.start() for _ in block]
        for i, cell in enumerate(cells):
            for k, row in enumerate(block):
                if cell.gate is None or row[cell.gate] != 1:
                    left = [class_of(cells[j], row[j]) if j >= 0 else 0 for j in (i - 1, i - 2)]
                    for q in partners[i]:
                        if q != 65535 and q >= i:
                            raise Damaged("a partner")
                    right = [0 if q == 65535 else class_of(cells[q], row[q]) for q in partners[i]]
                    seen = bits_of((block[k - 1] if k else above)[i]), left, right
                    value = Value(decisions, i, cell, model.parameters(states[k], i), seen)
                    row[i] = value.finite() if cell.n else value.grid() if cell.kind == "grid" else value.real()
                model.learn(states[k], i, row[i])
        out += block
        above = block[-1]
    if not decisions.at_end():
        raise Damaged("the rows' code")
    return out


# ---- Rows by the density alone -----------------------------------------------------------------------------


WHOLE = 1 << 28


class Stack:
    """What docs/numerics.md has under "Coder": popped only."""

    def __init__(self, code):
        if len(code) < 8 or len(code) % 4:
            raise Damaged("the rows' code")
        self.state = struct.unpack_from("<Q", code)[0]
        self.words = list(struct.unpack_from(f"<{(len(code) - 8) // 4}I", code, 8))

    def drop(self, start, size, bits):
        self.state = size * (self.state >> bits) + (self.state & (1 << bits) - 1) - start
        if self.state < 1 << 31:
            if not self.words:
                raise Damaged("the rows' code")
            self.state = self.state << 32 | self.words.pop()

    def uniform(self, bits):
        value = self.state & (1 << bits) - 1
        self.drop(value, 1, bits)
        return value

    def symbol(self, n, below):
        """One of n, below(j) being the probability of those before the j-th."""
        if n == 1:
            return 0

        def start(j):
            c = below(j) if 0 < j < n else 0.0
            c = 0.0 if math.isnan(c) else max(0.0, min(1.0, c))
            return 0 if j == 0 else WHOLE if j == n else int(c * (WHOLE - 2 * n)) + 2 * j

        at, low, high = self.state & WHOLE - 1, 0, n
        while high - low > 1:
            middle = low + (high - low) // 2
            low, high = (middle, high) if start(middle) <= at else (low, middle)
        self.drop(start(low), start(high) - start(low), 28)
        return low

    def place(self, places, below):
        """One of so many places, below(k) being the probability of those before the k-th; in digits where they are many."""
        first, end, start, mass = 0, places, 0.0, 1.0
        shift = max(0, (places - 1).bit_length() - 16)
        while True:
            n = (end - first - 1 >> shift) + 1

            def share(j):
                return (below(first + (j << shift)) - start) / mass if mass > 0 else j / n

            j = self.symbol(n, share)
            if not shift:
                return first + j
            first += j << shift
            end = min(end, first + (1 << shift))
            start = below(first)
            mass, shift = below(end) - start, max(0, shift - 16)

    def at_end(self):
        return self.state == 1 << 31 and not self.words


def pop_finite(stack, cell, parameters):
    if cell.kind == "binary":
        running = [sigmoid(-parameters[0])]
    else:
        top, whole, running = max(parameters), 0.0, []
        for e in [exp(p - top) for p in parameters]:
            whole += e
            running.append(whole)
        running = [r / whole for r in running]
    return float(stack.symbol(cell.n, lambda j: running[j - 1]))


def pop_grid(stack, cell, parameters):
    span = 0.0 if cell.bounded else cell.high - cell.low + 1
    low, high = window_end(cell.low - span), window_end(cell.high + span)
    high = max(low, high)
    places = high - low + 3

    def below(k):
        return 0.0 if k == 0 else 1.0 if k >= places else cumulative(cell, parameters, float(low + k - 2))

    at = stack.place(places, below)
    if 0 < at < places - 1:
        return float(low + at - 1)
    length, n = stack.uniform(6), 1
    if not 1 <= length <= 55:
        raise Damaged("a distance from the window")
    left = length - 1
    while left:
        bits = left % 16 or 16
        left -= bits
        n = n << bits | stack.uniform(bits)
    return float(high + n if at else low - n)


def pop_real(stack, cell, parameters):
    def below(k):
        if k <= 0x00800000:
            return 0.0
        if k > 0xFF7FFFFF:
            return 1.0
        return cumulative(cell, parameters, 0.5 * (float_at(k - 1) + float_at(k)))

    return float_at(stack.place(1 << 32, below))


def decode_alone(model, code, rows):
    """Rows of values, None where there is none."""
    if len(code) < 4:
        raise Damaged("the rows' head")
    side_by_side, how = code[2:4]  # the second byte says something to latents alone
    if how != 0:
        raise NotKnown(f"not known: rows coded as version 1, how {how}")
    stack, out = Stack(code[4:]), []
    while len(out) < rows:
        block = [[None] * len(model.cells) for _ in range(min(side_by_side + 1, rows - len(out)))]
        states = [model.start() for _ in block]
        for i, cell in enumerate(model.cells):
            for k, row in enumerate(block):
                if cell.gate is None or row[cell.gate] != 1:
                    pop = pop_finite if cell.n else pop_grid if cell.kind == "grid" else pop_real
                    row[i] = pop(stack, cell, model.parameters(states[k], i))
                model.learn(states[k], i, row[i])
        out += block
    if not stack.at_end():
        raise Damaged("the rows' code")
    return out


def decode_rows(model, code, rows):
    return (decode_alone if code[:1] == b"\1" else decode_mixed)(model, code, rows)


# ---- Text --------------------------------------------------------------------------------------------------


class Side:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n > len(self.data) - self.at:
            raise Damaged("the side")
        self.at += n
        return self.data[self.at - n:self.at]

    def count(self):
        n = shift = 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    def counted(self):
        return self.take(self.count())

    def counts(self):
        inner, out = Side(self.counted()), []
        while inner.at < len(inner.data):
            out.append(inner.count())
        return out


def lines_of(text):
    return re.findall(rb"[^\n]*\n|[^\n]+", text)


def quoted(text, delimiter, inside):
    needed = not inside and (b'"' in text or delimiter in text)
    text = text.replace(b'"', b'""') if inside or needed else text
    return b'"' + text + b'"' if needed else text


def marked(text, field):
    """A number with the field's marks between thousands and before decimals."""
    sign, whole, rest = re.fullmatch(r"(-?)(\d*)(.*)", text).groups()
    if field.get("group"):
        whole = re.sub(r"(?<=\d)(?=(\d{3})+$)", field["group"], whole)
    return (sign + whole + rest.replace(".", field.get("decimal", "."))).encode()


def shortest(value):
    """The shortest decimal that reads as that float32, the nearest of those."""
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    exact = decimal.Decimal(abs(value))
    for n in range(1, 10):
        step = decimal.Decimal(1).scaleb(exact.adjusted() + 1 - n)
        both = [exact.quantize(step, rounding) for rounding in (decimal.ROUND_FLOOR, decimal.ROUND_CEILING)]
        good = [d for d in both if f32(float(d)) == abs(value)]
        if good:
            break
    best = min(good, key=lambda d: abs(d - exact)).normalize()
    digits, point = "".join(map(str, best.as_tuple().digits)), best.adjusted() + 1
    if 0 < point <= 17:
        digits = digits.ljust(point, "0")
        text = digits[:point] + "." * (len(digits) > point) + digits[point:]
    elif -5 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        text = digits[0] + "." * (len(digits) > 1) + digits[1:] + f"e{point - 1}"
    return "-" * (value < 0) + text


class Column:
    def __init__(self, field, cell, side):
        self.field, self.cell = field, cell
        self.before, self.behind = side.counted(), side.counted()
        self.missing, self.counts, self.number = None, False, 0
        if cell is None:
            self.counts = side.count() != 0
        else:
            self.decimals = side.count()
            n = side.count()
            self.missing = side.take(n - 1) if n else None
        self.gaps = side.counts()[::-1]
        self.until = self.gaps.pop() if self.gaps else -1

    def kept(self):
        if not self.texts:
            raise Damaged("a kept text")
        return self.texts.pop()

    def spelled(self, value, delimiter):
        kind = self.field["kind"]
        if kind == "category":
            levels = self.field["levels"]
            known = label(levels[int(value)]) if value < len(levels) else b""
            return quoted(known, delimiter, self.before.endswith(b'"'))
        if kind == "real":
            return marked(shortest(value), self.field)
        places = self.field.get("places", 0) if kind == "grid" else 0
        digits = str(abs(int(value))).rjust(places + 1, "0")
        whole, rest = (digits[:-places], digits[-places:]) if places > 0 else (digits, "")
        while len(rest) > self.decimals and rest.endswith("0"):
            rest = rest[:-1]
        rest = rest.ljust(self.decimals, "0")
        return marked("-" * (value < 0) + whole + "." * (rest != "") + rest, self.field)

    def text(self, row, first, delimiter):
        if self.cell is not None and self.until == 0:
            self.until = self.gaps.pop() if self.gaps else -1
            return self.kept()
        self.until -= self.until > 0
        if self.cell is not None:
            if row[self.cell] is None:
                if self.missing is None:
                    raise Damaged("a missing value")
                return self.missing
            return self.before + self.spelled(row[self.cell], delimiter) + self.behind
        if not self.counts:
            return self.before + self.kept() + self.behind
        self.number = int(self.kept()) if first else self.number + 1
        return self.before + str(self.number).encode() + self.behind


def join(model, rows, side):
    """The text of which these are the rows and the side."""
    side = Side(side)
    header = side.take(1)[0]
    delimiter, runs, lines = side.take(1), side.counts(), lines_of(side.counted())
    columns = [Column(field, cell, side) for field, cell in model.columns]
    for c in columns:
        texts = side.counted()
        c.texts = texts.split(b"\n")[-2::-1]
    if side.at != len(side.data):
        raise Damaged("the side")
    out, open_line = [], bool(lines) and not lines[-1].endswith(b"\n")
    if header & 3:
        inside = header & 3 == 2
        names = [quoted(label(field["name"]), delimiter, inside) for field, _ in model.columns]
        out.append(delimiter.join(b'"' + name + b'"' if inside else name for name in names) + b"\n")
    row, line = 0, 0
    for turn, run in enumerate(runs):
        if row + run > len(rows) and turn % 2 == 0 or line + run > len(lines) and turn % 2:
            raise Damaged("runs of rows")
        for _ in range(run):
            if turn % 2:
                out.append(lines[line])
                line += 1
            else:
                out.append(delimiter.join(c.text(rows[row], row == 0, delimiter) for c in columns) + b"\n")
                row += 1
    whole = b"".join(out)
    return whole[:-1] if header & 4 and not open_line else whole


# ---- Chunks ------------------------------------------------------------------------------------------------


def unpack_model(body):
    """The model file of a record `MODL`."""
    coded, level, w, _, n = struct.unpack_from("<BBBBI", body)
    if coded > 1 or not 1 <= w <= 8 and coded:
        raise Damaged("the model's record")
    if not coded:
        return body[8:8 + n]
    apart = Bytes(level, n).decode(body[8:])
    begin = 8 + struct.unpack_from("<Q", apart)[0]
    count = (n - begin) // w
    if count < 0:
        raise Damaged("the model's record")
    out = bytearray(apart)
    for b in range(w):
        plane = begin + (w - 1 - b) * count
        out[begin + b:begin + count * w:w] = apart[plane:plane + count]
    return bytes(out)


def decode_chunk(model, level, n, code):
    if not code or code[0] > 2:
        raise Damaged("a chunk's first byte")
    if code[0] == 0:
        return Bytes(level, n).decode(code[1:])
    if code[0] == 2:
        raise NotKnown("not known: rows of an array")
    if len(code) < 13:
        raise Damaged("a chunk of rows")
    rows, n_side, n_code = struct.unpack_from("<III", code, 1)
    if rows > n + 1 or n_side > 2 * n + 4096 + 64 * len(model.columns) or 13 + n_code > len(code):
        raise Damaged("a chunk of rows")
    side = Bytes(level, n_side).decode(code[13:13 + n_code])
    return join(model, decode_rows(model, code[13 + n_code:], rows), side)
