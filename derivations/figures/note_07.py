"""Draws figures/07-*.png: the VAE as a graph, with names and with the numbers of the worked example."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from vae_from_scratch import ops
from vae_from_scratch.vae import VAE

FORWARD, BACKWARD, GREY = "#0072B2", "#D55E00", "#555555"  # Okabe and Ito's blue and vermillion

PLACES = {  # node: (x, y) of its centre
    "x": (3.8, 10.3),
    "enc[1]": (3.8, 8.6),
    "mu": (1.5, 6.7),
    "logvar": (6.2, 6.7),
    "eps": (-1.1, 4.4),
    "z": (1.5, 4.4),
    "kl": (6.2, 4.4),
    "dec[1]": (1.5, 2.7),
    "out": (1.5, 1.0),
    "recon_nll": (1.5, -0.7),
    "loss": (3.8, -2.4),
}
EDGES = [  # from, to, tags, where the text stands (fraction of the way, shift x, shift y, alignment)
    ("x", "enc[1]", "DACT.1, DACT.2", (0.5, 0.3, 0, "left")),
    ("enc[1]", "mu", "DENSE.1 to 4", (0.5, -0.4, 0.1, "right")),
    ("enc[1]", "logvar", "DENSE.1 to 4", (0.5, 0.4, 0.1, "left")),
    ("mu", "z", "REP.1, REP.2", (0.5, -0.25, 0, "right")),
    ("logvar", "z", "REP.1, REP.3", (1, 0.75, -0.12, "left")),
    ("eps", "z", "", (0, 0, 0, "left")),
    ("mu", "kl", "KL.2, KL.3", (0, 0.1, 0.5, "left")),
    ("logvar", "kl", "KL.2, KL.4", (0.5, 0.25, 0, "left")),
    ("z", "dec[1]", "DACT.1, DACT.2", (0.5, 0.3, 0, "left")),
    ("dec[1]", "out", "DENSE.1 to 4", (0.5, 0.3, 0, "left")),
    ("out", "recon_nll", "BERN.1, BERN.2", (0.5, 0.3, 0, "left")),
    ("recon_nll", "loss", "VAE.1", (0.5, -0.4, -0.1, "right")),
    ("kl", "loss", "VAE.1", (0.5, 0.4, -0.1, "left")),
]
TITLES = {"x": "x", "enc[1]": "encoder's hidden  enc[1]", "dec[1]": "decoder's hidden  dec[1]", "out": "logits  out"}
NO_GRADIENT = ("x", "eps")  # inputs: nobody needs theirs


def edge_of(box, centre, direction):
    """Where the ray from the centre leaves the box."""
    half = np.array([box.width, box.height]) / 2
    return centre + direction * np.min(half / np.maximum(np.abs(direction), 1e-9))


def draw(values, gradients, tags):
    """values, gradients: {node: text}; a gradient under (from, to) is written on that edge."""
    figure = plt.figure(figsize=(8, 9.8), dpi=110)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.set(xlim=(-2.1, 8.6), ylim=(-3.1, 10.9))
    axes.axis("off")
    boxes = {}
    for node, (x, y) in PLACES.items():
        both = node not in NO_GRADIENT
        for text, color, shift in ((values[node], FORWARD, 0.18 * both), (gradients.get(node, ""), BACKWARD, -0.21)):
            written = axes.text(x, y + shift, text, color=color, fontsize=13, ha="center", va="center", zorder=3)
            extent = written.get_window_extent(figure.canvas.get_renderer()).transformed(axes.transData.inverted())
            boxes[node] = max(boxes.get(node, 0), extent.width + 0.3)
        height = 0.95 if both else 0.6
        width, look = boxes[node], {"facecolor": "white", "edgecolor": GREY, "linewidth": 1.2}
        boxes[node] = plt.Rectangle((x - width / 2, y - height / 2), width, height, **look)
        axes.add_patch(boxes[node])
    for start, end, text, (t, shift_x, shift_y, side) in EDGES:
        a, b = np.array(PLACES[start]), np.array(PLACES[end])
        direction = (b - a) / np.hypot(*(b - a))
        across = np.array([direction[1], -direction[0]]) * 0.1
        a = edge_of(boxes[start].get_bbox(), a, direction) + 0.07 * direction
        b = edge_of(boxes[end].get_bbox(), b, -direction) - 0.07 * direction
        arrow = dict(arrowstyle="-|>", mutation_scale=14, linewidth=1.8, shrinkA=0, shrinkB=0)
        axes.annotate("", b + across, a + across, arrowprops=dict(arrow, color=FORWARD))
        if start not in NO_GRADIENT:
            axes.annotate("", a - across, b - across, arrowprops=dict(arrow, color=BACKWARD, linestyle=(0, (4, 2))))
        x, y = a + t * (b - a) + [shift_x, shift_y]
        if (start, end) in gradients:
            axes.text(x, y + (0.17 if tags else 0), gradients[start, end], color=BACKWARD, fontsize=12, ha=side, va="center")
            y -= 0.17
        if tags:
            axes.text(x, y, text, color=GREY, fontsize=11, ha=side, va="center")
    handles = [plt.Line2D([], [], color=FORWARD, linewidth=1.8), plt.Line2D([], [], color=BACKWARD, linewidth=1.8, linestyle=(0, (4, 2)))]
    words = ["forward: the value", "backward: its gradient"]
    axes.legend(handles, words, loc="upper left", bbox_to_anchor=(0.0, 0.99), fontsize=12, frameon=False)
    return figure


def graph():
    """The names of the code, and the tags of both directions on every arrow."""
    values = {node: TITLES.get(node, node) for node in PLACES}
    gradients = {node: f"d{node}" for node in PLACES if node not in NO_GRADIENT}
    gradients |= {"enc[1]": "d enc[1]", "dec[1]": "d dec[1]", "mu": "dmu, VAE.2", "logvar": "dlogvar, VAE.2", "loss": "1"}
    gradients |= {("mu", "z"): "dmu_recon", ("logvar", "z"): "dlogvar_recon", ("mu", "kl"): "dmu_kl", ("logvar", "kl"): "dlogvar_kl"}
    gradients |= {("x", "enc[1]"): "encoder_W1, encoder_b1"}
    gradients |= dict.fromkeys([("enc[1]", "mu"), ("enc[1]", "logvar")], "encoder_W2, encoder_b2")
    gradients |= {("z", "dec[1]"): "decoder_W1, decoder_b1", ("dec[1]", "out"): "decoder_W2, decoder_b2"}
    return draw(values, gradients, tags=True)


def numbers():
    """The worked example, computed by the package."""
    model = VAE(data_dim=2, hidden=(1,), latent_dim=1, activation="tanh", likelihood="bernoulli", dtype="float64")
    log2 = np.log(2)
    parameters = {
        "encoder_W1": np.array([[1], [0.5]]),
        "encoder_b1": np.array([-1 + log2]),
        "encoder_W2": np.array([[0.5, -1]]),
        "encoder_b2": np.array([0.5, 0.6 - 2 * log2]),
        "decoder_W1": np.array([[2.0]]),
        "decoder_b1": np.array([-1 - log2]),
        "decoder_W2": np.array([[1, -0.5]]),
        "decoder_b2": np.array([0.6 + 2 * log2, -0.3]),
    }
    for name, value in parameters.items():
        model.params[name][...] = value
    p, x, eps = model.params, np.array([[1.0, 0.0]]), np.array([[-0.6]])
    terms, (enc, dec, mu, logvar, _, kl) = model.forward(x, eps)
    z, one = dec[0], np.ones(1)
    dmu_kl, dlogvar_kl = ops.gaussian_kl_backward(one, mu, logvar)
    dout = ops.bernoulli_nll_backward(one, dec[-1], x)
    ddec, dV2, dc2 = ops.dense_backward(dout, dec[1], p["decoder_W2"])
    dz, dV1, dc1 = ops.dense_act_backward(ddec, z, p["decoder_W1"], dec[1], "tanh")
    dmu_recon, dlogvar_recon = ops.reparameterize_backward(dz, logvar, eps)
    dmu, dlogvar = dmu_recon + dmu_kl, dlogvar_recon + dlogvar_kl
    denc, dW2, db2 = ops.dense_backward(np.concatenate([dmu, dlogvar], axis=1), enc[1], p["encoder_W2"])
    dW1, db1 = ops.dense_act_backward_params(denc, x, enc[1], "tanh")

    def show(name, value, digits=4):
        entries = [f"{v + 0:.{digits}f}".rstrip("0").rstrip(".").replace("-", "−") for v in np.ravel(value)]
        return f"{name} = " + (entries[0] if len(entries) == 1 else f"({', '.join(entries)})")

    shown = {"x": x, "enc[1]": enc[1], "mu": mu, "logvar": logvar, "eps": eps}
    values = {name: show(name, value) for name, value in shown.items()}
    values |= {"z": show("z", z), "dec[1]": show("dec[1]", dec[1]), "out": show("out", dec[-1])}
    values |= {"recon_nll": show("recon_nll", terms.recon_nll), "kl": show("kl", kl), "loss": show("loss", terms.loss)}
    gradients = {"enc[1]": show("d", denc), "mu": show("d", dmu), "logvar": show("d", dlogvar), "z": show("d", dz)}
    gradients |= {"dec[1]": show("d", ddec), "out": show("d", dout), "recon_nll": "d = 1", "kl": "d = 1", "loss": "d = 1"}
    gradients |= {("mu", "z"): show("d", dmu_recon), ("logvar", "z"): show("d", dlogvar_recon)}
    gradients |= {("mu", "kl"): show("d", dmu_kl), ("logvar", "kl"): show("d", dlogvar_kl)}
    gradients |= {("x", "enc[1]"): show("dW", dW1) + ", " + show("db", db1)}
    gradients |= {("enc[1]", "mu"): show("dW", dW2[0, 0]) + "\n" + show("db", db2[0])}
    gradients |= {("enc[1]", "logvar"): show("dW", dW2[0, 1]) + "\n" + show("db", db2[1])}
    gradients |= {("z", "dec[1]"): show("dW", dV1) + ", " + show("db", dc1)}
    gradients |= {("dec[1]", "out"): show("dW", dV2) + "\n" + show("db", dc2)}
    return draw(values, gradients, tags=False)


if __name__ == "__main__":
    here = Path(__file__).parent
    for name, figure in {"07-graph": graph(), "07-numbers": numbers()}.items():
        figure.canvas.draw()
        image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        image.quantize(64).save(here / f"{name}.png", optimize=True)  # 64 colours: a small file
