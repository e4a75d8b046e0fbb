"""Promise: no use of a seed can repeat the random numbers of another use, whatever the seeds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_from_scratch import VAE, base, evaluation, fit
from vae_from_scratch.engine import batches, checkpoints, streams
from vae_from_scratch.engine.streams import USES, stream

KEYS = st.tuples(
    st.sampled_from(USES),
    st.one_of(st.integers(0, 3), st.integers(0, 2**128 - 1), st.sampled_from([2**k for k in range(128)])),
    st.one_of(st.just(()), st.tuples(st.integers(0, 2**32 - 1))),
)


def words(generator):
    return generator.bit_generator.seed_seq.generate_state(4).tolist()


@given(KEYS, KEYS)
def test_two_streams_are_one_only_if_everything_is_the_same(first, second):
    same = words(stream(first[0], first[1], *first[2])) == words(stream(second[0], second[1], *second[2]))
    assert same == (first == second)


@given(KEYS, st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5))
def test_no_seed_of_a_users_own_gives_a_stream_of_the_package(key, seed):
    entropy = seed[0] if len(seed) == 1 else seed
    assert words(stream(key[0], key[1], *key[2])) != words(np.random.default_rng(entropy))


@pytest.mark.parametrize("seed", [0, 7])
def test_what_a_user_spawns_is_no_stream_of_the_package(seed):
    spawned = [words(generator) for generator in np.random.default_rng(seed).spawn(2 * len(USES))]
    assert not [use for use in USES if words(stream(use, seed)) in spawned]


def test_a_list_of_numbers_as_a_seed_would_repeat_itself():
    assert words(np.random.default_rng(7)) == words(np.random.default_rng([7, 0]))  # so fit once replayed the weights


def test_a_run_and_its_evaluations_take_each_stream_once(monkeypatch):
    taken = []
    for module in (base, batches, checkpoints, evaluation):
        monkeypatch.setattr(module, "stream", lambda *key: taken.append(key) or streams.stream(*key))
    model, x = VAE(5, (4,), 2), np.random.default_rng(0).random((8, 5))
    fit(model, x, batch_size=4, epochs=1, progress=False, binarize="dynamic")
    training = list(taken)
    taken.clear()
    evaluation.evaluate(model, x, samples=3, binarize="dynamic")
    evaluation.log_likelihood(model, x, 3, progress=False)
    assert {use for use, *_ in training} >= {"weights", "order", "noise", "binarize"}
    apart = [key for key in training if not key[0].startswith("evaluation")]
    assert len(set(apart)) == len(apart) and not set(apart) & set(taken)
    images = [key for key in taken if key[0] == "evaluation images"]  # the same images in each evaluation, on purpose
    assert len(set(taken)) == len(taken) - len(images) + 1 and len(images) == 2


# ---- a pixel from a byte ---------------------------------------------------------------------------------


class Bytes:
    """A generator that hands out every byte once, in order, then zeros for what must be drawn again."""

    def __init__(self, repeats):
        self.pending = bytes(range(256)) * repeats

    def bytes(self, n):
        out, self.pending = self.pending[:n], self.pending[n:]
        return out + bytes(n - len(out))


@pytest.mark.parametrize("scale", [2, 16, 100, 255])
def test_the_probability_of_a_drawn_pixel_is_its_count_over_the_scale(scale):
    """Every byte is tried with every count.  The bytes that are left over, and no others, are drawn again."""
    each, counts = 256 // scale, np.arange(scale + 1, dtype=np.uint8)
    table = np.repeat(counts[:, None], 256, axis=1)  # a row for each count, a column for each byte
    drawn = batches.draw_counts(table, scale, Bytes(scale + 1))
    assert drawn[:, : each * scale].sum(axis=1).tolist() == (each * counts.astype(int)).tolist()
    assert drawn[1:, each * scale :].all()  # drawn again, and got a byte 0, which is below every count but 0
    assert not drawn[0].any() and drawn[-1].all()


def test_left_over_bytes_are_drawn_again_until_none_is_left():
    class Stubborn:
        replies = iter([bytes([255, 255, 3]), bytes([255, 7]), bytes([254])])

        def bytes(self, n):
            return next(self.replies)

    # the bytes 254, 7 and 3; a 255 that was kept would not be below the count 255
    assert batches.draw_counts(np.array([255, 8, 4], np.uint8), 255, Stubborn()).tolist() == [True, True, True]
