// The forward half of ops.py, for one example at a time: the same names, the same equations.
// A vector is a Float64Array; W (I, O) is a Float32Array in row order.
"use strict";

const LOG_2PI = Math.log(2 * Math.PI);

// ---- dense layers and activations ----------------------------------------------------------------

function dense_forward(x, W, b) {
  // y = x W + b, Eq. (DENSE.1): a row of W for every x_i, so that memory is read in order
  const O = b.length, y = Float64Array.from(b);
  for (let i = 0; i < x.length; i++) {
    const x_i = x[i], row = i * O;
    if (x_i !== 0) for (let o = 0; o < O; o++) y[o] += x_i * W[row + o];
  }
  return y;
}

const tanh_forward = (a) => a.map(Math.tanh);                                    // Eq. (TANH.1)
const relu_forward = (a) => a.map((a) => Math.max(a, 0));                        // Eq. (RELU.1)
const leaky_relu_forward = (a) => a.map((a) => Math.max(a, a / 5));              // Eq. (LRELU.1)
const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));
const softplus_forward = (a) => a.map(softplus);                                 // Eq. (SOFT.1)

function sigmoid(a) {
  const e = Math.exp(-Math.abs(a)); // in (0, 1]: never overflows
  return (a >= 0 ? 1 : e) / (1 + e);
}
const sigmoid_forward = (a) => a.map(sigmoid);                                   // Eq. (SIGM.1)

const ACTIVATIONS = {
  "linear": (a) => a, "tanh": tanh_forward, "relu": relu_forward, "leaky-relu": leaky_relu_forward,
  "sigmoid": sigmoid_forward, "softplus": softplus_forward,
};

function dense_act_forward(x, W, b, activation) {
  // h = act(x W + b), Eq. (DACT.1)
  return ACTIVATIONS[activation](dense_forward(x, W, b));
}

// ---- q(z|x): a draw, and what it costs --------------------------------------------------------------

function reparameterize_forward(mu, logvar, eps) {
  // z = mu + exp(logvar / 2) * eps, Eq. (REP.1)
  return mu.map((m, j) => m + Math.exp(logvar[j] / 2) * eps[j]);
}

function gaussian_kl_per_latent(mu, logvar) {
  // KL of each latent to N(0, 1) in nats, Eq. (KL.1)
  return mu.map((m, j) => (m * m + (Math.expm1(logvar[j]) - logvar[j])) / 2);
}

function gaussian_kl_forward(mu, logvar) {
  // Eq. (KL.2)
  return gaussian_kl_per_latent(mu, logvar).reduce((sum, kl) => sum + kl, 0);
}

// ---- -log p(x|z) in nats ----------------------------------------------------------------------------

const sum_over = (x, cost) => x.reduce((sum, x_d, d) => sum + cost(x_d, d), 0);

function bernoulli_nll_forward(logits, x) {
  // Eq. (BERN.1)
  return sum_over(x, (x_d, d) => Math.max(logits[d], 0) - x_d * logits[d] + Math.log1p(Math.exp(-Math.abs(logits[d]))));
}

function gaussian_nll_forward(x_mean, x_logvar, x) {
  // Eq. (GAUSS.1); x_logvar as long as x
  return sum_over(x, (x_d, d) => (LOG_2PI + x_logvar[d] + (x_d - x_mean[d]) ** 2 * Math.exp(-x_logvar[d])) / 2);
}

function laplace_nll_forward(x_mean, log_scale, x) {
  // Eq. (LAPLACE.1); log_scale as long as x
  return sum_over(x, (x_d, d) => Math.LN2 + log_scale[d] + Math.abs(x_d - x_mean[d]) * Math.exp(-log_scale[d]));
}

function continuous_bernoulli_nll_forward(logits, x) {
  // Eq. (CB.2)
  return sum_over(x, (x_d, d) => {
    const a = Math.abs(logits[d]), share = a === 0 ? 1 : -Math.expm1(-a) / a;
    return Math.max(logits[d], 0) - x_d * logits[d] + Math.log(share);
  });
}

function continuous_bernoulli_mean(logits) {
  // Eqs. (CB.4), (CB.5): near 0 a continued fraction
  return logits.map((logit) => {
    const a = Math.abs(logit);
    const of_minus_a = a <= 2 ? (1 - a / 2 * langevin(a / 2)) / 2 : 1 / a + Math.exp(-a) / Math.expm1(-a);
    return logit > 0 ? 1 - of_minus_a : of_minus_a;
  });
}

function langevin(x) {
  let fraction = 19;
  for (let odd = 17; odd >= 3; odd -= 2) fraction = odd + x * x / fraction;
  return 1 / fraction;
}

function squared_error_forward(recon, x) {
  // Eq. (SE.1)
  return sum_over(x, (x_d, d) => (recon[d] - x_d) ** 2 / 2);
}

// ---- a model from what pack.py has written --------------------------------------------------------

const bytes_of = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const floats_of = (text) => new Float32Array(bytes_of(text).buffer);

function halves_of(text) {
  // float16: a sign, five bits of exponent, ten of fraction
  return Float32Array.from(new Uint16Array(bytes_of(text).buffer), (half) => {
    const sign = half >> 15 ? -1 : 1, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
  });
}

function unpack_weights(layer) {
  // W (I, O): int8 times the scale of its output unit, or float16
  if (!layer.scale) return halves_of(layer.W);
  const q = new Int8Array(bytes_of(layer.W).buffer), scale = floats_of(layer.scale), O = layer.shape[1];
  return Float32Array.from(q, (q_k, k) => q_k * scale[k % O]);
}

function transpose(W, I, O) {
  const turned = new Float32Array(I * O);
  for (let i = 0; i < I; i++) for (let o = 0; o < O; o++) turned[o * I + i] = W[i * O + o];
  return turned;
}

function unpack_model(packed) {
  const arrays = (layer, W) => ({ W, b: floats_of(layer.b), activation: layer.activation });
  const encoder = packed.encoder.map((layer) => arrays(layer, unpack_weights(layer)));
  const decoder = packed.decoder.map((layer, l) => {
    if (layer.W !== null) return arrays(layer, unpack_weights(layer));
    const other = encoder.length - 1 - l; // the encoder's weights, turned
    return arrays(layer, transpose(encoder[other].W, ...packed.encoder[other].shape));
  });
  return { ...packed, encoder, decoder };
}

function forward(layers, x) {
  // Eq. (MLP.1); returns the output
  return layers.reduce((h, layer) => dense_act_forward(h, layer.W, layer.b, layer.activation), x);
}

function encode(model, x) {
  // q(z|x): {mu, logvar}; of an autoencoder logvar is null, and mu is z
  const out = forward(model.encoder, x), Z = model.latent_dim;
  return model.variational ? { mu: out.slice(0, Z), logvar: out.slice(Z) } : { mu: out, logvar: null };
}

function mean_and_spread(model, out) {
  // of a Gaussian or a Laplace: x_mean, and x_logvar or log_scale, one for each pixel
  const { mean, spread } = model.likelihood, D = model.data_dim, a = out.slice(0, D);
  const x_mean = mean === "sigmoid" ? sigmoid_forward(a) : a;
  return [x_mean, spread === null ? out.slice(D) : new Float64Array(D).fill(spread)];
}

const LIKELIHOODS = { // name: [-log p(x|z), E[x|z]] from the decoder's output
  "bernoulli": [(model, out, x) => bernoulli_nll_forward(out, x), (model, out) => sigmoid_forward(out)],
  "continuous-bernoulli": [
    (model, out, x) => continuous_bernoulli_nll_forward(out, x), (model, out) => continuous_bernoulli_mean(out)],
  "gaussian": [
    (model, out, x) => gaussian_nll_forward(...mean_and_spread(model, out), x), (model, out) => mean_and_spread(model, out)[0]],
  "laplace": [
    (model, out, x) => laplace_nll_forward(...mean_and_spread(model, out), x), (model, out) => mean_and_spread(model, out)[0]],
  "squared-error": [(model, out, x) => squared_error_forward(out, x), (model, out) => out],
};

function decode(model, z) {
  // E[x|z] (D)
  return LIKELIHOODS[model.likelihood.name][1](model, forward(model.decoder, z));
}

function recon_nll(model, x, z) {
  // -log p(x|z) in nats
  return LIKELIHOODS[model.likelihood.name][0](model, forward(model.decoder, z), x);
}
