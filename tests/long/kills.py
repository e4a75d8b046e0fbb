"""Kill training again and again, resume it every time, and compare what comes out with the run that was left alone.

    python tests/long/kills.py                            # 200 kills, 5 to 15 minutes on one core
    python tests/long/kills.py --kills 3 --only epochs    # the short version that the test suite runs

Every run is a process of the command line, ended by SIGKILL: half of the kills at a moment drawn from the length of the
run, half just after the temporary file of a writer was seen.  After each
kill both checkpoint files are opened: one that is there and cannot be read counts as unreadable.  A run is killed up to ten
times before it may finish; its model must then equal the unbroken run's bit for bit, and its history but for the seconds.
Exits with 1 unless every killed run was resumed and is equal, and no checkpoint was unreadable.
"""

import argparse
import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from vae_from_scratch.engine import files

COMMON = "--seed 3 --quiet --out run"
SETTINGS = {  # name: options of train; "large" spends most of its time writing checkpoints of 9 MB
    "small": f"--epochs 40 --checkpoint-seconds 0.01 {COMMON}",
    "epochs": f"--model vae --epochs 20 --checkpoint-seconds 0.1 --batch-size 64 --optimizer adagrad --lr 0.02 {COMMON}",
    "large": f"--hidden 700,700 --epochs 3 --checkpoint-seconds 0 --optimizer sgd --lr 0.001 {COMMON}",
}


def start(folder, arguments):
    command = [sys.executable, "-m", "vae_from_scratch", "train", *arguments.split()]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    with open(folder / "errors", "w") as errors:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=errors)


def finish(process, folder):
    if process.wait():
        raise RuntimeError(f"train ended with {process.returncode}: {(folder / 'errors').read_text()}")


def outcome(folder):
    """The model's arrays and the history without seconds."""
    with open(folder / "run" / "history.csv", newline="") as file:
        rows = [{name: value for name, value in row.items() if not name.endswith("seconds")} for row in csv.DictReader(file)]
    return files.read_npz(folder / "run" / "model.npz"), rows


def same(one, other):
    return (
        one[1] == other[1]
        and one[0].keys() == other[0].keys()
        and all(np.array_equal(one[0][k], other[0][k]) for k in one[0])
    )


def parts(folder):
    return list((folder / "run").glob(".*.part"))


def kill(process, folder, rng, length):
    """SIGKILL at a random moment.  Returns whether that ended the process."""
    if rng.random() < 0.5:
        until = time.monotonic() + rng.uniform(0, 0.7 * length)
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.001)
    else:
        until = time.monotonic() + rng.uniform(0, 0.6 * length)  # let some checkpoints pass
        while process.poll() is None and (time.monotonic() < until or not parts(folder)):
            time.sleep(0.0002)
        time.sleep(rng.choice([0, 0, 0.001, 0.003, 0.01]))
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SETTINGS, help="this kind of run alone")
    options = parser.parse_args()
    rng, began = random.Random(options.seed), time.monotonic()
    kills = equal = unreadable = inside = fallbacks = before = runs = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch, reference, length = Path(scratch), {}, {}
        for name, arguments in SETTINGS.items() if options.only is None else [(options.only, SETTINGS[options.only])]:
            (scratch / name).mkdir()
            since = time.monotonic()
            finish(start(scratch / name, arguments), scratch / name)
            reference[name], length[name] = outcome(scratch / name), time.monotonic() - since
        print("unbroken runs:", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in length.items()), flush=True)
        while kills < options.kills:
            name = rng.choice(list(reference))
            folder = scratch / "work"
            folder.mkdir()
            planned, done = min(rng.randint(3, 10), options.kills - kills), 0
            while True:
                resumable = (folder / "run" / "config.json").exists()
                process = start(folder, "--resume run --quiet" if resumable else SETTINGS[name])
                if done == planned:
                    break
                if not kill(process, folder, rng, length[name]):
                    length[name] *= 0.9  # it had finished, as when the machine is less busy than at the beginning
                    break
                done += 1
                inside += bool(parts(folder))
                present = [path for path in (folder / "run").glob("checkpoint*.npz")]
                before += not present
                fallbacks += present != [] and folder / "run" / files.CHECKPOINT not in present
                for path in present:
                    try:
                        files.read_npz(path)
                    except ValueError as error:
                        unreadable += 1
                        print(error)
            finish(process, folder)
            runs, kills = runs + 1, kills + done
            matches = same(outcome(folder), reference[name])
            equal += done * matches
            print(
                f"{kills:4} kills, run {runs} ({name}): {done} kills, {'equal' if matches else 'DIFFERENT'}", flush=True
            )
            shutil.rmtree(folder)
    print(
        f"{equal} of {kills} kills were resumed to a run equal to the unbroken one ({runs} runs); {inside} of the kills fell into "
        f"a write, {fallbacks} between its two moves, {before} before the first checkpoint; {unreadable} unreadable checkpoints; "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0 if equal == kills and not unreadable else 1


if __name__ == "__main__":
    sys.exit(main())
