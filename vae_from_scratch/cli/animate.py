"""vae-from-scratch animate: a run as a moving picture."""

from pathlib import Path

import numpy as np

from .look import _writable, open_run
from .train import FRAMES, IN_FRAMES, open_data


def animate_run(options):
    """The frames of training that the run has kept, and a traversal; the traversal alone if it has none."""
    model, config, _ = open_run(options.run, options)
    run = Path(options.run)
    from .. import plots

    out = run / "figures" / "animation.gif" if options.out is None else options.out
    if options.out is None:
        _writable(run / "figures" if (run / "figures").is_dir() else run)
        (run / "figures").mkdir(exist_ok=True)  # a run that was stopped has none yet
    out, _ = plots.animation_path(out)
    training = (run / FRAMES).is_file()
    if training:
        if options.data is not None:
            raise ValueError(f"--data {options.data} has no effect on a run with snapshots: {run / FRAMES} has its images; leave it out")
        kept = plots.read_frames(run / FRAMES)
        if kept["codes"].shape[2] != model.latent_dim or kept["x"].shape[1] != model.data_dim:
            raise ValueError(f"{run / FRAMES} holds frames of another model than that of {run}; remove it")
    else:
        print("note: a traversal alone, for this run has kept no frames of training: train with --frames 40 to have them")
        data = open_data(config, config["split"])
        some = data[np.arange(min(IN_FRAMES, len(data)))]
        how = {"image_shape": data.image_shape, "n_train": 1, "binarize": config["binarize"], "seed": config["seed"]}
        frames = plots.Frames(None, some, None if data.labels is None else data.labels[: len(some)], **how)
        frames(model, 1)
        kept = frames.kept
    count = plots.animate(model, kept, out, training=training, progress=not options.quiet)
    size = f", {out.stat().st_size / 1e6:.1f} MB" if out.is_file() else ""
    print(f"wrote {out} ({count} frames{size})")
