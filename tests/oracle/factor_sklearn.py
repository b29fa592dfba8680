#!/usr/bin/python3
"""factor_sklearn.py: factor analysis and probabilistic principal components against scikit-learn's.

The parameters are read from the model file as docs/model-file.md lays them out and given to FactorAnalysis:
row by row the densities of `likely score --density`, the posterior means of `likely encode` and what it reconstructs from them must be its.
Its own optimum must not be better. PCA is the closed form itself (with 1/(n-1) in its variances, which is
undone here)."""
import pathlib
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import program  # noqa: E402

try:
    import numpy as np
    from sklearn.decomposition import FactorAnalysis, PCA
    import gmm_sklearn
except ImportError as missing:
    print(f"skipped, no scikit-learn: {missing}")
    sys.exit(77)

TOLERANCE = 1e-9  # relative, of a row's log-density


def parameters(path):
    """Mean, loadings and noise of a model in the data's units."""
    _, tensors = program.read_model(path)
    units = np.array(steps(path))
    loadings = np.reshape(tensors["loadings"][1], tensors["loadings"][0])
    loadings = loadings[:, :int(tensors["latents"][1][0])]
    return np.array(tensors["means"][1]) * units, loadings * units[:, None], np.array(tensors["noise"][1]) * units ** 2


def steps(path):
    return [10.0 ** -f.get("places", 0) for f in program.read_model(path)[0]["schema"]["fields"]]


def sklearn_of(mean, loadings, noise):
    fa = FactorAnalysis(loadings.shape[1])
    fa.mean_, fa.components_, fa.noise_variance_ = mean, loadings.T, noise
    fa.n_features_in_ = len(mean)
    return fa


class Sklearn(program.Case):
    def fit(self, family, data, *more):
        path = self.path("model.lk")
        program.good("fit", family, data, "-o", path, "-f", *more)
        return path

    def posterior(self, model, data, *more):
        out = self.path("z.npy")
        program.good("encode", model, data, "-o", out, "-f", *more)
        return np.load(out)

    def test_at_the_same_parameters(self):
        for name, data in gmm_sklearn.tables(self.folder):
            rows = gmm_sklearn.rows_of(data)
            for family in ("fa", "ppca"):
                for latents in range(1, rows.shape[1]):
                    model = self.fit(family, data, "--latents", latents)
                    mean, loadings, noise = parameters(model)
                    theirs = sklearn_of(mean, loadings, noise).score_samples(rows)
                    ours = program.scores(model, data, "--density")
                    with self.subTest(name=name, family=family, latents=latents):
                        self.assertTrue(gmm_sklearn.agree(ours, theirs), np.max(np.abs(np.array(ours) - theirs)))
                        wrong = sklearn_of(mean, loadings * 1.01, noise).score_samples(rows)
                        self.assertFalse(gmm_sklearn.agree(ours, wrong))
                        z = sklearn_of(mean, loadings, noise).transform(rows)
                        self.assertLess(np.max(np.abs(self.posterior(model, data) - z)), 1e-8)
                        back, size = self.posterior(model, data, "--reconstruct"), np.max(np.abs(rows))
                        self.assertLess(np.max(np.abs(back - (z @ loadings.T + mean))), 1e-8 * size)
                        self.assertGreater(np.max(np.abs(back - (z @ loadings.T * 1.01 + mean))), 1e-8 * size)

    def test_optimum(self):
        for name, data in gmm_sklearn.tables(self.folder):
            rows = gmm_sklearn.rows_of(data)
            for latents in range(1, max(2, rows.shape[1] - 1)):
                model = self.fit("fa", data, "--latents", latents, "--tolerance", "1e-10", "--steps", 2000)
                ours = np.mean(program.scores(model, data, "--density"))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    fa = FactorAnalysis(latents, tol=1e-10, max_iter=20000, svd_method="lapack").fit(rows)
                    theirs = fa.score(rows)
                if np.any(fa.noise_variance_ < np.array(steps(model)) ** 2 / 12):
                    print(f"{name}, {latents} latents: not compared, the noise vanishes (a Heywood case)")
                    continue
                with self.subTest(name=name, latents=latents):
                    self.assertGreaterEqual(ours, theirs - 1e-4)  # where a noise vanishes slowly, neither is there

    def test_pca(self):
        for name, data in gmm_sklearn.tables(self.folder):
            rows = gmm_sklearn.rows_of(data)
            for latents in range(1, rows.shape[1]):
                model = self.fit("ppca", data, "--latents", latents, "--scale", "none", "--floor", "0")
                ours, n = program.scores(model, data, "--density"), len(rows)
                pca = PCA(latents, svd_solver="full").fit(rows)
                pca.explained_variance_ *= (n - 1) / n
                pca.noise_variance_ *= (n - 1) / n
                with self.subTest(name=name, latents=latents):
                    theirs = pca.score_samples(rows)
                    self.assertTrue(gmm_sklearn.agree(ours, theirs), np.max(np.abs(np.array(ours) - theirs)))
                    pca.noise_variance_ *= 1.01
                    self.assertFalse(gmm_sklearn.agree(ours, pca.score_samples(rows)))


if __name__ == "__main__":
    program.main()
