"""The same training step by our code, PyTorch, JAX and autograd, side by side.  Ten minutes; with --quick, seconds.

Every contender does the same in float32: draw eps, loss and gradients of a VAE with Bernoulli pixels, a step of Adam,
and the loss read back as a Python float.  The floor does the matrix products of that step and nothing else.
Each contender is a process of its own, so that none inherits another's threads or memory.  Before it is timed it must
reach the losses and the parameters of the NumPy reference in float64, from the same parameters, x and eps.  Then the
contenders take turns, round by round: whatever else the machine does falls on all of them, and ratios are taken
within a round.  Peers that are not installed are skipped; pip install '.[bench]' installs them.
Run: python examples/benchmark.py                                 (all workloads; one core, then all cores)
     python examples/benchmark.py --workloads mnist --threads 1   (one workload on one core)
     python examples/benchmark.py --whole 20                      (MNIST from the command to the ELBO, start and compilation included)
     python examples/benchmark.py --isa avx2                      (every contender limited to AVX2, as most laptops are)
"""

import argparse
import contextlib
import csv
import functools
import importlib.metadata
import importlib.util
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure

from vae_from_scratch import VAE, Adam, datasets, fit, plots
from vae_from_scratch.engine.backends import BACKENDS
from vae_from_scratch.engine import parts, threads as blas
from vae_from_scratch.evaluation import evaluate

LR, BETA1, BETA2, ADAM_EPS = 1e-3, 0.9, 0.999, 1e-8
MNIST = dict(data_dim=784, hidden=(500,), latent_dim=20)
DSPRITES = dict(data_dim=4096, hidden=(1200,) * 2, latent_dim=10, activation="relu",
                decoder_hidden=(1200,) * 3, decoder_activation="tanh")  # fmt: skip
WORKLOADS = {  # name: (what it is, arguments of VAE, batch size)
    "tiny": ("64-64-2-64-64, batch 64", dict(data_dim=64, hidden=(64,), latent_dim=2), 64),
    "mnist": ("784-500-20-500-784, batch 100", MNIST, 100),
    "dsprites": ("4096-1200-1200-10-1200-1200-1200-4096, batch 64", DSPRITES, 64),
    "dsprites-512": ("4096-1200-1200-10-1200-1200-1200-4096, batch 512", DSPRITES, 512),
    "epoch": ("60,000 images, shuffled, binarised anew, 784-500-20-500-784, batch 100", MNIST, 100),
}
LOSS_TOLERANCE = 1e-4  # relative, at each of three steps
STEP_TOLERANCE = 0.04  # of each array after three steps, |difference| / |movement| in the Euclidean norm: not smaller,
# since rounding may switch a relu that sits at its kink, and Adam's first steps give every sign its full length
EPOCH_TOLERANCE = 0.02  # relative, of the mean loss of a first epoch; own random numbers move it by 0.4 %
BATCHES = 8  # of x, taken in turn
SLOT = 0.15  # seconds that a contender is timed in one round; at least one step, or one epoch
PAUSE = 0.3  # seconds before it, in which the threads of the one before stop spinning


# ---- the contenders ------------------------------------------------------------------------------------------------
# place(x): x as an array of theirs; step(x, eps), eps drawn unless given: one training step, returns the loss;
# params(): {name: array}, weights (inputs, outputs); epoch(data): one epoch, returns its mean loss


def model_of(arguments):
    """The model whose parameters everyone starts from."""
    return VAE(**arguments, backend="numpy")


class Ours:
    """This package, backend "numba" or "numpy".  Its epoch is fit, with its checks and its KL per latent.

    threads: as many as fit chooses, unless given.
    """

    place = staticmethod(np.asarray)

    def __init__(self, arguments, batch_size, backend, dtype="float32", threads=None):
        self.model, self.adam = VAE(**arguments, backend=backend, dtype=dtype), Adam(LR, BETA1, BETA2, ADAM_EPS)
        self.threads = parts.count(None, self.model, batch_size) if threads is None else len(cores())
        self.crew = parts.Crew(self.threads, self.model.players, {"model": self.adam}).__enter__()
        contextlib.ExitStack().enter_context(blas.one_blas_thread())  # from here on
        for name, value in model_of(arguments).params.items():
            self.model.params[name][...] = value  # float64 starts from the float32 numbers
        self.state, self.rng, self.batch_size = self.adam.initial_state(self.model.params), np.random.default_rng(0), batch_size

    def step(self, x, eps=None):
        noise = self.model.draw_noise(len(x), self.rng) if eps is None else (eps,)
        terms, grads = self.crew.loss_and_grads("model", x, noise)  # as fit does
        self.adam.step(self.model.params, grads, self.state, self.crew.rules(self.model.ops))
        return float(terms.loss)

    def params(self):
        return self.model.params

    def epoch(self, data, epochs=1):
        how = dict(epochs=epochs, binarize="dynamic", progress=False, threads=self.threads)
        return fit(self.model, data, self.adam, self.batch_size, **how)["loss"][0]

    def test_loss(self, batches):
        return evaluate(self.model, np.concatenate(list(batches))).loss

    def runs(self):
        found = blas.ThreadpoolController().select(user_api="blas").lib_controllers
        names = [f"{each.internal_api} {getattr(each, 'architecture', None) or ''}".strip() for each in found]
        return f"{self.threads} thread{'s' * (self.threads > 1)}, BLAS {', '.join(names) or 'unknown'}"


class Floor:
    """np.matmul into arrays that exist: x W, x^T dy, and dy W^T but for the first layer, whose dx nobody needs."""

    place = staticmethod(np.asarray)

    def __init__(self, arguments, batch_size):
        rng, self.products, self.batch_size = np.random.default_rng(0), [], batch_size
        for W in (value for value in model_of(arguments).params.values() if value.ndim == 2):
            x, dy = (rng.standard_normal((batch_size, width), np.float32) for width in W.shape)
            self.products += [(dy, W.T, np.empty_like(x))] if self.products else []
            self.products += [(x, W, np.empty_like(dy)), (x.T, dy, np.empty_like(W))]

    def step(self, x):
        for a, b, out in self.products:
            np.matmul(a, b, out=out)

    def epoch(self, data):
        for _ in range(len(data) // self.batch_size):
            self.step(None)


def peer_loss(tools, model):
    """The loss of every peer, a function of params, x, eps: nats per example, each sum in the form that ops.py has."""

    def stack(mlp, params, h):
        for (W, b), activation in zip(mlp.names, mlp.activations):
            h = tools.dense(h, params[W], params[b])
            h = h if activation == "linear" else getattr(tools, activation)(h)
        return h

    def loss(params, x, eps):
        mu, logvar = tools.halves(stack(model.encoder, params, x))
        logits = stack(model.decoder, params, mu + tools.exp(logvar / 2) * eps)
        kl = (mu * mu + (tools.expm1(logvar) - logvar)).sum() / 2
        return (tools.bernoulli_nll(logits, x) + kl) / len(x)

    return loss


class Torch:
    """PyTorch with weights (outputs, inputs) as in torch.nn.Linear: eager, or the whole step compiled as one.

    Tried, its time over that of what is here: Adam foreach 1.2, a loop of single updates 1.2 to 1.5 (tiny); weights
    (inputs, outputs) 1.0 to 1.1; a compiled loss with the eager Adam 1.05 (mnist), 2 (tiny); without cpp_wrapper 1.2
    (tiny); max_autotune, or randn inside the graph, 1.0; one flat vector of parameters 0.9 (tiny), 1.03 (mnist).  Its
    MKL keeps to AVX2 on AMD (115 Gflop/s here, OpenBLAS 254): MKL_ENABLE_INSTRUCTIONS=AVX512, MKL_CBWR=AVX512,
    MKL_DEBUG_CPU_TYPE=5, ATEN_CPU_CAPABILITY=avx2 move the first product of mnist by 4 % at most, either way.
    """

    def __init__(self, arguments, batch_size, compiled):
        import torch

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        torch.manual_seed(0)
        self.torch, self.batch_size, model, nn = torch, batch_size, model_of(arguments), torch.nn.functional
        self.latent_dim = model.latent_dim
        self.named = {name: torch.from_numpy(value.T.copy()) for name, value in model.params.items()}
        nll = functools.partial(nn.binary_cross_entropy_with_logits, reduction="sum")
        tools = SimpleNamespace(exp=torch.exp, expm1=torch.expm1, tanh=torch.tanh, relu=torch.relu, dense=nn.linear,
                                halves=lambda h: h.chunk(2, dim=1), bernoulli_nll=nll)  # fmt: skip
        self.loss = peer_loss(tools, model)
        if compiled:
            if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":
                torch._inductor.config.cpp.simdlen = 256  # or it compiles for AVX-512, and gives NaN
            self.m, self.v = ({name: torch.zeros_like(p) for name, p in self.named.items()} for _ in "mv")
            self.t = torch.zeros(())
            self.update = torch.compile(self.whole, dynamic=False, options={"cpp_wrapper": True})
        else:
            leaves = [p.requires_grad_() for p in self.named.values()]
            self.adam = torch.optim.Adam(leaves, LR, (BETA1, BETA2), ADAM_EPS, fused=True)
            self.update = self.eager

    def place(self, x):
        return self.torch.from_numpy(x)

    def eager(self, x, eps):
        loss = self.loss(self.named, x, eps)
        loss.backward()
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        return loss

    def whole(self, x, eps):
        grads, loss = self.torch.func.grad_and_value(self.loss)(self.named, x, eps)
        self.t += 1
        for name, p in self.named.items():
            g, m, v = grads[name], self.m[name], self.v[name]
            m.mul_(BETA1).add_(g, alpha=1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            p.sub_(LR * (m / (1 - BETA1**self.t)) / ((v / (1 - BETA2**self.t)).sqrt() + ADAM_EPS))
        return loss

    def step(self, x, eps=None):
        return self.update(x, self.torch.randn(len(x), self.latent_dim) if eps is None else eps).item()

    def params(self):
        return {name: p.detach().numpy().T for name, p in self.named.items()}

    def test_loss(self, batches):
        torch = self.torch
        with torch.no_grad():
            every = [self.loss(self.named, self.place(x), torch.randn(len(x), self.latent_dim)).item() for x in batches]
        return np.mean(every)

    def runs(self):
        return f"{self.torch.get_num_threads()} threads, {self.torch.backends.cpu.get_cpu_capability()}"

    def epoch(self, data):
        # 0.37 ms to binarise a batch; torch.bernoulli 1.05, a compiled function 1.3, images kept as floats 0.38
        torch, images, losses = self.torch, self.torch.from_numpy(data.values), []
        for rows in torch.randperm(len(images)).split(self.batch_size):
            dice = torch.rand(len(rows), images.shape[1]).mul_(255)
            losses.append(self.step((dice < images.index_select(0, rows)).float()))
        return sum(losses) / len(losses)


def numpy_tools(xp, relu):
    """What peer_loss needs, from JAX's or autograd's NumPy."""
    return SimpleNamespace(
        exp=xp.exp, expm1=xp.expm1, tanh=xp.tanh, relu=relu,
        dense=lambda h, W, b: h @ W + b, halves=lambda h: xp.split(h, 2, axis=1),
        bernoulli_nll=lambda l, x: (xp.maximum(l, 0) - x * l + xp.log1p(xp.exp(-xp.abs(l)))).sum(),
    )  # fmt: skip


def functional_adam(xp, params, grads, m, v, t):
    """Adam for JAX and autograd, t counted from 1.  Returns the new params, m, v."""
    m = {name: BETA1 * m[name] + (1 - BETA1) * g for name, g in grads.items()}
    v = {name: BETA2 * v[name] + (1 - BETA2) * g * g for name, g in grads.items()}
    m_hat, v_hat = ({name: a / (1 - beta**t) for name, a in s.items()} for s, beta in ((m, BETA1), (v, BETA2)))
    return {name: p - LR * m_hat[name] / (xp.sqrt(v_hat[name]) + ADAM_EPS) for name, p in params.items()}, m, v


class Jax:
    """JAX: the whole step in one jit that reuses its state's memory; the epoch one jit, a scan over its steps.

    Tried, its time over that of what is here: state not donated 1.05 to 1.2 (mnist); one flat vector of parameters 0.8
    (tiny), 1.04 (mnist), 2 (dsprites), so it is used where the numbers are few; asynchronous dispatch 1.15 (tiny); the
    epoch as a loop of jitted steps 1.08; the generator "rbg" 1.0, 5 to binarise; fast math, oneDNN, wider vectors 1.0;
    for the products of mnist alone, xla_cpu_max_isa, XNNPACK, YNNPACK 1.0 (220 Gflop/s: AVX-512 without being told).
    """

    def __init__(self, arguments, batch_size):
        import jax
        from jax.flatten_util import ravel_pytree

        jax.config.update("jax_cpu_enable_async_dispatch", False)  # every loss is awaited
        self.jax, self.batch_size, self.rng, jnp = jax, batch_size, np.random.default_rng(0), jax.numpy
        model = model_of(arguments)
        start = {name: jnp.array(value) for name, value in model.params.items()}
        vector, unravel = ravel_pytree(start)
        flat = len(vector) < 100_000
        self.named = (lambda p: unravel(p["all"])) if flat else (lambda p: p)
        start = {"all": vector} if flat else start
        loss = self.loss = peer_loss(numpy_tools(jnp, jax.nn.relu), model)
        self.latent_dim = model.latent_dim

        def given(state, x, eps):
            p, m, v, t, key = state
            value, grads = jax.value_and_grad(lambda p: loss(self.named(p), x, eps))(p)
            return (*functional_adam(jnp, p, grads, m, v, t + 1), t + 1, key), value

        def drawing(state, x):
            *state, key = state
            key, mine = jax.random.split(key)
            return given((*state, key), x, jax.random.normal(mine, (len(x), model.latent_dim)))

        def scan(state, images, order):
            def body(state, rows):
                *state, key = state
                key, mine = jax.random.split(key)
                dice = 255 * jax.random.uniform(mine, (len(rows), images.shape[1]))
                return drawing((*state, key), (dice < images[rows]).astype(np.float32))

            return jax.lax.scan(body, state, order)

        self.given, self.drawing, self.scan = (jax.jit(f, donate_argnums=0) for f in (given, drawing, scan))
        self.state = start, *(jax.tree.map(jnp.zeros_like, start) for _ in "mv"), jnp.zeros(()), jax.random.key(0)

    def place(self, x):
        return self.jax.numpy.array(x)

    def step(self, x, eps=None):
        self.state, loss = self.drawing(self.state, x) if eps is None else self.given(self.state, x, eps)
        return float(loss)

    def params(self):
        return {name: np.asarray(value) for name, value in self.named(self.state[0]).items()}

    def test_loss(self, batches):
        loss = self.jax.jit(lambda p, x, eps: self.loss(self.named(p), x, eps))
        noise = (self.rng.standard_normal((self.batch_size, self.latent_dim), np.float32) for _ in itertools.count())
        return np.mean([float(loss(self.state[0], self.place(x), eps)) for x, eps in zip(batches, noise)])

    def epoch(self, data):
        self.images = getattr(self, "images", None)
        if self.images is None:
            self.images = self.place(data.values)
        order = self.rng.permutation(len(data)).reshape(-1, self.batch_size)
        self.state, losses = self.scan(self.state, self.images, order)
        return float(losses.mean())


class Autograd:
    """autograd (HIPS), which differentiates NumPy code and lets NumPy run it; Adam in plain NumPy."""

    place = staticmethod(np.asarray)

    def __init__(self, arguments, batch_size):
        import autograd
        import autograd.numpy as anp

        self.model, self.rng, self.t = model_of(arguments), np.random.default_rng(0), 0
        params = dict(self.model.params)  # autograd knows no subclass of dict
        self.state = params, *({name: np.zeros_like(value) for name, value in params.items()} for _ in "mv")
        tools = numpy_tools(anp, relu=lambda a: anp.maximum(a, 0))
        self.loss_and_grads = autograd.value_and_grad(peer_loss(tools, self.model))

    def step(self, x, eps=None):
        params, m, v = self.state
        eps = self.model.draw_noise(len(x), self.rng)[0] if eps is None else eps
        loss, grads = self.loss_and_grads(params, x, eps)
        self.t += 1
        self.state = functional_adam(np, params, grads, m, v, self.t)
        return float(loss)

    def params(self):
        return self.state[0]


FLOOR, OURS, REFERENCE, EACH_CORE = "floor", "ours, Numba", "ours, NumPy", "ours, a thread for each core"
CONTENDERS = {  # name: (the package it needs, how it is made)
    FLOOR: ("numpy", Floor),
    OURS: ("numba", functools.partial(Ours, backend="numba")),
    EACH_CORE: ("numba", functools.partial(Ours, backend="numba", threads="each core")),
    REFERENCE: ("numpy", functools.partial(Ours, backend="numpy")),
    "PyTorch eager": ("torch", functools.partial(Torch, compiled=False)),
    "torch.compile": ("torch", functools.partial(Torch, compiled=True)),
    "JAX jit": ("jax", Jax),
    "autograd": ("autograd", Autograd),
}


def skipped(name):
    """Why a contender cannot run here, or ""."""
    package, _ = CONTENDERS[name]
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    if name in (OURS, EACH_CORE) and "numba" not in BACKENDS:
        return "there is no such backend"
    if name == "torch.compile" and not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++", "cl"))):
        return "it needs a C++ compiler"
    return ""


# ---- one contender, in a process of its own -------------------------------------------------------------------------


def stay_on_core():
    if "BENCHMARK_CORE" in os.environ:
        os.sched_setaffinity(0, {int(os.environ["BENCHMARK_CORE"])})


def serve(workload, name):
    """Build and validate a contender, say so, then time a slot for every line that comes in.  Answers in JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    stay_on_core()
    _, arguments, batch_size = WORKLOADS[workload]
    rng = np.random.default_rng(1)
    x = (rng.random((BATCHES, batch_size, arguments["data_dim"])) < 0.3).astype(np.float32)
    eps = rng.standard_normal((3, batch_size, arguments["latent_dim"]), np.float32)
    contender, report = CONTENDERS[name][1](arguments, batch_size), {}
    if name != FLOOR:
        report = validate(contender, Ours(arguments, batch_size, "numpy", "float64"), x, eps)
    if workload == "epoch":
        data = images()
        contender = CONTENDERS[name][1](arguments, batch_size)  # afresh, as fit begins with a fresh Adam
        report |= {"data": data.name, "mean": contender.epoch(data)}
        run, steps = lambda: contender.epoch(data), len(data) // batch_size
    else:
        batches = itertools.cycle([contender.place(batch) for batch in x])
        run, steps = lambda: contender.step(next(batches)), 1
    report |= {"runs": contender.runs()} if hasattr(contender, "runs") else {}
    print(json.dumps(report), file=answers, flush=True)
    for _ in sys.stdin:
        print(json.dumps(time_slot(run, steps)), file=answers, flush=True)


def validate(contender, reference, x, eps):
    """Three steps of both.  Returns the two errors; RuntimeError beyond LOSS_TOLERANCE and STEP_TOLERANCE."""
    start = {name: value.copy() for name, value in reference.params().items()}
    losses = [(contender.step(contender.place(a), contender.place(e)), reference.step(a, e)) for a, e in zip(x, eps)]
    found, true, norm = contender.params(), reference.params(), np.linalg.norm
    if kinds := {str(value.dtype) for value in found.values()} - {"float32"}:
        raise RuntimeError(f"not the same step: parameters are {', '.join(kinds)}")
    loss_error = float(max(abs(got / wanted - 1) for got, wanted in losses))
    step_error = float(max(norm(found[name] - true[name]) / norm(true[name] - start[name]) for name in true))
    if not (loss_error < LOSS_TOLERANCE and step_error < STEP_TOLERANCE):
        raise RuntimeError(f"not the same step: losses differ by {loss_error:.1e}, parameters by {step_error:.1e}")
    return {"loss_error": loss_error, "step_error": step_error}


def time_slot(run, steps):
    """Seconds per step, of which run() takes that many; a single one runs once before, to bring the caches back."""
    time.sleep(PAUSE)
    if steps == 1:
        run()
    done, elapsed, start = 0, 0.0, time.perf_counter()
    while elapsed < SLOT:
        run()
        done, elapsed = done + steps, time.perf_counter() - start
    return elapsed / done


def images(split="train"):
    """MNIST as the data sets find it; failing that, random bytes of the same shape."""
    try:
        name, values = "MNIST", datasets.mnist(split).values.copy()  # PyTorch wants to be able to write
    except FileNotFoundError:
        name = "random bytes in place of MNIST"
        values = np.random.default_rng(0).integers(0, 256, (60_000 if split == "train" else 10_000, 784), np.uint8)
    return datasets.dataset.Dataset(name, values, (28, 28), scale=255)


def whole_run(name, epochs):
    """MNIST trained and evaluated by one contender, written plainly; prints the loss on the test images."""
    stay_on_core()
    _, arguments, batch_size = WORKLOADS["epoch"]
    contender, data, test = CONTENDERS[name][1](arguments, batch_size), images(), images("test")
    if isinstance(contender, Ours):
        contender.epoch(data, epochs)
    else:
        for _ in range(epochs):
            contender.epoch(data)
    binary = np.random.default_rng(0).random(test.values.shape, np.float32) * 255 < test.values
    batches = (binary[first : first + batch_size].astype(np.float32) for first in range(0, len(binary), batch_size))
    print(f"{contender.test_loss(batches):.2f}")


def time_whole_runs(names, epochs, threads):
    """Rows of (contender, seconds with empty caches, seconds again, loss): each run a process of its own."""
    for name in names:
        seconds = []
        with tempfile.TemporaryDirectory() as folder:
            caches = {"NUMBA_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": folder, "JAX_COMPILATION_CACHE_DIR": folder}
            for _ in ("cold", "warm"):
                command = [sys.executable, __file__, "--whole", str(epochs), "--serve", "epoch", name]
                started = time.perf_counter()
                how = dict(env=environment(threads, name) | caches, check=True, stdout=subprocess.PIPE, text=True)
                loss = subprocess.run(command, **how).stdout.split()[-1]
                seconds.append(time.perf_counter() - started)
        print(f"| {name} | {seconds[0]:.1f} | {seconds[1]:.1f} | {loss} |", flush=True)


# ---- rounds --------------------------------------------------------------------------------------------------------


def cores():
    """The numbers of the CPU cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count()))


AVX2 = {  # how each library is told to do without AVX-512
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NUMBA_CPU_NAME": "haswell",
}


def environment(setting, name):
    """What takes effect only if it is set before NumPy and the others are imported; setting: "1", "all", "1 avx2", ..."""
    threads, _, isa = setting.partition(" ")
    count = "1" if threads == "1" else str(len(cores()))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    variables |= {f"{library}_NUM_THREADS": count for library in ("OPENBLAS", "MKL", "OMP", "NUMBA")}
    flags = ["--xla_cpu_max_isa=AVX2"] if isa else []
    if threads == "1":
        flags += ["--xla_cpu_multi_thread_eigen=false", "intra_op_parallelism_threads=1"]
        if hasattr(os, "sched_setaffinity"):
            variables["BENCHMARK_CORE"] = str(cores()[-1])  # the first often serves interrupts
    elif name in (OURS, EACH_CORE):  # fit chooses, and gives BLAS one thread
        variables = {key: value for key, value in variables.items() if key not in blas.VARIABLES}
    return {**variables, **(AVX2 if isa else {}), "XLA_FLAGS": " ".join(flags)}


def ask(process, name):
    """The next answer of a contender's process."""
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} failed; its message is above")
    return json.loads(line)


def measure(workload, threads, names, rounds):
    """Validate all, then time them by turns.  Returns {name: seconds per step, by round}, and the data's name."""
    seconds, processes, reports, pipes = {name: [] for name in names}, {}, {}, dict.fromkeys(("stdin", "stdout"), -1)
    with contextlib.ExitStack() as stack:
        for name in names:
            command = [sys.executable, __file__, "--serve", workload, name]
            process = subprocess.Popen(command, env=environment(threads, name), text=True, **pipes)
            processes[name] = stack.enter_context(process)
            reports[name] = ask(process, name)
            print(f"{workload}, {where(threads)}, {name}: {reports[name] or 'ready'}", flush=True)
        means = [report["mean"] for report in reports.values() if report.get("mean")]
        if means and max(means) > min(means) * (1 + EPOCH_TOLERANCE):
            raise RuntimeError(f"not the same epoch: mean losses {means}")
        for turn in range(rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                print(file=processes[name].stdin, flush=True)
                seconds[name].append(ask(processes[name], name))
    return seconds, reports[FLOOR].get("data")


# ---- tables and figure ---------------------------------------------------------------------------------------------


def base(seconds):
    """Whom the ratios compare with: our kernels, or where there are none the NumPy reference."""
    return OURS if OURS in seconds else REFERENCE


def summarise(seconds):
    """{name: (ms per step, times base, times the floor)}, medians and quartiles; ratios are taken within a round."""

    def quartiles(values):
        return [float(np.quantile(values, q)) for q in (0.5, 0.25, 0.75)]

    ours, floor = seconds[base(seconds)], seconds[FLOOR]
    return {
        name: (quartiles(np.multiply(own, 1e3)), quartiles(np.divide(own, ours)), quartiles(np.divide(own, floor)))
        for name, own in seconds.items()
    }


def machine():
    """What was measured on."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), name)
    versions = []
    for package in ("numpy", "numba", "torch", "jax", "autograd"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    verbose = {"env": {**os.environ, "OPENBLAS_VERBOSE": "2"}, "capture_output": True, "text": True}
    said = subprocess.run([sys.executable, "-c", "import numpy"], **verbose).stderr.strip()  # "Core: ..." by OpenBLAS
    return (
        f"{name}, {len(cores())} cores, {platform.system()} {platform.machine()}; Python {platform.python_version()}, "
        f"{', '.join(versions)}; NumPy's BLAS: {blas['name']} {blas['version']} {said}".rstrip() + "."
    )


def where(setting):
    threads, _, isa = setting.partition(" ")
    return ("one thread on one core" if threads == "1" else "all cores") + (", AVX2 alone" if isa else "")


def overview(results, threads):
    """One table: a row per workload; ms per step of ours and of the floor, everyone else as a multiple of ours."""
    rows = {workload: summarise(seconds) for (t, workload), (seconds, _) in results.items() if t == threads}
    ours = base(next(iter(rows.values())))
    others = [name for name in CONTENDERS if name not in (ours, FLOOR) and any(name in row for row in rows.values())]
    lines = [f"| {where(threads)} | {ours}: ms | the floor: ms | {ours}: times the floor "]
    lines[0] += "".join(f"| {name}: times {ours} " for name in others) + "|"
    lines += ["|---" * (4 + len(others)) + "|"]
    for workload, row in rows.items():
        cells = [f"{WORKLOADS[workload][0]}", f"{row[ours][0][0]:.3g}", f"{row[FLOOR][0][0]:.3g}", spread(row[ours][2])]
        lines.append(f"| {' | '.join(cells + [spread(row[name][1]) if name in row else '' for name in others])} |")
    return lines


def spread(quartiles):
    median, low, high = quartiles
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def markdown(results, notes):
    """An overview for each number of threads, then a table per workload, fastest contender first."""
    lines = [machine(), *notes, "Medians; in brackets quartiles over the rounds, of ratios taken within a round."]
    for threads in dict.fromkeys(threads for threads, _ in results):
        lines += ["", *overview(results, threads)]
    for (threads, workload), (seconds, data) in results.items():
        rounds = f"{len(seconds[FLOOR])} rounds" + (f", {data}" if data else "")
        lines += ["", f"### {workload}, {where(threads)}: {WORKLOADS[workload][0]}", ""]
        lines += [f"| {rounds} | ms per step | times {base(seconds)} | times the floor |", "|---|---|---|---|"]
        for name, (ms, *ratios) in sorted(summarise(seconds).items(), key=lambda row: row[1]):
            lines.append(f"| {name} | {ms[0]:.3g} | {' | '.join(map(spread, ratios))} |")
    return "\n".join([*lines, ""])


def write_csv(path, results):
    """A row per contender: medians and quartiles."""
    columns = [what + part for what in ("ms", "times_base", "times_floor") for part in ("", "_q1", "_q3")]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["threads", "workload", "contender", "base", *columns])
        for (threads, workload), (seconds, _) in results.items():
            for name, triples in summarise(seconds).items():
                writer.writerow([threads, workload, name, base(seconds), *(f"{v:.6g}" for t in triples for v in t)])


def draw(results):
    """A panel per workload: bars of ms per step, ours in colour, the floor a line."""
    threads, _ = next(iter(results))
    panels = {workload: seconds for (t, workload), (seconds, _) in results.items() if t == threads}
    figure = Figure(figsize=(8.3, 0.7 + 2.1 * len(panels)), layout="constrained")
    for ax, (workload, seconds) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels.items()):
        summary = summarise(seconds)
        (floor, *_), *_ = summary.pop(FLOOR)
        ms = [numbers[0][0] for numbers in summary.values()]
        bars = ax.barh(list(summary), ms, color=[plots.COLOURS[0 if "ours" in name else 3] for name in summary])
        ax.bar_label(bars, [f"{own[0]:.3g} ms, {ratio[0]:.2f}x" for own, ratio, _ in summary.values()], padding=4)
        ax.axvline(floor, color="black", linestyle="--", linewidth=1)
        ax.set_title(f"{workload}: {WORKLOADS[workload][0]}", fontsize="medium", weight="bold", loc="left")
        ax.set_xlim(0, 1.35 * max(ms))
        ax.invert_yaxis()
        ax.spines[["top", "right"]].set_visible(False)
    legend = f"ms per step, {where(threads)}; dashed: the matrix products alone\nx: times {base(seconds)}"
    figure.supxlabel(legend, fontsize="medium")
    return figure


def main(arguments=None):
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--threads", nargs="+", choices=("1", "all"), default=["1", "all"])
    parser.add_argument("--isa", nargs="+", choices=("best", "avx2"), default=["best"], help="the instructions that may be used")
    parser.add_argument("--rounds", type=int, default=9, help="of each workload; a third as many epochs")
    parser.add_argument("--quick", action="store_true", help="tiny, one thread, three rounds, no peers")
    parser.add_argument("--whole", type=int, metavar="EPOCHS", help="instead, whole runs on MNIST of so many epochs")
    parser.add_argument("--out", type=os.path.expanduser, default=".", help="a folder, or the figure to write; the tables go beside it")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve and options.whole:
        return whole_run(options.serve[1], options.whole)
    if options.serve:
        return serve(*options.serve)
    names = list(CONTENDERS)
    if options.quick:
        options.workloads, options.threads, options.rounds, names = ["tiny"], ["1"], 3, [FLOOR, OURS, REFERENCE]
    notes = [f"Skipped: {name}, {skipped(name)}." for name in names if skipped(name)]
    print(machine(), *notes, sep="\n")
    names, results = [name for name in names if not skipped(name)], {}
    if options.whole:
        for threads in options.threads:
            print(f"| {where(threads)} | first time, s | again, s | loss |\n|---|---|---|---|")
            time_whole_runs([name for name in names if name in (OURS, "PyTorch eager", "torch.compile", "JAX jit")], options.whole, threads)
        return
    for isa, threads in itertools.product(options.isa, options.threads):
        threads, alone = threads if isa == "best" else f"{threads} {isa}", threads == "1" or len(cores()) == 1
        for workload in options.workloads:
            left_out = ["autograd"] * (workload == "epoch") + [EACH_CORE] * alone
            taking_part = [name for name in names if name not in left_out]
            rounds = max(3, options.rounds // 3) if workload == "epoch" else options.rounds
            results[threads, workload] = measure(workload, threads, taking_part, rounds)
            print(*overview({(threads, workload): results[threads, workload]}, threads), sep="\n", flush=True)
    figure = Path(options.out) if options.out.endswith(".png") else Path(options.out) / "benchmark.png"
    figure.parent.mkdir(parents=True, exist_ok=True)
    table = markdown(results, notes)
    print(table)
    figure.with_suffix(".md").write_text(table, "utf-8")
    write_csv(figure.with_suffix(".csv"), results)
    plots.save(draw(results), figure)
    print(f"wrote {figure}, and .md and .csv beside it")


if __name__ == "__main__":
    main()
