#!/usr/bin/python3
"""network_pgmpy.py [--write]: pgmpy's exact answers and networks. tests/golden/networks/pgmpy.txt has the marginals that pgmpy finds
by eliminating variables in asia and in a network of 24 fields that this file makes, under evidence, and the
BIC of the network that its hill climbing finds in 5,000 rows drawn from asia, and its log-likelihood of them; --write makes it anew.
Ours must be the same to 1e-9, the BIC at least theirs, the log-likelihood at the same edges theirs. Where pgmpy is installed, networks that come
with it (child, insurance: tables of exact decimals) are asked as well."""
import csv
import io
import itertools
import json
import math
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import program  # noqa: E402

NETWORKS = program.ROOT / "tests/golden/networks"
STORED = NETWORKS / "pgmpy.txt"
PUBLISHED = "child", "insurance"
FIELDS, ROWS = 24, 5000


class Draw:
    """Knuth's linear congruential generator: the same numbers for everyone."""

    def __init__(self, state):
        self.state = state

    def __call__(self, n):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) * n >> 31


def made_network():
    """BIF of a network with up to three parents a field, two to four states."""
    draw = Draw(24)
    states = [2 + draw(3) for _ in range(FIELDS)]
    text = ["network made {\n}\n"]
    for i, n in enumerate(states):
        text.append(f"variable v{i} {{ type discrete [ {n} ] {{ {', '.join(f's{k}' for k in range(n))} }}; }}\n")
    for i, n in enumerate(states):
        parents = sorted({i - 1 - draw(5) for _ in range(draw(4))} & set(range(i)))
        lines = []
        for levels in itertools.product(*(range(states[p]) for p in parents)):
            shares = [1 + draw(97) ** 2 for _ in range(n)]
            table = [share * 1000000 // sum(shares) for share in shares]
            table[0] += 1000000 - sum(table)
            given = f"({', '.join(f's{k}' for k in levels)})" if parents else "table"
            lines.append(f"  {given} {', '.join(f'{t / 1000000:.6f}' for t in table)};\n")
        on = f" | {', '.join(f'v{p}' for p in parents)}" if parents else ""
        text.append(f"probability ( v{i}{on} ) {{\n{''.join(lines)}}}\n")
    return "".join(text)


def network_text(name):
    return made_network() if name == "made" else (NETWORKS / f"{name}.bif").read_text()


def states_of(text):
    """{field: states} of BIF."""
    found = re.findall(r'variable\s+"?([^"{]+?)"?\s*\{\s*type\s+discrete\s*\[\s*\d+\s*\]\s*\{([^}]*)\}', text)
    return {name: [s.strip().strip('"') for s in states.split(",")] for name, states in found}


def evidence_of(states):
    """Six sets of evidence: nothing, then ever more fields known."""
    draw, names = Draw(len(states)), list(states)
    sets = [{}]
    for n in range(1, 6):
        known = {names[draw(len(names))] for _ in range(min(n, len(names) // 2))}
        sets.append({name: states[name][draw(len(states[name]))] for name in sorted(known)})
    return sets


def edges_of(text):
    return {name.strip(' "'): [p.strip(' "') for p in parents.split(",")] if parents else [] for name, parents in
            re.findall(r"probability\s*\(\s*([^|)]+?)\s*(?:\|\s*([^)]*))?\)", text)}


def fit_of(edges, rows):
    """(log-likelihood, BIC) of the edges {field: parents} with tables counted in the rows."""
    levels = {name: sorted({row[name] for row in rows}) for name in edges}
    log_prob, parameters = 0, 0
    for name, parents in edges.items():
        counts = {}
        for row in rows:
            cell = counts.setdefault(tuple(row[p] for p in parents), {})
            cell[row[name]] = cell.get(row[name], 0) + 1
        log_prob += sum(n * math.log(n / sum(cell.values())) for cell in counts.values() for n in cell.values())
        parameters += (len(levels[name]) - 1) * math.prod(len(levels[p]) for p in parents)
    return log_prob, log_prob - 0.5 * parameters * math.log(len(rows))


def theirs(model, states):
    """pgmpy's (field, evidence, state, probability); impossible evidence is left out."""
    from pgmpy.inference import VariableElimination
    ask = VariableElimination(model)
    for number, known in enumerate(evidence_of(states)):
        for field in [f for f in states if f not in known]:
            answer = ask.query([field], evidence=known, show_progress=False)
            for state, p in zip(answer.state_names[field], answer.values):
                if math.isnan(p):
                    break
                yield field, number, state, float(p)


def reader(text):
    from pgmpy.readwrite import BIFReader
    return BIFReader(string=text).get_model()


def asia_rows(model):
    text = program.good("sample", model, "-n", ROWS, "--seed", 5)
    return list(csv.DictReader(io.StringIO(text)))


def write():
    import tempfile

    import pandas
    from pgmpy.estimators import HillClimbSearch
    lines = ["# network, field, evidence, state, probability: tests/oracle/network_pgmpy.py --write\n"]
    for name in ("asia", "made"):
        text = network_text(name)
        lines += [f"{name}|{field}|{number}|{state}|{p!r}\n" for field, number, state, p in theirs(reader(text), states_of(text))]
    with tempfile.TemporaryDirectory() as folder:
        program.good("import", NETWORKS / "asia.bif", "-o", f"{folder}/asia.lk")
        rows = asia_rows(f"{folder}/asia.lk")
    found = HillClimbSearch(pandas.DataFrame(rows)).estimate(scoring_method="bic-d", show_progress=False)
    edges = {name: sorted(a for a, b in found.edges() if b == name) for name in rows[0]}
    log_prob, bic = fit_of(edges, rows)
    lines.append(f"learned|{json.dumps(edges)}||{log_prob!r}|{bic!r}\n")
    STORED.write_text("".join(lines))


class Pgmpy(program.Case):
    def answers(self, text, expected):
        """Compares (field, evidence, state, probability) with ours; returns how many."""
        states, bif, model, data = states_of(text), self.path("n.bif", text.encode()), self.path("n.lk"), self.path("n.csv")
        program.good("import", bif, "-o", model, "-f")
        with open(data, "w") as file:
            file.write(",".join(states) + "\n")
            for known in evidence_of(states):
                file.write(",".join(known.get(name, "?") for name in states) + "\n")
        ours, n, field_of = {}, 0, None
        for field, number, state, p in expected:
            if field != field_of:
                ours, field_of = list(csv.DictReader(io.StringIO(program.good("predict", model, data, field)))), field
            row = ours[int(number)]
            got = row.get(f"p_{state}")
            self.assertIsNotNone(got, (field, state, list(row)))
            self.assertAlmostEqual(float(got), float(p), delta=1e-9, msg=f"{field}={state} given {evidence_of(states)[int(number)]}")
            n += 1
        return n

    def stored(self):
        return [line.split("|") for line in STORED.read_text().splitlines() if not line.startswith("#")]

    def test_answers(self):
        for name in ("asia", "made"):
            with self.subTest(network=name):
                lines = sorted(line[1:] for line in self.stored() if line[0] == name)
                self.assertGreater(self.answers(network_text(name), lines), 15)
        lines[0][3] = str(float(lines[0][3]) + 1e-8)  # a planted difference
        with self.assertRaises(AssertionError):
            self.answers(network_text("made"), lines[:1])

    def test_published(self):
        try:
            import gzip

            import pgmpy
        except ImportError as missing:
            print(f"published networks: skipped, no pgmpy: {missing}")
            return
        for name in PUBLISHED:
            with self.subTest(network=name):
                path = pathlib.Path(pgmpy.__file__).parent / f"utils/example_models/{name}.bif.gz"
                text = gzip.decompress(path.read_bytes()).decode()
                expected = sorted(theirs(reader(text), states_of(text)), key=lambda line: line[0])
                print(name, self.answers(text, expected), "probabilities")

    def test_learned(self):
        """BIC's best network, and log-likelihood at their edges."""
        model, data, edges = self.path("m.lk"), self.path("rows.csv"), self.path("edges.bif")
        program.good("import", NETWORKS / "asia.bif", "-o", self.path("asia.lk"))
        rows = asia_rows(self.path("asia.lk"))
        with open(data, "w", newline="") as file:
            out = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            out.writeheader()
            out.writerows(rows)
        _, found, _, log_prob, bic = next(line for line in self.stored() if line[0] == "learned")
        self.assertAlmostEqual(fit_of(json.loads(found), rows)[1], float(bic), delta=1e-6)  # of the same rows
        program.good("fit", "bayesnet", data, "-o", model, "--score", "bic")
        ours = fit_of(edges_of(program.good("show", model, "--bif")), rows)
        self.assertGreaterEqual(ours[1], float(bic) - 1e-6)
        with open(edges, "w") as file:
            file.write("network n {\n}\n")
            states = states_of(network_text("asia"))
            for name, levels in states.items():
                file.write(f"variable {name} {{ type discrete [ 2 ] {{ {', '.join(levels)} }}; }}\n")
            for name, parents in json.loads(found).items():
                on = f" | {', '.join(parents)}" if parents else ""
                given = [f"({', '.join(g)})" for g in itertools.product(*(states[p] for p in parents))] if parents else ["table"]
                file.write(f"probability ( {name}{on} ) {{ {' '.join(g + ' 0.5, 0.5;' for g in given)} }}\n")
        program.good("fit", "bayesnet", data, "-o", model, "-f", "--structure", edges, "--prior", "1e-9")
        got = json.loads(program.good("score", model, data, "--json"))["mean_log_prob"] * len(rows)
        self.assertAlmostEqual(got, float(log_prob), delta=0.01)
        self.assertGreater(abs(got - float(bic)), 1)


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        program.main()
