#!/usr/bin/python3
"""ngram_oracle.py: `ngram` against interpolated modified Kneser-Ney as Chen and Goodman (1998) define it, from
sets of strings and nothing else: equations 24 to 27, with the document's beginning as a symbol of its own.
The log-probability of each window of a text must be the sum over its new symbols."""
import collections
import math
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import program  # noqa: E402
from program import good  # noqa: E402

FRONT = None  # before a document


class KneserNey:
    def __init__(self, text, order, symbols):
        padded = [FRONT] * (order - 1) + list(text)
        self.order, self.symbols = order, symbols
        self.tables = []  # for contexts of k symbols: {context: {symbol: count}}
        for k in range(order):
            seen = collections.defaultdict(lambda: collections.defaultdict(set))
            for t in range(order - 1, len(padded)):
                context = tuple(padded[t - k:t])
                if context.count(FRONT) > 1:  # which says no more than one
                    continue
                # As often as it occurs, or in how many contexts that are one symbol longer.
                whole = k == order - 1 or (context and context[0] is FRONT)
                seen[context][padded[t]].add(t if whole else padded[t - k - 1])
            self.tables.append({c: {w: len(s) for w, s in e.items()} for c, e in seen.items()})
        self.discounts = [self.discount(table) for table in self.tables]

    def discount(self, table):
        n = collections.Counter(c for entries in table.values() for c in entries.values())
        found = [0]
        for i in (1, 2, 3):
            try:
                d = i - (i + 1) * n[1] / (n[1] + 2 * n[2]) * n[i + 1] / n[i]
            except ZeroDivisionError:
                d = math.nan
            found.append(d if 0 < d < i else i / 2)
        return found

    def p(self, symbol, context):
        """context: what stands before, the oldest first."""
        if FRONT in context:
            context = context[max(i for i, c in enumerate(context) if c is FRONT):]
        entries = self.tables[len(context)].get(tuple(context)) if len(context) < self.order else None
        lower = self.p(symbol, context[1:]) if context else 1 / self.symbols
        if entries is None:
            return lower
        d, total = self.discounts[len(context)], sum(entries.values())
        back = sum(d[min(c, 3)] for c in entries.values()) / total
        count = entries.get(symbol, 0)
        return max(count - d[min(count, 3)], 0) / total + back * lower


def check(folder, train, test, order, context, overlap):
    model = folder / "m.lk"
    good("fit", "ngram", train, "--text", "chars", "--order", order, "--context", context,
         "--overlap", overlap, "-o", model, "-f")
    got = [float(x) for x in good("score", model, test, "--quiet").split()]
    text, alphabet = train.read_text(), set(train.read_text())
    ours = KneserNey(text, order, len(alphabet) + 1)
    new = test.read_text()
    stride, worst = context - overlap, 0.0
    assert len(got) == -(-len(new) // stride)
    for row, value in enumerate(got):
        expected = 0.0
        for t in range(row * stride, min((row + 1) * stride, len(new))):
            first = row * stride - overlap
            history = [new[i] if i >= 0 else FRONT for i in range(max(first, t - order + 1), t)]
            expected += math.log(ours.p(new[t], history))
        worst = max(worst, abs(value - expected) / abs(expected))
    total = sum(ours.p(w, list(new[:order - 1])) for w in alphabet) + ours.p("\0", list(new[:order - 1]))
    assert abs(total - 1) < 1e-12, total
    return worst


def main():
    with tempfile.TemporaryDirectory(prefix="likely-test-") as name:
        folder = pathlib.Path(name)
        text = (program.GOLDEN / "dialogue.txt").read_text()
        train, test = folder / "train.txt", folder / "test.txt"
        train.write_text(text[:800])
        test.write_text(text[700:] + "\u00e9t\u00e9")
        for order, context, overlap in ((1, 8, 4), (2, 16, 8), (3, 16, 5), (5, 64, 32), (6, 9, 3)):
            worst = check(folder, train, test, order, context, overlap)
            print(f"order {order}, windows of {context}: relative difference at most {worst:.1e}")
            assert worst < 1e-12
        # What is not so is seen: another order, and continuation counts that are occurrences.
        assert check(folder, train, test, 3, 16, 8) < 1e-12
        plain = KneserNey.discount
        KneserNey.discount = lambda self, table: [0, 0.5, 1, 1.5]
        assert check(folder, train, test, 3, 16, 8) > 1e-6
        KneserNey.discount = plain
    print("n-grams are those of the definition")


if __name__ == "__main__":
    main()
