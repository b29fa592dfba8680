#!/usr/bin/python3
"""sklearn_tables.py split TABLE TRAIN TEST [FIELD …]: a fifth of the rows, drawn by a seed of their own, into TEST, the others into
TRAIN; of the fields named, if any are, and rows without missing cells (c1, c2, … where there is no header).
sklearn_tables.py bits TRAIN TEST SCHEMA K: bits a row of TEST by scikit-learn's mixture of K normals, learned from TRAIN. All
fields are numbers. SCHEMA (JSON) tells their decimals: a uniform number of half a step's width on both sides is added to each,
whose density is, in expectation, no more than the mass of what rounds to the value (Theis, van den Oord and Bethge 2016), as
the program gives it.
sklearn_tables.py mask TABLE ROWS WHOLE MASKED: so many rows of the table, drawn, and again with a tenth of the cells that were
there left empty.
sklearn_tables.py impute WHOLE MASKED SCHEMA iterative|knn: prints what filled_errors prints of scikit-learn's imputer.
sklearn_tables.py errors WHOLE MASKED SCHEMA FILLED: the root of the mean squared error of the masked numbers, in standard
deviations of their fields, and the share of the masked categories that are wrong."""
import csv
import json
import sys
import warnings

import numpy

warnings.simplefilter("ignore")


def read(path):
    """The names, or None, and the rows, as text. A first line without any number below numbers is names."""
    with open(path, newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]

    def number(cell):
        try:
            return float(cell) == float(cell)
        except ValueError:
            return False
    names = not any(map(number, rows[0])) and any(map(number, rows[1]))
    return (rows[0], rows[1:]) if names else (None, rows)


def write(path, names, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(([names] if names else []) + rows)


def split(table, train, test, *fields):
    names, rows = read(table)
    called = names or [f"c{i + 1}" for i in range(len(rows[0]))]
    keep = [called.index(f) for f in fields] or range(len(called))
    names = names and [names[i] for i in keep]
    if fields:
        rows = [row for row in rows if not any(missing(row[i]) for i in keep)]
    held = numpy.random.default_rng(1).random(len(rows)) < 0.2
    for path, side in ((train, False), (test, True)):
        write(path, names, [[row[i] for i in keep] for row, h in zip(rows, held) if h == side])


def fields_of(schema):
    with open(schema) as file:
        return json.load(file)["fields"]


def bits(train, test, schema, k):
    from sklearn.mixture import GaussianMixture
    step = numpy.array([10.0 ** -f["places"] if f["kind"] == "grid" else 1.0 if f["kind"] == "binary" else 0.0
                        for f in fields_of(schema)])
    unit = numpy.where(step > 0, step, 1)
    draw = numpy.random.default_rng(2)
    x, y = (numpy.array(read(path)[1], dtype=float) for path in (train, test))
    noisy = lambda a: (a + step * (draw.random(a.shape) - 0.5) - x.mean(0)) / x.std(0)
    model = GaussianMixture(int(k), random_state=1, max_iter=200).fit(noisy(x))
    density = numpy.mean([model.score(noisy(y)) for _ in range(10)]) + numpy.log(unit / x.std(0)).sum()
    print(-density / numpy.log(2))


def mask(table, n, whole, masked):
    names, rows = read(table)
    draw = numpy.random.default_rng(3)
    chosen = [rows[i] for i in sorted(draw.permutation(len(rows))[:int(n)])]
    write(whole, names, chosen)
    holes = draw.random((len(chosen), len(chosen[0]))) < 0.1
    write(masked, names, [["" if hole else cell for cell, hole in zip(row, line)] for row, line in zip(chosen, holes)])


def is_number(field):
    return field["kind"] in ("grid", "real", "binary", "date")


def missing(cell):
    return cell in ("", "?", "NA")


def filled_errors(whole, masked, fields, filled):
    """Prints both errors. `filled`: rows of text or numbers."""
    squares, wrong = [], []
    for j, field in enumerate(fields):
        if field["kind"] == "text" or field.get("ignored"):
            continue
        at = [i for i, (a, b) in enumerate(zip(whole, masked)) if missing(b[j]) and not missing(a[j])]
        if is_number(field):
            sd = numpy.std([float(row[j]) for row in whole if not missing(row[j])]) or 1
            squares += [((float(filled[i][j]) - float(whole[i][j])) / sd) ** 2 for i in at]
        else:
            wrong += [filled[i][j].strip() != whole[i][j] for i in at]
    print(numpy.sqrt(numpy.mean(squares)), numpy.mean(wrong) if wrong else "")


def impute(whole, masked, schema, how):
    """Numbers standardised, categories one column a level, of which the largest is taken."""
    fields, rows = fields_of(schema), read(masked)[1]
    columns, sides = [], []
    for j, field in enumerate(fields):
        cells = [row[j] for row in rows]
        if is_number(field):
            x = numpy.array([numpy.nan if missing(c) else float(c) for c in cells])
            mean, sd = numpy.nanmean(x), numpy.nanstd(x) or 1
            sides.append((j, len(columns), 1, (mean, sd)))
            columns.append((x - mean) / sd)
        elif field["kind"] == "category":
            levels = sorted({c for c in cells if not missing(c)})
            sides.append((j, len(columns), len(levels), levels))
            columns += [numpy.array([numpy.nan if missing(c) else float(c == level) for c in cells]) for level in levels]
    if how == "knn":
        from sklearn.impute import KNNImputer as Imputer
        imputer = Imputer(n_neighbors=5)
    else:
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer as Imputer
        imputer = Imputer(max_iter=10, random_state=1)
    done = imputer.fit_transform(numpy.stack(columns, 1))
    filled = [list(row) for row in rows]
    for j, first, n, about in sides:
        for i, row in enumerate(filled):
            row[j] = done[i, first] * about[1] + about[0] if n == 1 and not isinstance(about, list) \
                else about[int(numpy.argmax(done[i, first:first + n]))]
    filled_errors(read(whole)[1], rows, fields, filled)


def errors(whole, masked, schema, filled):
    filled_errors(read(whole)[1], read(masked)[1], fields_of(schema), read(filled)[1])


globals()[sys.argv[1]](*sys.argv[2:])
