"""Hand damaged and hostile files to every reader; each must be refused in the documented way, in bounded memory and time.

    python tests/long/mutations.py                 # 20,000 files for each reader, about 3 minutes on one core
    python tests/long/mutations.py --files 150     # the short version that the test suite runs

A good file is changed one to four times: bits flipped, cut short, bytes written over (often with sizes that are far too
large), moved, doubled, removed or added, or pieces of another good file put in.  Where a format has a shell (the zip of an .npz
file, gzip), half of the changes are made inside and the shell is closed again with right checksums, so that they reach what
lies below.  A call fails if it raises anything but a ValueError of one line that names the file, a warning included; if it
takes 5 seconds; if it needs more than 512 MB of address space; or if a file whose shell has a checksum is accepted with
other content than it had.  Exits with 1 if one call failed.
"""

import argparse
import gzip
import io
import json
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from vae_from_scratch import VAE, Adam, BetaVAE, Gaussian, cli, fit, save
from vae_from_scratch.engine import checkpoints, files

SIZES = [0, 1, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]
WORDS = [
    b"9999999999",
    b"(99999999, 99999999)",
    b"|O8",
    b"<U999999999",
    b"'T'",
    b"3L",
    b'"',
    b"-" * 5000,
    b"NaN",
    b"Infinity",
    b"1e400",
    b"-1",
    b"null",
    b"{",
    b"[" * 3000,
    b"\n",
]


def mutate(content, other, rng):
    """content with one to four changes."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        near = rng.random() < 0.6  # headers stand at the beginning or the end
        at = rng.randrange(len(content) + 1)
        if near:
            at = rng.choice([min(at, rng.randrange(160)), max(len(content) - rng.randrange(1, 160), 0)])
        kind, length = rng.randrange(8), rng.choice([1, 2, 4, 8, 30, 200])
        if kind == 0 and content:
            for _ in range(rng.choice([1, 2, 8])):
                content[min(at, len(content) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del content[at:]
        elif kind == 2:
            size = rng.choice(SIZES)
            content[at : at + 8] = size.to_bytes(8, rng.choice(["little", "big"]))
        elif kind == 3:
            word = rng.choice(WORDS)
            content[at : at + len(word) * rng.randrange(2)] = word
        elif kind == 4:
            start = rng.choice([0, rng.randrange(len(other) + 1)])
            content[at : at + rng.choice([0, length])] = other[start : start + length]
        elif kind == 5:
            content[at : at + length] = bytes(rng.randrange(256) for _ in range(length))
        elif kind == 6:
            del content[at : at + length]
        else:
            content += content[at : at + length] + bytes(rng.randrange(3))
    return bytes(content)


def inside_zip(content, other, rng):
    """The same with the members of a zip archive changed instead, and closed again."""
    members = {
        name: zipfile.ZipFile(io.BytesIO(content)).read(name)
        for name in zipfile.ZipFile(io.BytesIO(content)).namelist()
    }
    chosen = rng.choice(list(members))
    members[chosen] = mutate(members[chosen], rng.choice(list(members.values())), rng)
    if rng.random() < 0.1:  # an honest archive of very many zeros
        members[chosen] = members[chosen][:80] + bytes(rng.choice([10**6, 10**8]) if rng.random() < 0.02 else 1000)
    if rng.random() < 0.1:
        del members[rng.choice(list(members))]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, member in members.items():
            archive.writestr(name if rng.random() < 0.98 else name[:-1], member)
    return packed.getvalue()


def inside_config(key, content, other, rng):
    """The same with the JSON text of an .npz file changed instead, by character or by value."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    text = str(arrays[key])
    if rng.random() < 0.5:
        text = mutate(text.encode(), other, rng).decode("latin1").replace("\0", "")
    else:
        tree = at = json.loads(text)
        while isinstance(at[name := rng.choice(list(at))], dict) and at[name] and rng.random() < 0.8:
            at = at[name]
        at[name] = rng.choice(
            [None, True, -1, 0, 7, 10**30, 1e300, float("nan"), "x", [], {}, [1, "a"], {"name": "gaussian"}]
        )
        text = json.dumps(tree)
    packed = io.BytesIO()
    np.savez(packed, **{**arrays, key: np.array(text)})
    return packed.getvalue()


def inside_gzip(content, other, rng):
    return gzip.compress(mutate(gzip.decompress(content), other, rng), 1, mtime=0)


def readers(folder):
    """name: (a good file, what it is called, how it is read, how its inside is changed, whether its shell has a checksum)."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(20, 12))
    model = BetaVAE(12, hidden=(5,), latent_dim=2, likelihood=Gaussian("learned"), beta=2.0)
    save(model, folder / "model.npz")
    run = {"optimizer": Adam(), "batch_size": 6, "epochs": 3, "x_valid": x[:5], "progress": False}
    fit(model, x, **run, checkpoint=folder, checkpoint_seconds=0)
    settings = checkpoints.settings_of(
        model, {"model": run["optimizer"]}, x, x[:5], None, folder,
        batch_size=6, seed=0, binarize="none", weight_decay=False, gradient_norms=False, epochs=3, threads=1,
    )  # fmt: skip

    def resume(path):
        state = checkpoints.Run(
            BetaVAE(12, hidden=(5,), latent_dim=2, likelihood=Gaussian("learned"), beta=2.0), {"model": Adam()}, 20, 6, 0
        )
        state.resume(path.parent, dict(settings))
        return {**state.arrays(), "at": np.array([state.epoch, state.position])}

    np.savez_compressed(folder / "data.npz", images=(255 * x).astype(np.uint8).reshape(20, 4, 3), labels=np.arange(20))
    np.save(folder / "data.npy", x.astype(np.float32))
    idx = b"\0\0\x08\x03" + np.array([20, 4, 3], ">u4").tobytes() + (255 * x).astype(np.uint8).tobytes()
    (folder / "idx").write_bytes(idx)
    (folder / "idx.gz").write_bytes(gzip.compress(idx, mtime=0))
    config = cli.train.resolve({option.name: option.default for option in cli.options.OPTIONS})
    files.write_json(folder / "config.json", config)
    return {
        "load": ("model.npz", files.load, [inside_zip, lambda *a: inside_config("config", *a)], True),
        "resume": ("checkpoint.npz", resume, [inside_zip, lambda *a: inside_config("about", *a)], True),
        "read_npz": ("data.npz", files.read_npz, [inside_zip], True),
        "read_npy": ("data.npy", files.read_npy, [], False),
        "read_idx": ("idx", files.read_idx, [], False),
        "read_idx of gzip": ("idx.gz", files.read_idx, [inside_gzip], True),
        "read_config": ("config.json", lambda path: cli.train.read_config(path.parent), [], False),
    }


def content_of(result):
    """What a reader returned, in a form that can be compared."""
    if isinstance(result, VAE):
        return {**{name: value.tobytes() for name, value in result.params.items()}, "config": result.config}
    if isinstance(result, dict):
        return {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in result.items()}
    return result.tobytes() if isinstance(result, np.ndarray) else result


def limit_memory(allowance):
    if not Path("/proc/self/statm").exists():  # only Linux says how much is taken
        return lambda: 0
    import resource

    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + allowance, -1))
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder, target = Path(scratch) / "good", Path(scratch) / "bad"
        folder.mkdir()
        target.mkdir()
        table = readers(folder)
        good = [(folder / name).read_bytes() for name, *_ in table.values()]
        peak = limit_memory(2**29)
        start = peak()
        for name, (file, read, inside, checked) in table.items():
            rng, counts, slowest = random.Random(f"{options.seed} {name}"), Counter(), 0.0
            original, path = (folder / file).read_bytes(), target / file
            path.write_bytes(original)
            expected = content_of(read(path))
            for number in range(options.files):
                deep = inside and rng.random() < 0.5
                changed = (rng.choice(inside) if deep else mutate)(original, rng.choice(good), rng)
                for old in target.iterdir():
                    old.unlink()
                path.write_bytes(changed)
                since = time.perf_counter()
                try:
                    result = read(path)
                    outcome = "accepted"
                    if checked and not deep and content_of(result) != expected:
                        outcome = "ACCEPTED WITH OTHER CONTENT"
                except ValueError as error:
                    plain = type(error) in (ValueError, files.OtherVersion) and "\n" not in str(error) and str(target) in str(error)
                    outcome = "refused" if plain else f"UNCLEAR MESSAGE {error!r}"
                except Exception as error:
                    outcome = f"RAISED {error!r}"
                    traceback.print_exc()
                took = time.perf_counter() - since
                slowest = max(slowest, took)
                if took > 5:
                    outcome = "SLOW"
                if outcome not in ("accepted", "refused"):
                    failures += 1
                    if failures <= 20:
                        print(f"{name}, file {number}: {outcome}", flush=True)
                counts[outcome.split()[0]] += 1
            words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
            print(f"{name}: {options.files} files, {words}; slowest {1000 * slowest:.0f} ms", flush=True)
    grown = f"the process grew by {peak() - start:.0f} MB"
    print(f"{failures} of {len(table) * options.files} calls failed; {grown}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
