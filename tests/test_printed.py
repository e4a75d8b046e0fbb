"""Promise: results, optimizers and data sets print as a few lines of plain numbers, in a notebook as a table."""

import numpy as np
import pytest

from vae_from_scratch import SGD, VAE, Adagrad, Adam, Autoencoder, datasets, evaluation
from vae_from_scratch.datasets.dataset import Dataset

X = np.random.default_rng(0).uniform(size=(20, 6))
NOISE = np.zeros((20, 2))


def vae():
    return VAE(6, (3,), 2, dtype="float64", backend="numpy")


def no_model():
    return evaluation.evaluate(Autoencoder(6, (3,), 2, backend="numpy"), X)


THINGS = {  # what is printed: (it, words that must be there)
    "evaluation": (lambda: evaluation.evaluate(vae(), X), "20 examples|nats|ELBO: -|+-|loss|reconstruction|KL|active units|most active: z"),
    "evaluation of an autoencoder": (no_model, "20 examples|loss|reconstruction|+-"),
    "terms": (lambda: vae().loss(X, NOISE), "nats|loss: |recon_nll: |kl: |(20,)"),
    "log p(x)": (lambda: evaluation.log_likelihood(vae(), X, 5, progress=False), "20 examples|log p(x) at least|+-|ELBO|in the median"),
    "estimate": (lambda: evaluation.evaluate(vae(), X, samples=2).elbo_a, "20 examples|mean|+-|other samples"),
    "digits": (datasets.digits, "digits|1,500 examples|64 values|8 x 8|bundled|0 to 1|10 different"),
    "blobs": (datasets.blobs, "blobs|FactorDataset|1,024 examples|16 x 16|row 32, column 32|drawn"),
    "a part of the blobs": (lambda: datasets.blobs("test"), "102 examples|drawn"),
    "floats of any range": (lambda: Dataset("own", 6 * X - 3, (2, 3)), "own|20 examples|2 x 3|range: -2.9"),
    "some of many rows": (lambda: Dataset("own", np.ones((2000, 6)), (2, 3)), "1 to 1 in 1,000 of them"),
    "labels without order": (lambda: Dataset("own", X, (2, 3), labels=np.array([1, "a"] * 10, object)), "labels: 20"),
}


@pytest.mark.parametrize("name", THINGS)
def test_a_few_plain_lines_and_a_table(name):
    thing, words = THINGS[name][0](), THINGS[name][1].split("|")
    text, table = repr(thing), thing._repr_html_()
    assert 2 <= len(text.splitlines()) <= 8 and max(map(len, text.splitlines())) < 100
    assert not [word for word in words if word not in text]
    assert "np.float" not in text and "array(" not in text and "None" not in text
    assert table.startswith("<table>") and table.count("<tr>") == len(text.splitlines()) - 1
    assert text.splitlines()[0].replace("<", "&lt;") in table


def test_no_elbo_is_printed_where_there_is_none():
    assert "ELBO" not in repr(no_model()) and "KL" not in repr(no_model())


def test_one_example_has_no_active_units_to_count():
    assert "active units: unknown from one example" in repr(evaluation.evaluate(vae(), X[:1]))


def test_the_numbers_are_those_of_the_result():
    result = evaluation.evaluate(vae(), X)
    assert f"ELBO: {result.elbo:.2f} +- " in repr(result) and f"KL: {result.kl:.4g}" in repr(result)
    largest = int(result.kl_per_latent.argmax())
    assert f"most active: z{largest} {result.kl_per_latent[largest]:.2f}" in repr(result)
    assert all(type(value) is float for value in (result.loss, result.recon_nll, result.kl, *result.elbo_b[1:]))


def test_markup_in_a_name_stays_text():
    data = Dataset("<b>", X, (2, 3), source="a & b")
    assert "&lt;b&gt;" in data._repr_html_() and "a &amp; b" in data._repr_html_()


def test_an_optimizer_prints_as_it_is_written():
    for optimizer in (SGD(lr=0.5, momentum=0.25), Adagrad(initial=0.5), Adam(beta1=0.5)):
        again = eval(repr(optimizer))
        assert vars(again) == vars(optimizer) and type(again) is type(optimizer)
    assert "lr=<lambda>" in repr(Adam(lr=lambda step: 0.1))


def test_an_optimizer_of_ones_own_prints_what_it_keeps():
    class Sign(SGD):
        def __init__(self, lr, forgotten=3):
            super().__init__(lr)

    assert repr(Sign(0.5)) == "Sign(lr=0.5)"


def test_printing_reads_at_most_a_thousand_rows():
    class Counted(Dataset):
        seen = 0

        def __getitem__(self, indices):
            rows = super().__getitem__(indices)
            self.seen += len(rows)
            return rows

    data = Counted("own", np.zeros((5000, 6)), (2, 3))
    assert repr(data) and data.seen == 1000
