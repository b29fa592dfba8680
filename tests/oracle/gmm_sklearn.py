#!/usr/bin/python3
"""gmm_sklearn.py: mixtures of Gaussians against scikit-learn's.

The parameters are read from the model file as docs/model-file.md lays them out, given to
sklearn.mixture.GaussianMixture, and the log-densities of all rows compared with `likely score
--density`. EM's own optimum is compared with scikit-learn's, and one component with its closed form.
Spherical covariances are so in standardised units here, in the data's there: optima are compared in the former."""
import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import program  # noqa: E402

try:
    import numpy as np
    from sklearn.mixture import GaussianMixture
    from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky
except ImportError as missing:
    print(f"skipped, no scikit-learn: {missing}")
    sys.exit(77)

SHAPES = {"full": "full", "tied": "tied", "diagonal": "diag"}
TOLERANCE = 1e-9  # relative, of a row's log-density
SLACK = 0.05      # nats a row by which the best of our starts may stay below the best of theirs
FLOOR = 1e-6      # the option's default


def tables(folder):
    """(name, path of a table with numbers only). Real ones lose their column of categories."""
    yield "pulses", program.GOLDEN / "pulses.csv"
    for name, columns in (("iris", 4), ("faithful", 2)):
        source = program.DATA / "tables" / f"{name}.csv"
        if not source.exists():
            print(f"{name}: skipped, no data")
            continue
        lines = [line.split(",") for line in source.read_text().split()]
        numbers = [i for i, cell in enumerate(lines[1]) if not cell.strip('"')[:1].isalpha()][-columns:]
        path = folder / f"{name}.csv"
        path.write_text("".join(",".join(line[i] for i in numbers) + "\n" for line in lines))
        yield name, path


def rows_of(path):
    return np.loadtxt(path, delimiter=",", skiprows=1)


def parameters(path):
    """Weights, means and covariances of a model in the data's units."""
    about, tensors = program.read_model(path)
    shape, (k, d) = about["options"]["covariance"], tensors["means"][0]
    steps = np.array([10.0 ** -f.get("places", 0) for f in about["schema"]["fields"]])
    covariances = np.reshape(tensors["covariances"][1], tensors["covariances"][0])
    covariances = covariances * (steps ** 2 if shape == "diagonal" else np.outer(steps, steps))
    return shape, np.array(tensors["weights"][1]), np.reshape(tensors["means"][1], (k, d)) * steps, covariances


def sklearn_scores(shape, weights, means, covariances, rows):
    mixture = GaussianMixture(len(weights), covariance_type=SHAPES[shape])
    mixture.weights_, mixture.means_, mixture.covariances_ = weights, means, covariances
    mixture.precisions_cholesky_ = _compute_precision_cholesky(covariances, SHAPES[shape])
    return mixture.score_samples(rows)


def agree(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and bool(np.all(np.abs(a - b) <= TOLERANCE * np.maximum(1, np.abs(b))))


class Sklearn(program.Case):
    def fit(self, data, shape, components, *more):
        path = self.path("model.lk")
        program.good("fit", "gmm", data, "-o", path, "-f", "--covariance", shape, "--components", components, *more)
        return path

    def test_densities(self):
        for name, data in tables(self.folder):
            for shape in SHAPES:
                for components in (1, 3):
                    model = self.fit(data, shape, components)
                    ours = program.scores(model, data, "--density")
                    shape, weights, means, covariances = parameters(model)
                    rows = rows_of(data)
                    with self.subTest(name=name, shape=shape, components=components):
                        theirs = sklearn_scores(shape, weights, means, covariances, rows)
                        self.assertTrue(agree(ours, theirs), np.max(np.abs(np.array(ours) - theirs)))
                        # A planted bug: a mean that is 1 % off, a weight, a variance, a NaN.
                        wrong = means.copy()
                        wrong[0, 0] *= 1.01
                        self.assertFalse(agree(ours, sklearn_scores(shape, weights, wrong, covariances, rows)))
                        self.assertFalse(agree(ours, sklearn_scores(shape, weights, means, covariances * 1.01, rows)))
                        self.assertFalse(agree(ours, theirs * np.nan))

    def test_optimum(self):
        """The best of three starts reaches what the best of three starts of scikit-learn's EM reaches."""
        for name, data in tables(self.folder):
            rows = rows_of(data)
            sd = rows.std(axis=0)
            for shape, kind in {**SHAPES, "spherical": "spherical"}.items():
                ours = max(np.mean(program.scores(
                    self.fit(data, shape, 3, "--seed", seed, "--tolerance", "1e-7"), data, "--density"))
                    for seed in (1, 2, 3))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    theirs = max(GaussianMixture(3, covariance_type=kind, tol=1e-7, max_iter=1000,
                                                 random_state=seed).fit(rows / sd).score(rows / sd)
                                 for seed in (1, 2, 3)) - np.log(sd).sum()
                with self.subTest(name=name, shape=shape):
                    self.assertTrue(ours >= theirs - SLACK, (ours, theirs))

    def test_one_component(self):
        """Sample mean and covariance. The floor on variances does not bind here; what it says is checked below."""
        for name, data in tables(self.folder):
            rows = rows_of(data)
            for shape in SHAPES:
                _, weights, means, covariances = parameters(self.fit(data, shape, 1))
                covariances = covariances[0] if shape != "tied" else covariances
                expected = np.cov(rows.T, bias=True)
                if shape == "diagonal":
                    expected = np.diag(expected)
                scale = np.sqrt(np.outer(rows.var(0), rows.var(0))) if shape != "diagonal" else rows.var(0)
                with self.subTest(name=name, shape=shape):
                    self.assertEqual(weights.tolist(), [1.0])
                    self.assertTrue(np.all(np.abs(means[0] / rows.mean(0) - 1) < 1e-12))
                    worst = np.max(np.abs(covariances - expected) / scale)
                    self.assertTrue(worst <= 2 * FLOOR, worst)
                    self.assertFalse(np.max(np.abs(covariances * 1.01 - expected) / scale) <= 2 * FLOOR)

    def test_floor(self):
        """A component that sits on one repeated value keeps the variance of rounding, step²/12."""
        data = self.path("two.csv", "x\n" + "".join(f"{v}\n" for v in [1.5] * 60 + [9.5] * 60 + [2.5, 8.0]))
        _, _, _, covariances = parameters(self.fit(data, "diagonal", 2, "--seed", 3))
        self.assertTrue(np.min(covariances) >= 0.01 / 12 * (1 - 1e-12), covariances)


if __name__ == "__main__":
    program.main()
