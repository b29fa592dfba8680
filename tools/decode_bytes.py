"""The codec `bytes` of docs/file-format.md, and the functions that the codec `rows` shares with it. Part of
decode_archive.py."""

GOLDEN = 0x9E3779B97F4A7C15
M64, M32 = (1 << 64) - 1, (1 << 32) - 1


class Damaged(Exception):
    pass


SQUASH = [0] * 6143
e = 1 << 30
for k in range(3072):
    value = min(65535, (1 << 46) // ((1 << 30) + e))
    SQUASH[3071 + k] = value
    if k:
        SQUASH[3071 - k] = 65536 - value
    e = e * 4278222672 >> 32


def squash(x):
    return SQUASH[3071 + max(-3071, min(3071, x))]


STRETCH = []
x = -2047
for i in range(4096):
    while x < 2047 and squash(x) < 16 * i + 8:
        x += 1
    STRETCH.append(x)
RECIPROCAL = [131072 // (2 * n + 3) for n in range(1024)]
EVERY = set(range(20))
LEVELS = {1: ({1, 3}, 16, 1, False), 2: ({0, 1, 2, 3}, 17, 1, False), 3: ({0, 1, 2, 3, 5, 7}, 18, 1, False),
          4: ({0, 1, 2, 3, 4, 5, 7}, 19, 2, True), 5: ({0, 1, 2, 3, 5, 7, 8, 18}, 20, 2, True),
          6: ({0, 1, 2, 3, 4, 5, 7, 8, 11, 16, 18}, 20, 3, True), 7: (EVERY - {6, 13, 14, 15, 17}, 21, 4, True),
          8: (EVERY - {15}, 22, 6, True), 9: (EVERY, 23, 6, True)}
LIMITS = [250, 250, 200, 120, 100, 60, 60, 120, 100, 100, 100, 100, 100, 120, 120, 120, 60, 60, 60, 100]


def mix(a, b):
    h = ((a << 32) + b) * GOLDEN & M64
    return (h >> 32 ^ h >> 11) & M32


def is_letter(c):
    return 97 <= c <= 122 or 65 <= c <= 90 or c >= 128


def is_digit(c):
    return 48 <= c <= 57


def clamp(x, limit):
    return max(-limit, min(limit, x))


def learn(a, y, limit):
    a[0] += ((4194303 if y else 0) - a[0]) * RECIPROCAL[a[1]] >> 16
    if a[1] < limit:
        a[1] += 1


class Bucket:
    def __init__(self, check=0):
        self.check, self.last, self.run = check, 0, 0
        self.nodes = [[32768, 0, 0] for _ in range(15)]


class Bytes:
    def __init__(self, level, n):
        contexts, most, self.sets, self.corrects = LEVELS[level]
        self.kinds, self.n = sorted(contexts), n
        count = len(self.kinds)
        self.t = next((t for t in range(10, most) if 1 << t >= n * count * 5 // 4), most)
        self.m = next((m for m in range(10, 22) if 1 << m >= n), 22)
        self.table, self.match_table = {}, [{}, {}]
        self.out = bytearray()
        self.after1, self.after2 = {}, {}
        self.c4 = self.c8 = self.word = self.word1 = self.word2 = self.field = self.shape = 0
        self.line = self.above = 0
        past = []
        for k in range(256):
            bits = bin(k)[3:] if k else ""
            past.append(2097151 * (2 * bits.count("1") + 1) // (len(bits) + 1))
        self.past = [[[p, 0] for _ in range(4) for p in past] for _ in self.kinds]
        self.run = [[[4194303 - 4194303 // (k // 8 + 2), 0] for k in range(512)] for _ in self.kinds]
        self.right = [[[4194303 - 4194303 // (k + 2), 0] for k in range(64)] for _ in range(2)]
        self.place, self.length = [0, 0], [0, 0]
        first = 60000 // count
        self.first_weights = [0 if k < 4 * count and k % 4 == 2 else first for k in range(-(-(4 * count + 5) // 8) * 8)]
        self.weights = [{} for _ in range(self.sets)]
        self.v = {}
        self.corrected = [{} for _ in range(3)]
        self.rate = 64
        self.c0, self.bit = 1, 0
        self.find_buckets()

    def byte(self, at):
        return self.out[at]

    def context(self, k):
        c4, c1, column, mine = self.c4, self.c4 & 255, len(self.out) - self.line, self.above + len(self.out) - self.line
        up = self.out[mine] if mine < self.line else 0
        two = self.out[mine + 1] if mine + 1 < self.line else 0
        return [lambda: c1, lambda: c4 & 0xFFFF, lambda: c4 & 0xFFFFFF, lambda: c4, lambda: mix(c4, self.c8 & 0xFF),
                lambda: mix(c4, self.c8 & 0xFFFF), lambda: mix(c4, self.c8), lambda: mix(self.word, c1),
                lambda: mix(mix(self.word, c1), self.word1), lambda: mix(mix(self.word, c1), self.word2),
                lambda: mix(self.word1, c4 & 0xFFFF), lambda: self.after1.get(c1, 0) + c1 * 65536,
                lambda: mix(self.after2.get(c4 & 0xFFFF, 0), c1), lambda: c4 & 0xFFFF00, lambda: c4 & 0xFF00FF00,
                lambda: c4 & 0xF0F0F0F0, lambda: up * 256 + c1, lambda: mix(min(column, 255), up * 256 + two),
                lambda: mix(self.field, c1 | up * 256), lambda: mix(self.shape, c1)][k]()

    def bucket(self, value):
        h = value * GOLDEN & M64
        i, check = h >> (64 - self.t), (h >> 16 & 65535) or 1
        three = [self.table.setdefault(i ^ k, Bucket()) for k in range(3)]
        for b in three:
            if b.check == check:
                return b
        # Emptied in place: others may hold it.
        worst = min(three, key=lambda b: b.nodes[0][1])
        worst.__init__(check)
        return worst

    def find_buckets(self):
        if self.bit == 0:
            self.hash = [mix(self.context(k), k + 1) for k in self.kinds]
        self.here = [self.bucket(h * 65536 + (self.c0 if self.bit else 0)) for h in self.hash]
        if self.bit == 0:
            self.first = self.here

    def predict(self):
        bit, c0 = self.bit, self.c0
        k = bit % 4
        at = 2 ** k - 1 + c0 % 2 ** k
        self.node = [b.nodes[at] for b in self.here]
        self.used_past, self.used_run, self.used_right = [], [], [None, None]
        inputs = []
        for i in range(len(self.kinds)):
            (p, n, past), b, four = self.node[i], self.first[i], [0, 0, 0, 0]
            a = r = None
            if n > 0:
                often = 0 if n < 8 else 1 if n < 20 else 2 if n < 60 else 3
                a = self.past[i][often * 256 + past]
                four[0] = STRETCH[p >> 4] * (4 if n > 2 else n + 1) >> 2
                four[1], four[2] = STRETCH[a[0] >> 10], (a[0] >> 10) - 2048 >> 1
            if b.run and (b.last + 256) >> (8 - bit) == c0:
                r = self.run[i][min(b.run, 63) * 8 + bit]
                four[3] = STRETCH[r[0] >> 10] * (1 if b.last >> (7 - bit) & 1 else -1)
            self.used_past.append(a)
            self.used_run.append(r)
            inputs += four
        for i in range(2):
            two = [0, 0]
            if self.place[i]:
                e = self.out[self.place[i]]
                if (e + 256) >> (8 - bit) == c0:
                    n = self.length[i]
                    a = self.used_right[i] = self.right[i][n if n < 32 else min(63, 32 + (n - 32) // 8)]
                    sign = 1 if e >> (7 - bit) & 1 else -1
                    two = [sign * STRETCH[a[0] >> 10], sign * ((a[0] >> 10) - 2048 >> 1)]
                else:
                    self.place[i] = self.length[i] = 0
            inputs += two
        self.inputs = inputs + [256] + [0] * (len(self.first_weights) - len(inputs) - 1)
        n = self.length[1] if self.place[1] else self.length[0] if self.place[0] else 0
        steps = n if n < 16 else 16 if n < 32 else 17 if n < 64 else 18
        known = sum(1 for kind, v in zip(self.kinds, self.node) if kind <= 6 and v[1] > 0)
        last = [self.c4 >> 8 * j & 255 for j in range(3)]
        k1, k2, k3 = (3 if is_letter(c) else 2 if is_digit(c) else 1 if c > 32 else 0 for c in last)
        numbers = [c0, 8 * steps + bit, last[0], 8 * known + bit, last[1], 64 * k1 + 16 * k2 + 4 * k3 + (bit >> 1)]
        self.w = [self.weights[s].setdefault(numbers[s], list(self.first_weights)) for s in range(self.sets)]
        self.xs = [clamp(sum(a * b >> 8 for a, b in zip(w, self.inputs)) >> 8, 2047) for w in self.w]
        self.ps = [squash(x) for x in self.xs]
        self.v_here = self.v.setdefault(c0, [65536 // self.sets] * self.sets)
        x = clamp(sum(a * b >> 8 for a, b in zip(self.v_here, self.xs)) >> 8, 2047)
        p = self.mixed = squash(x)
        if self.corrects:
            c4 = self.c4
            at = [c0 + 256 * (c4 & 255), mix(c4 & 0xFFFF, c0) >> 16, mix(c4 & 0xFFFFFF, c0) >> 16]
            l, w = x + 2048 >> 7, x + 2048 & 127
            self.rows = [t.setdefault(i, [squash(128 * (j - 16)) for j in range(33)]) for t, i in zip(self.corrected, at)]
            self.row_at = l + (w >= 64)
            p = p + sum(r[l] * (128 - w) + r[l + 1] * w >> 7 for r in self.rows) >> 2
        return max(1, min(65535, p))

    def learn(self, y):
        goal, next_bit = 65535 if y else 0, 7 - self.bit
        for w, p in zip(self.w, self.ps):
            error = (goal - p) * self.rate >> 8
            w[:] = [clamp(a + (b * error + 8192 >> 14), 1 << 19) for a, b in zip(w, self.inputs)]
        error = (goal - self.mixed) * 14 >> 8
        self.v_here[:] = [clamp(a + (b * error + 8192 >> 14), 1 << 19) for a, b in zip(self.v_here, self.xs)]
        for i, kind in enumerate(self.kinds):
            if self.used_past[i]:
                learn(self.used_past[i], y, 1023)
            if self.used_run[i]:
                learn(self.used_run[i], (self.first[i].last >> next_bit & 1) == y, 1023)
            v = self.here[i].nodes[2 ** (self.bit % 4) - 1 + self.c0 % 2 ** (self.bit % 4)]
            v[0] += (goal - v[0]) * RECIPROCAL[v[1]] >> 16
            v[1] += v[1] < LIMITS[kind]
            v[2] = 2 * (v[2] or 1) + y
            if v[2] > 255:
                v[2] = v[2] & 127 | 128
        for i in range(2):
            if self.used_right[i]:
                learn(self.used_right[i], (self.out[self.place[i]] >> next_bit & 1) == y, 1023)
        if self.corrects:
            for row in self.rows:
                row[self.row_at] += (goal - row[self.row_at]) * 5 >> 8
        self.c0, self.bit = 2 * self.c0 + y, self.bit + 1
        if self.bit == 4:
            self.find_buckets()
        if self.bit == 8:
            self.take(self.c0 & 255)
            if self.rate > 14 and len(self.out) % 512 == 0:
                self.rate -= 1

    def take(self, c):
        for b in self.first:
            b.run = 1 if b.run == 0 or b.last != c else min(255, b.run + 1)
            b.last = c
        self.out.append(c)
        for after, key in ((self.after1, self.c4 & 255), (self.after2, self.c4 & 65535)):
            after[key] = (after.get(key, 0) * 256 + c) & 65535
        self.c8 = (self.c8 * 256 + (self.c4 >> 24)) & M32
        self.c4 = (self.c4 * 256 + c) & M32
        if is_letter(c):
            self.word = mix((self.word + 1) & M32, c | 32)
        elif self.word:
            self.word2, self.word1, self.word = self.word1, self.word, 0
        s = 97 if is_letter(c) else 48 if is_digit(c) else c
        if not (s == self.shape & 255 and s != c):
            self.shape = (self.shape * 256 + s) & M32
        self.field += c in b",;\t "
        if c == 10:
            self.above, self.line, self.field = self.line, len(self.out), 0
        for i in range(2):
            self.match(i, c)
        self.c0, self.bit = 1, 0
        self.find_buckets()

    def match(self, i, c):
        if self.place[i] and self.out[self.place[i]] == c:
            self.place[i], self.length[i] = self.place[i] + 1, min(65535, self.length[i] + 1)
        else:
            self.place[i] = 0
        slot = mix(mix(self.c4, self.c8 if i else self.c8 & 255), 77) >> (32 - self.m)
        s, at = self.match_table[i].get(slot, 0), len(self.out)
        if not self.place[i] and s:
            n = 0
            while n < 400 and n < s and self.out[s - n - 1] == self.out[at - n - 1]:
                n += 1
            self.length[i], self.place[i] = n, s if n >= (5, 8)[i] else 0
        self.match_table[i][slot] = at

    def decode(self, code):
        low, high, x, at = 0, M32, int.from_bytes(code[:4].ljust(4, b"\0"), "big"), 4
        for _ in range(8 * self.n):
            middle = low + ((high - low) * self.predict() >> 16)
            y = int(x <= middle)
            if y:
                high = middle
            else:
                low = middle + 1
            while low >> 24 == high >> 24:
                low, high = low << 8 & M32, high << 8 & M32 | 255
                x = (x << 8 | (code[at] if at < len(code) else 0)) & M32
                at += 1
            self.learn(y)
        return bytes(self.out)
