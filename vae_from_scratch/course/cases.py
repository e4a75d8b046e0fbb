"""The zoo: bugs that somebody shipped, each as an edit of this package's own source.  derivations/22-course.md."""

import textwrap
from typing import Any, NamedTuple

from .cut import home, source
from .edited import apply
from .mistakes import MISTAKES

CHECKS = ("pair", "model", "value", "training")  # what a learner may run: zoo_checks.py


class Case(NamedTuple):
    """One bug; without bugs the report was wrong."""

    id: str
    file: str  # below vae_from_scratch/
    bugs: tuple  # rows of mistakes.py by their names; (old text, new text), the old once in the file, where there is no exercise
    source: str  # where it was reported
    symptom: str  # what a user sees
    passes: tuple  # checks of CHECKS
    fails: tuple  # the other checks; none if the program is right
    caught: str  # by which row of the table, model or value; "" if nothing is wrong
    question: str
    answer: str
    equations: tuple  # tags, any of which names the place
    model: tuple = ("vae.VAE", {})  # what is trained: class, settings; ("mig", {}) scores a code instead
    fit: dict[str, Any] = {}

    @property
    def edits(self):
        """The bugs as (old text, new text) in the file: of a row, the whole function before and after."""
        rows = {row.id: row for row in MISTAKES}
        functions = {rows[bug].edit.function: [] for bug in self.bugs if isinstance(bug, str)}
        for bug in self.bugs:
            if isinstance(bug, str):
                functions[rows[bug].edit.function].append(rows[bug].edit[1:])
        given = [bug for bug in self.bugs if not isinstance(bug, str)]
        for target, edits in functions.items():
            module, owner, _ = home(target)
            old, margin = source(target), "" if owner is module else "    "
            given.append(tuple(textwrap.indent(text, margin) for text in (old, apply(old, edits, target))))
        return tuple(given)


CASES = [
    Case(
        "std-is-variance",
        "ops.py",
        ("rep-std-is-variance", "rep-dlogvar-matches-variance"),
        "keras-team/keras, pull request 9972; also rachtsingh/ibp_vae, issue 3",
        "Everything trains, and the loss is a little lower than that of others.",
        ("pair", "model"),
        ("value", "training"),
        "draws",
        "The gradients are exact.  Gradients of what?",
        "The draw has standard deviation exp(logvar), where the KL believes exp(logvar / 2).  The network adapts to the"
        " wrong scale, so it trains well; but the loss is no bound on log p(x), and a right program, which draws with"
        " exp(logvar / 2), finds it a nat too high.",
        ("REP.1",),
    ),
    Case(
        "kl-mean-over-latents",
        "ops.py",
        ("kl-each-mean-latents", "kl-backward-mean-latents"),
        "podgorskiy/VAE, issue 1; also mkusner/grammarVAE, issue 2",
        "Better reconstructions than anybody reports, and poor samples.",
        ("pair", "model"),
        ("value", "training"),
        "KL against quadrature",
        "Which beta would give this loss?",
        "The KL is a mean over the Z latents, so its price is 1/Z: a hidden beta.  The codes move far from the prior, and what"
        " the decoder makes of draws from the prior was never trained.",
        ("KL.2",),
    ),
    Case(
        "noise-times-0.01",
        "ops.py",
        ("rep-small-noise", "rep-dlogvar-small-noise"),
        "keras-team/keras, pull request 4211",
        "The reported loss is far below what others report for the same model.",
        ("pair", "model"),
        ("value", "training"),
        "draws",
        "The KL charges for a variance.  Which one is drawn?",
        "The noise has standard deviation 0.01, so z is nearly mu, and the KL is paid for noise that is not there.  What is"
        " reported is no bound; measured with the right noise the model is poor.",
        ("REP.1",),
    ),
    Case(
        "noise-is-a-constant",
        "ops.py",
        ("rep-noise-is-one", "rep-dlogvar-no-eps"),
        "twairball/keras_lstm_vae, issue 1",
        "Two evaluations with different seeds give the same number, and the loss is very low.",
        ("pair", "model"),
        ("value", "training"),
        "draws",
        "What is random in this program?",
        "The draw of the noise is thrown away and its standard deviation, 1, is used in its place.  Nothing is random, so this is"
        " an autoencoder that shifts its code by sigma.",
        ("REP.1",),
    ),
    Case(
        "mean-and-sum",
        "ops.py",
        ("bern-mean-pixels", "bern-d-mean-pixels", "kl-each-sum-batch", "kl-backward-sum-batch"),
        "zdebruine/MMVAE, pull request 19; the sum alone: EDAPINENUT/GNTPP, issue 4",
        "No latent is active; every reconstruction is the mean image.",
        ("pair", "model"),
        ("value", "training"),
        "images sum to one",
        "Is this posterior collapse, or arithmetic?",
        "The reconstruction is a mean over D pixels and the KL a sum over the N rows of the batch: beta is N times D.  At that"
        " price no latent pays, so none is active.  Sum over what belongs to one datum, then take the mean over the batch.",
        ("BERN.1", "KL.2"),
    ),
    Case(
        "beta-unused",
        "beta_vae.py",
        ("beta-unused", "beta-d-unused"),
        "AlexanderVNikitin/tsgm, issue 69",
        "Whatever beta is, the curves are the same.",
        ("pair", "model"),
        ("value", "training"),
        "beta is a price",
        "Change one argument.  What should change in the loss, and by how much?",
        "beta is stored and never read: the loss and its gradient are those of a VAE, so they agree with each other.  An argument"
        " is tested by changing it.",
        ("BETA.1", "BETA.2"),
        ("beta_vae.BetaVAE", {"beta": 4.0}),
    ),
    Case(
        "mean-of-logs",
        "ops.py",
        ("is-mean-of-logs",),
        "arahuja/generative-tf, issue 1",
        "With 50 samples the bound on log p(x) is no better than with one.",
        ("model", "training"),
        ("pair", "value"),
        "log of a mean",
        "Does the bound rise with the number of samples?",
        "The mean of the logarithms is the ELBO again, however many samples it takes: Jensen's inequality is what was to be"
        " gained.  The model trained here is a VAE and does not use the bound, so only an evaluation shows it.",
        ("IS.2", "IWAE.3"),
    ),
    Case(
        "iwae-weights-its-own-loss",
        "ops.py",
        ((
            "    return log_mean_exp(log_w)\n\n\ndef iwae_bound_backward",
            "    return (normalised_weights(log_w) * log_w).sum(axis=-1)\n\n\ndef iwae_bound_backward",
        ),),
        "clementchadebec/benchmark_VAE, src/pythae/models/iwae/iwae_model.py; the weights there: AntixK/PyTorch-VAE, pull request 53",
        "The reported bound is better than the estimate of log p(x) that it should stay below.",
        ("training",),
        ("pair", "model", "value"),
        "IWAE's bound",
        "By how much is it too good?",
        "Reported is the mean of the log weights under the normalised weights, which exceeds the bound by KL(w || uniform), up to"
        " log K.  The gradient is that of the right loss, so training is right and the report is wrong.",
        ("IWAE.3",),
        ("objectives.iwae.IWAE", {"samples": 10}),
    ),
    Case(
        "cross-entropy-swapped",
        "ops.py",
        ("bern-data-for-prediction", "bern-d-data-for-prediction"),
        "autonomousvision/sledge, issue 4",
        "The loss starts at a thousand and falls well.",
        ("pair", "model"),
        ("value", "training"),
        "images sum to one",
        "For fixed logits, what do the probabilities of all images sum to?",
        "The data stand where the prediction belongs, with the clamp at -100 that hides log 0.  Cross-entropy is not symmetric:"
        " this one is linear in the prediction, so the best answer is always 0 or 1.",
        ("BERN.1",),
    ),
    Case(
        "sigmoid-twice",
        "likelihoods.py",
        (
            (
                "        return ops.bernoulli_nll_forward(out, x)\n",
                "        return ops.bernoulli_nll_forward(ops.sigmoid_forward(out), x)\n",
            ),
            (
                "        return ops.bernoulli_nll_backward(dnll, out, x), {}\n",
                "        p = ops.sigmoid_forward(out)\n"
                "        return ops.sigmoid_backward(ops.bernoulli_nll_backward(dnll, p, x), p), {}\n",
            ),
        ),
        "Turoad/lanedet, issue 32; also itakurah/focal-loss-pytorch, pull request 5",
        "The loss hardly moves below 44 nats, and no latent is active.",
        ("pair", "model"),
        ("value", "training"),
        "the mean is the mean",
        "What is the smallest probability that the loss can see?",
        "A loss that takes logits is given probabilities, so its own probabilities lie between 0.5 and 0.73.  As a density it is"
        " in order; it is not the one whose mean the program shows.",
        ("BERN.1",),
    ),
    Case(
        "bias-mean",
        "ops.py",
        ("dense-db-mean",),
        "kvfrans/notes, issue 5",
        "None under Adam; under plain gradient descent the biases learn N times too slowly.",
        ("value", "training"),
        ("pair", "model"),
        "dense_backward",
        "Why does Adam not care?",
        "The upstream gradient holds the batch's 1/N already, so each bias gets 1/N of its gradient.  Adam divides a gradient by"
        " its own size and so hides any constant factor.",
        ("DENSE.4",),
    ),
    Case(
        "a-quarter-for-a-half",
        "ops.py",
        ("gauss-dlogvar-quarter",),
        "y0ast/VAE-Torch, pull request 5",
        "The likelihood is worse than it should be, and the variances are too large.",
        ("value",),
        ("pair", "model", "training"),
        "gaussian_nll_backward",
        "At which variance does this gradient vanish?",
        "The constant of the derivative is 1/4 in place of 1/2, so the gradient vanishes where the variance is twice the squared"
        " error.  The forward pass is right, and so is every number it reports.",
        ("GAUSS.3",),
        ("vae.VAE", {"likelihood": {"name": "gaussian", "sigma": "learned"}}),
    ),
    Case(
        "sigma-for-its-logarithm",
        "ops.py",
        ("gauss-sigma-for-log", "gauss-dlogvar-of-sigma"),
        "piEsposito/blitz-bayesian-deep-learning, issue 14",
        "The negative log likelihood never goes below zero, as if densities could not exceed one.",
        ("pair", "model"),
        ("value", "training"),
        "a density integrates to one",
        "Integrate exp(-nll) over x.",
        "sigma stands where log sigma belongs.  Loss and gradient agree, but exp(-nll) is no density: it integrates to"
        " sigma exp(-sigma), and a small sigma is not rewarded.",
        ("GAUSS.1",),
        ("vae.VAE", {"likelihood": {"name": "gaussian", "sigma": "learned"}}),
    ),
    Case(
        "slope-of-the-output-missing",
        "likelihoods.py",
        (
            (
                "        dx_mean, dx_logvar = ops.gaussian_nll_backward(dnll, x_mean, x_logvar, x)\n"
                '        da = ops.sigmoid_backward(dx_mean, x_mean) if self.mean_activation == "sigmoid" else dx_mean\n',
                "        da, dx_logvar = ops.gaussian_nll_backward(dnll, x_mean, x_logvar, x)\n",
            ),
        ),
        "Bot-Academy/NeuralNetworkFromScratch, pull request 3",
        "It trains, and not badly.",
        ("pair", "value"),
        ("model", "training"),
        "model",
        "p - y is the gradient of which loss?",
        "With a Gaussian likelihood the sigmoid at the end has a slope of its own; only for the Bernoulli's logits does it cancel."
        "  The direction still has the right sign in every pixel, so the loss goes down.",
        ("GAUSS.2", "SIGM.2"),
        ("vae.VAE", {"likelihood": {"name": "gaussian", "sigma": 0.1, "mean": "sigmoid"}}),
    ),
    Case(
        "tanh-of-the-output",
        "ops.py",
        (("    return dh * (1 - h * h)\n", "    return dh * (1 - np.tanh(h) ** 2)\n"),),
        "davidrmiller/neural2d, issue 40",
        "Training works.",
        ("value", "training"),
        ("pair", "model"),
        "tanh_backward",
        "What does this backward take: the input of tanh, or its output?",
        "The derivative is 1 - tanh(a)^2, and h is tanh(a) already: here tanh is applied twice, and saturated units get a gradient"
        " that they should not.",
        ("TANH.2",),
    ),
    Case(
        "slope-of-the-wrong-layer",
        "mlp.py",
        (
            (
                "            dh, _, _ = ops.dense_act_backward(dh, h[l - 1], params[W], h[l], activation, out=(grads[W], grads[b]))\n",
                "            h_out = h[l - 1] if l > 1 else h[1]\n"
                "            dh, _, _ = ops.dense_act_backward(dh, h[l - 1], params[W], h_out, activation, out=(grads[W], grads[b]))\n",
            ),
        ),
        "danluu/UFLDL-tutorial, pull request 2",
        "A second hidden layer of the same width does not help as much as it should.",
        ("pair", "value"),
        ("model", "training"),
        "model",
        "Why must the layers of a test have unequal widths?",
        "The slope of layer l is taken at the output of layer l - 1.  Both have the same width, so nothing fails; with unequal"
        " widths it would.  Each pair is right: what is wrong is the array that it is given.",
        ("MLP.2",),
        ("vae.VAE", {"hidden": (64, 64)}),
    ),
    Case(
        "the-one-once",
        "ops.py",
        ("kl-no-minus-one", "kl-one-once"),
        "ericjang/draw, issue 2",
        "The loss is a few nats off, and by more if there are more latents; the images are the same.",
        ("pair", "model", "training"),
        ("value",),
        "KL at the prior",
        "What is the KL of the prior to itself?",
        "The -1 is taken once and not once for each latent, so the KL is (Z - 1) / 2 too large: a constant, which no gradient and"
        " no training can see.",
        ("KL.1", "KL.2"),
    ),
    Case(
        "log-std-in-the-kl",
        "ops.py",
        ("kl-log-std", "kl-dlogvar-log-std"),
        "KarenUllrich/Tutorial_BayesianCompressionForDL, issue 1",
        "Everything trains, the KL is smaller than others report, and the loss a little worse.",
        ("pair", "model"),
        ("value", "training"),
        "KL against quadrature",
        "Two functions read logvar.  Do they read it alike?",
        "The KL takes the log variance for a log standard deviation.  It vanishes at the prior and its gradient is exact; away from"
        " the prior it is another function, and the draw does not agree with it.",
        ("KL.1",),
    ),
    Case(
        "logvar-from-the-mean",
        "vae.py",
        (
            "vae-logvar-is-mu",
            "vae-b-logvar-is-mu",
            (
                "        return out[:, : self.latent_dim], out[:, self.latent_dim :]\n",
                "        return out[:, : self.latent_dim], out[:, : self.latent_dim]\n",
            ),
        ),
        "kaist-dmlab/TRAP, pull request 1; also OpenTalker/SadTalker, issue 969",
        "The loss is a nat or two worse than others report.",
        ("pair", "model"),
        ("value", "training"),
        "two heads",
        "How many outputs of the encoder does the loss depend on?",
        "mu and logvar are the same numbers, so a precise latent must have a large negative mean.  Half of the encoder's last layer has"
        " the gradient 0, and that is its true gradient.",
        ("VAE.1",),
    ),
    Case(
        "adam-counts-parameters",
        "optimizers.py",
        (
            ('        state["t"] += 1\n', ""),
            (
                "        names = [getattr(store, \"names\", None) for store in stores]\n"
                "        if names[0] is not None and names.count(names[0]) == len(names):  # vectors in one order, so all at once\n"
                '            self.update(*(store.vector for store in stores), state["t"], lr, kernels)\n'
                "        else:\n"
                "            for name in params:\n"
                '                self.update(*(store[name] for store in stores), state["t"], lr, kernels)\n',
                "        for name in params:\n"
                '            state["t"] += 1\n'
                '            self.update(*(store[name] for store in stores), state["t"], lr, kernels)\n',
            ),
        ),
        "flashlight/flashlight, issue 143",
        "The first epochs are a little better than expected.",
        ("pair", "model", "training"),
        ("value",),
        "Adam's first steps",
        "With a constant gradient, how long are Adam's first steps?",
        "The count of steps grows with every parameter array, so the correction of the moments ends too early for most arrays."
        "  After some hundred steps nothing is left of it.",
        ("ADAM.3", "ADAM.4"),
    ),
    Case(
        "adam-multiplies",
        "optimizers.py",
        ("adam-multiplies",),
        "karpathy/convnetjs, pull request 70",
        "The first epoch is terrible, and the last one still a little worse than it should be.",
        ("pair", "model"),
        ("value", "training"),
        "Adam's first steps",
        "With a constant gradient, how long are Adam's first steps?",
        "The moments start at zero and must be divided by what they lack; here they are multiplied by it.  The second moment is"
        " then far too small for a thousand steps, and those steps are too long.",
        ("ADAM.3", "ADAM.4"),
    ),
    Case(
        "biases-for-their-gradients",
        "optimizers.py",
        (
            (
                "        names = [getattr(store, \"names\", None) for store in stores]\n",
                "        for name in params:\n"
                "            if \"_b\" in name:\n"
                "                grads[name] = params[name]\n"
                "        names = [getattr(store, \"names\", None) for store in stores]\n",
            ),
        ),
        "apache/systemds, pull request 2330",
        "The loss is a little worse than it should be, and stays so.",
        ("pair", "model"),
        ("value", "training"),
        "Adam's first steps",
        "Which parameters have moved since the start?",
        "The update of the biases is given the biases themselves in place of their gradients.  They start at zero, so they stay"
        " there; the weights make up for most of it.",
        ("ADAM.5",),
    ),
    Case(
        "glorot-without-brackets",
        "mlp.py",
        (("    r = np.sqrt(6 / (fan_in + fan_out))\n", "    r = np.sqrt(6 / fan_in + fan_out)\n"),),
        "mlverse/torch, issue 555",
        "The loss starts in the hundreds and never catches up.",
        ("pair", "model"),
        ("value", "training"),
        "initial weights",
        "How large is a pre-activation before the first step?",
        "Without the brackets the range is about the square root of the layer's width.  Every tanh starts saturated, with a"
        " gradient of nearly zero.",
        ("GLOROT.1",),
        ("autoencoder.Autoencoder", {}),
    ),
    Case(
        "mig-reshaped",
        "disentanglement/mig.py",
        ((
            "    codes, values = outputs[0], values[:, chosen]\n",
            "    codes, values = outputs[0].reshape(outputs[0].shape[1], -1).T, values[:, chosen]\n",
        ),),
        "YannDubs/disentangling-vae, issue 78",
        "The mutual information gap is near zero for every model.",
        ("pair", "model", "training"),
        ("value",),
        "MIG of the factors",
        "What must the score of a perfect code be?",
        "A reshape to (Z, N) is no transpose: it keeps the order in memory, so each row mixes latents and data.  The shapes are"
        " right and nothing fails.",
        ("MIG.1",),
        ("mig", {}),
    ),
    Case(
        "weights-in-a-column",
        "ops.py",
        (("    np.fill_diagonal(log_c, own)\n", "    log_c.reshape(-1)[:: len(z)] = own\n"),),
        "rtqichen/beta-tcvae, pull request 1",
        "Fewer latents are active than with a right program, and the loss falls less.",
        ("pair", "model", "training"),
        ("value",),
        "q(z) over all batches",
        "Over all batches that hold a datum, is the mean of the estimates q(z)?",
        "A stride of B steps down a column of a B x B matrix; the diagonal needs B + 1.  The weight of the own example lands on the"
        " first example of the batch, for every row.",
        ("TC.8",),
        ("objectives.beta_tc_vae.BetaTCVAE", {"beta": 6.0}),
    ),
    Case(
        "centred-over-latents",
        "ops.py",
        (
            (
                "    centred = mu - mu.mean(axis=0)  # over the rows: a latent has a mean, not a datum\n",
                "    centred = mu - mu.mean(axis=1, keepdims=True)\n",
            ),
            (
                "    centred = mu - mu.mean(axis=0)\n    return centred @ (dC + dC.T) / len(mu)\n",
                "    centred = mu - mu.mean(axis=1, keepdims=True)\n"
                "    out = centred @ (dC + dC.T) / len(mu)\n"
                "    return out - out.mean(axis=1, keepdims=True)\n",
            ),
        ),
        "AntixK/PyTorch-VAE, models/dip_vae.py",
        "The loss stays well above what others reach.",
        ("pair", "model"),
        ("value", "training"),
        "a covariance ignores the mean",
        "Add a constant to one latent.  What changes?",
        "The mean is taken over the latents of each datum and not over the data.  What is held at the identity is no covariance;"
        " its rows sum to zero, so it can never be the identity.",
        ("DIP.1",),
        ("objectives.dip_vae.DIPVAE", {"kind": "i", "lambda_od": 10.0, "lambda_d": 10.0}),
    ),
    Case(
        "permuted-within-rows",
        "ops.py",
        (("order.argsort(axis=0), axis=0)", "order.argsort(axis=1), axis=1)"),),
        "AntixK/PyTorch-VAE, issue 28",
        "The loss looks right.",
        ("pair", "model", "training"),
        ("value",),
        "columns are permuted",
        "Which distribution should the permuted codes have?",
        "Latents are shuffled within each datum, which mixes the marginals of different latents.  Wanted is the product of the"
        " marginals: each column shuffled over the batch by itself.",
        ("FACTOR.1",),
        ("objectives.factor_vae.FactorVAE", {"discriminator_hidden": (32,)}),
        {"epochs": 10},
    ),
    Case(
        "discriminator-pulls-the-encoder",
        "objectives/factor_vae.py",
        (
            (
                "        dz = network.backward(self.ops, network.params, self.gamma * share[:, None], h, unused)\n",
                "        dlogit = self.gamma * share - share * self.ops.sigmoid_forward(-h[-1][:, 0]) / 2\n"
                "        dz = network.backward(self.ops, network.params, dlogit[:, None], h, unused)\n",
            ),
        ),
        "YannDubs/disentangling-vae, issue 77",
        "None to speak of.",
        ("pair", "value", "training"),
        ("model",),
        "model",
        "Of which loss is the encoder's gradient?",
        "The discriminator's own loss reaches the encoder: half a sigmoid is taken from gamma.  At gamma = 6.4 this is a few"
        " per cent of one term; only a difference of the whole loss shows it.",
        ("FACTOR.6",),
        ("objectives.factor_vae.FactorVAE", {"discriminator_hidden": (32,)}),
        {"epochs": 10},
    ),
    Case(
        "noise-in-the-target",
        "objectives/denoising_autoencoder.py",
        (
            (
                "        recon_nll = self.likelihood.forward(ops, params, dec[-1], x)\n",
                "        recon_nll = self.likelihood.forward(ops, params, dec[-1], self.corrupt(x, eps))\n",
            ),
            ("        super().backward(x, saved, grads)\n", "        super().backward(self.corrupt(x, eps), saved, grads)\n"),
        ),
        "keon/3-min-pytorch, issue 18; also pkmital/tensorflow_tutorials, issue 21",
        "The reconstructions are too dark.",
        ("pair", "model"),
        ("value", "training"),
        "the target is clean",
        "What does this model learn to output?",
        "The loss compares with the corrupted x, so the corruption is what is learnt.  A denoising autoencoder must see x with"
        " noise and be compared with x without.",
        ("DAE.1",),
        ("objectives.denoising_autoencoder.DenoisingAutoencoder", {"level": 0.4}),
    ),
    Case(
        "noise-overwritten",
        "objectives/denoising_autoencoder.py",
        ((
            "enc = self.encoder.forward(ops, params, self.corrupt(x, eps))",
            "corrupted = self.corrupt(x, eps)\n        corrupted = x\n        enc = self.encoder.forward(ops, params, corrupted)",
        ),),
        "pkmital/CADL, issue 56",
        "The loss is remarkably good for so much noise.",
        ("pair", "model", "training"),
        ("value",),
        "the noise is seen",
        "Does the loss depend on the noise?",
        "The corrupted input is computed and then overwritten by x.  What is trained is a plain autoencoder; on clean data it is"
        " even better, which is why nobody looked.",
        ("DAE.1",),
        ("objectives.denoising_autoencoder.DenoisingAutoencoder", {"level": 0.4}),
    ),
    Case(
        "sparse-for-each-datum",
        "ops.py",
        (
            (
                "    kl = rho * (np.log(rho / batch_mean(h_hat)) - c)"
                " + (1 - rho) * (np.log((1 - rho) / batch_mean(not_h_hat)) - not_c)\n",
                "    kl = (rho * (np.log(rho / h_hat) - c) + (1 - rho) * (np.log((1 - rho) / not_h_hat) - not_c)) / len(a)\n",
            ),
            (
                "    return dkl * ((1 - rho) * (not_h_hat / batch_mean(not_h_hat)) * h"
                " - rho * (h_hat / batch_mean(h_hat)) * not_h) / len(a)\n",
                "    return dkl * ((1 - rho) * h - rho * not_h) / len(a)\n",
            ),
        ),
        "wblgers/tensorflow_stacked_denoising_autoencoder, issue 1",
        "Every unit has the same small activation for every image, and the reconstructions are poor.",
        ("pair", "model"),
        ("value", "training"),
        "the mean activation",
        "Which units may be at 1?",
        "The KL is taken for each datum and then averaged: every activation is pushed to rho.  Taken of the mean activation, it"
        " lets a unit be at 1 for a few data if it is at 0 for the rest.",
        ("SPARSE.3",),
        ("objectives.sparse_autoencoder.SparseAutoencoder", {"weight": 20.0, "rho": 0.1}),
    ),
    Case(
        "capacity-stays",
        "objectives/capacity_vae.py",
        (
            (
                "        self.set(gamma=gamma, capacity=capacity)\n",
                "        self.set(gamma=gamma, capacity=capacity)\n        self.first = capacity\n",
            ),
            ("self.ops.batch_mean(kl), self.gamma, self.capacity)\n\n", "self.ops.batch_mean(kl), self.gamma, self.first)\n\n"),
            (
                "dkl_mean = self.ops.capacity_backward(dpenalty, self.ops.batch_mean(kl), self.gamma, self.capacity)",
                "dkl_mean = self.ops.capacity_backward(dpenalty, self.ops.batch_mean(kl), self.gamma, self.first)",
            ),
        ),
        "Knight13/beta-VAE-disentanglement, issue 1",
        "The schedule runs, and the KL stays where it was.",
        ("pair", "model"),
        ("value", "training"),
        "a schedule is followed",
        "Who reads what the schedule writes?",
        "The capacity is read once, when the loss is built, and the schedule changes an attribute that nobody looks at again.",
        ("CAP.1", "CAP.2"),
        ("objectives.capacity_vae.CapacityVAE", {"gamma": 10.0}),
        {"capacity": 4.0},
    ),
    Case(
        "validated-on-training-data",
        "training.py",
        (("            seen = look(some if x_valid is None else x_valid)\n", "            seen = look(some)\n"),),
        "timsainb/tensorflow2-generative-models, issue 9; also jeshraghian/snntorch, pull request 118",
        "The validation loss is never far from the training loss, for any model.",
        ("pair", "model", "training"),
        ("value",),
        "the validation data are used",
        "Would this validation loss ever rise?",
        "What is called validation loss is measured on the training data.  It cannot show overfitting; no test of the model can"
        " show it either.",
        ("EST.1", "EST.2"),
    ),
    Case(
        "last-batch-counts-double",
        "evaluation.py",
        ((
            "        loss = float(terms.loss) * len(batch) / samples  # weighted: the last batch may be shorter\n",
            "        loss = float(terms.loss) * batch_size / samples\n",
        ),),
        "mitmul/chainer-cifar10, issue 1; also dnouri/nolearn, issue 247",
        "The evaluated loss is not the sum of its two terms, and changes with the batch size.",
        ("pair", "model", "training"),
        ("value",),
        "batches change nothing",
        "How many data are in the last batch?",
        "Every batch is weighted by the batch size that was asked for, and the last one is shorter.  With one batch larger than the"
        " data the loss is too large by their ratio.",
        ("EST.1", "EST.2"),
    ),
    Case(
        "no-noise-at-test-time",
        "engine/plumbing.py",
        (("        return self.draw_noise(n, rng)\n", "        return tuple(0 * noise for noise in self.draw_noise(n, rng))\n"),),
        "pytorch/examples, pull request 419",
        "The test loss is two nats better than the training loss, and the two ELBOs disagree.",
        ("pair", "model", "training"),
        ("value",),
        "the ELBO has noise in it",
        "Is what is measured on test data the ELBO?",
        "In evaluation z is mu.  The expectation over q is replaced by the value at its mean, so the number is no bound on"
        " log p(x), and not comparable with the training loss.",
        ("EST.1", "EST.2"),
    ),
    Case(
        "prior-of-log-std-one",
        "ops.py",
        ("is-prior-scaled",),
        "HIPS/autograd, pull request 266",
        "The sampled ELBO and the one with the KL in closed form disagree by several nats.",
        ("pair", "model", "training"),
        ("value",),
        "log weight at the posterior",
        "At the exact posterior, how do the log weights vary?",
        "The density of the prior is given 1 as its log standard deviation, which should be 0: a prior e times too wide, in one of"
        " the two estimators only.",
        ("IS.1",),
    ),
    Case(
        "wrong-factor-reported",
        "ops.py",
        (),
        "jcjohnson/pytorch-examples, issue 28",
        'A report says: "the gradient of the hidden layer must be taken back through the gradient of W, not through W".',
        CHECKS,
        (),
        "",
        "Is it a bug?",
        "No.  dx = dy W^T: a small change of x changes y by that change times W, whatever the gradient in W is.  Differences"
        " settle it in one line.",
        ("none",),
    ),
    Case(
        "wrong-formula-reported",
        "ops.py",
        (),
        "AntixK/PyTorch-VAE, issue 69",
        'A report says: "the KL must hold exp(logvar)^2, as exp(logvar) is sigma".',
        CHECKS,
        (),
        "",
        "Is it a bug?",
        "No.  logvar is the log of the variance, so exp(logvar) is sigma^2 and the code is right.  The report took it for log"
        " sigma; what settled it was the line of the draw, which uses exp(logvar / 2).",
        ("none",),
    ),
    Case(
        "negative-loss-reported",
        "ops.py",
        (),
        "chainer/chainer, issue 5440",
        'A report says: "the negative log likelihood is negative, so it is wrong".',
        CHECKS,
        (),
        "",
        "Is it a bug?",
        "No.  A density may exceed one, and its negative logarithm is then below zero.  That happens wherever the data are"
        " predicted with a small variance.",
        ("none",),
        ("vae.VAE", {"likelihood": {"name": "gaussian", "sigma": 0.1, "mean": "sigmoid"}}),
    ),
]
