// The views.  One state, one way through it: an event changes x or z, then render() draws what follows from them.

const $ = (id) => document.getElementById(id);
const { runs, images } = JSON.parse($("data").textContent);
const [ROWS, COLUMNS, COLOURS = 1] = images.shape, D = ROWS * COLUMNS * COLOURS;
const LIGHT = ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#14142b", "#92dadd"];
const DARK = ["#5ba7ea", "#ffa90e", "#ff6a4d", "#94a4a2", "#b57be0", "#c98d7b", "#ff8a3d", "#d0c389", "#f2f2f7", "#92dadd"];
const SCALE = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]; // viridis, for numbers
const FIRST = 10, PAGE = 16, STEPS = 9; // sliders that are open, images at a time, images of a walk
const LOSSES = ["autoencoder", "vae", "beta-vae"]; // the models whose loss is no more than what is shown
const SILENT = 0.01, SMALL = 420; // nats; pixels

const models = runs.map(unpack_model);
for (const model of models) { // codes of the images, (N, Z)
  model.mu = halves_of(model.mu);
  model.logvar = model.logvar && halves_of(model.logvar);
}
const packed_bytes = bytes_of(images.values); // a byte for a value, or where all are black or white a bit
const levels = images.grey ? packed_bytes
  : Uint8Array.from({ length: images.count * D }, (_, k) => 255 * ((packed_bytes[k >> 3] >> (7 - k % 8)) & 1));
const image = (n) => Float64Array.from(levels.subarray(n * D, (n + 1) * D), (level) => images.low + level / 255 * (images.high - images.low));

const state = {
  run: 0, x: null, picked: null, q: null, z: null, across: 0, up: 0, chosen: false, colour: 0, first: 0,
  from: null, to: null, t: 0, walking: false, noisy: false,
};
const model = () => models[state.run];
const order = () => { // latents, those that say most first
  const size = model().kl || model().variance;
  return [...size.keys()].sort((a, b) => size[b] - size[a]);
};
const fixed = (value, digits = 2) => (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits).replace("-", "−");
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

// ---- what x and z are --------------------------------------------------------------------------------

function set_x(x, picked = null) {
  state.x = x;
  state.picked = picked;
  state.q = encode(model(), x);
  set_z(state.q.mu);
}

function set_z(z, noisy = false) {
  state.z = Float64Array.from(z);
  [state.noisy, state.walking] = [noisy, false]; // whether it was drawn from q, is on the walk
  request_render();
}

function normal() {
  // a draw from N(0, 1): Box and Muller
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

function draw_from_q() {
  const eps = Float64Array.from(state.z, normal);
  set_z(reparameterize_forward(state.q.mu, state.q.logvar, eps), true);
}

function set_run(run) {
  state.run = run; // z and x stay
  state.noisy = false; // z is no draw from the q of this model
  state.q = encode(model(), state.x);
  if (!state.chosen) [state.across, state.up] = two_first();
  set_only();
  build_sliders();
  build_choices();
  request_render();
}

const two_first = () => [order()[0], order()[Math.min(1, model().latent_dim - 1)]];

function set_only() {
  // shows what belongs to this kind of model alone
  const loss = `loss-of-${LOSSES.includes(model().model) ? model().model : "another"}`;
  const kinds = [model().variational ? "variational" : "autoencoder", model().likelihood.name, loss];
  for (const part of document.querySelectorAll("[data-only]")) part.hidden = !kinds.includes(part.dataset.only);
  $("unit").hidden = model().likelihood.name === "squared-error"; // no density, so no nats
  const own = Object.entries(model().hyperparameters).map(([name, value]) => `, ${name} ${value}`).join("");
  const active = model().variational ? `, ${model().active} active` : "";
  const some = images.count < images.of ? `${images.count} of ${images.of}` : `${images.count}`;
  $("summary").textContent = `${model().model}${own}: ${model().latent_dim} latent${model().latent_dim > 1 ? "s" : ""}${active}, ` +
    `likelihood ${model().likelihood.name}; ${some} images of ${images.name}`;
}

// ---- images ------------------------------------------------------------------------------------------

function paint(canvas, x) {
  // x (D) as pixels: low is black, high is white
  const pixels = new ImageData(COLUMNS, ROWS);
  for (let d = 0; d < ROWS * COLUMNS; d++) {
    for (let c = 0; c < 3; c++) {
      const value = x[d * COLOURS + (COLOURS === 3 ? c : 0)];
      pixels.data[4 * d + c] = Math.round(255 * (value - images.low) / (images.high - images.low));
    }
    pixels.data[4 * d + 3] = 255;
  }
  if (canvas.width !== COLUMNS || canvas.height !== ROWS) [canvas.width, canvas.height] = [COLUMNS, ROWS];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function class_of(n) {
  const colouring = images.colourings[state.colour];
  if (!colouring) return "";
  return colouring.classes ? colouring.classes[colouring.values[n]] : String(colouring.numbers[n]);
}

function name_of(n) {
  const colouring = images.colourings[state.colour];
  return `image ${n}` + (colouring ? `, ${colouring.name} ${class_of(n)}` : "");
}

function build_gallery() {
  const last = Math.min(state.first + PAGE, images.count);
  $("gallery").replaceChildren(...Array.from({ length: last - state.first }, (_, k) => {
    const n = state.first + k, canvas = element("canvas"), button = element("button", { type: "button", title: name_of(n) }, canvas);
    paint(canvas, image(n));
    button.dataset.n = n;
    button.setAttribute("aria-label", name_of(n));
    button.addEventListener("click", () => set_x(image(n), n));
    return button;
  }));
  $("earlier").disabled = state.first === 0;
  $("later").disabled = last === images.count;
  $("shown").textContent = `${state.first} to ${last - 1} of ${images.count}`;
  request_render();
}

const brush = { row: ROWS / 2, column: COLUMNS / 2, down: false, keyed: false }; // keyed: moved by arrows, so it is shown

function dab(row, column) {
  // a soft round spot at a place in pixels, on a copy of x
  const x = Float64Array.from(state.x), radius = Math.max(0.7, Math.min(ROWS, COLUMNS) / 20);
  const target = $("erase").checked ? images.low : images.high;
  for (let r = 0; r < ROWS; r++) {
    for (let c = 0; c < COLUMNS; c++) {
      const share = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(r + 0.5 - row, c + 0.5 - column)));
      for (let k = 0; share > 0 && k < COLOURS; k++) {
        const d = (r * COLUMNS + c) * COLOURS + k, mixed = x[d] + share * (target - x[d]);
        x[d] = target > images.low ? Math.max(x[d], mixed) : mixed;
      }
    }
  }
  state.x = x;
}

function show_brush(context) {
  // one pixel, over x and not in it
  Object.assign(context, { fillStyle: css("--accent"), globalAlpha: 0.7 });
  context.fillRect(Math.min(COLUMNS - 1, Math.floor(brush.column)), Math.min(ROWS - 1, Math.floor(brush.row)), 1, 1);
  context.globalAlpha = 1;
}

function stroke_to(row, column) {
  const steps = Math.max(1, Math.ceil(2 * Math.hypot(row - brush.row, column - brush.column)));
  const start = [brush.row, brush.column];
  for (let s = 1; s <= steps; s++) dab(start[0] + (row - start[0]) * s / steps, start[1] + (column - start[1]) * s / steps);
  [brush.row, brush.column] = [row, column];
  set_x(state.x);
}

function listen_to_pad() {
  const pad = $("x");
  const place = (event) => {
    const box = pad.getBoundingClientRect();
    return [(event.clientY - box.top) / box.height * ROWS, (event.clientX - box.left) / box.width * COLUMNS];
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    [brush.row, brush.column] = place(event);
    [brush.down, brush.keyed] = [true, false];
    stroke_to(brush.row, brush.column);
  });
  pad.addEventListener("pointermove", (event) => brush.down && stroke_to(...place(event)));
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => { brush.down = false; });
  pad.addEventListener("blur", () => { brush.keyed = false; request_render(); });
  pad.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], " ": [0, 0] }[event.key];
    if (!move) return;
    event.preventDefault();
    const step = Math.max(1, ROWS / 28);
    brush.row = Math.min(ROWS, Math.max(0, brush.row + step * move[0]));
    brush.column = Math.min(COLUMNS, Math.max(0, brush.column + step * move[1]));
    brush.keyed = true;
    if (event.key === " ") stroke_to(brush.row, brush.column);
    request_render();
    say(`brush at row ${Math.floor(brush.row)}, column ${Math.floor(brush.column)}`);
  });
  $("clear").addEventListener("click", () => set_x(new Float64Array(D).fill(images.low)));
  $("invert").addEventListener("click", () => set_x(state.x.map((value) => images.low + images.high - value)));
}

async function open_file(file) {
  // the middle of a picture, halved until it is near the size of x
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    $("opened").textContent = `${file.name} cannot be read as an image`;
    return;
  }
  const scale = Math.min(picture.width / COLUMNS, picture.height / ROWS);
  const [wide, high] = [COLUMNS * scale, ROWS * scale], [left, top] = [(picture.width - wide) / 2, (picture.height - high) / 2];
  let halvings = Math.max(0, Math.floor(Math.log2(scale))), source = [picture, left, top, wide, high], canvas;
  for (; halvings >= 0; halvings--) {
    canvas = element("canvas", { width: COLUMNS * 2 ** halvings, height: ROWS * 2 ** halvings });
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff"; // what is transparent becomes white
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(...source, 0, 0, canvas.width, canvas.height);
    source = [canvas, 0, 0, canvas.width, canvas.height];
  }
  const { data } = canvas.getContext("2d").getImageData(0, 0, COLUMNS, ROWS), x = new Float64Array(D);
  for (let d = 0; d < ROWS * COLUMNS; d++) {
    const [red, green, blue] = data.subarray(4 * d, 4 * d + 3);
    const values = COLOURS === 3 ? [red, green, blue] : [0.299 * red + 0.587 * green + 0.114 * blue];
    values.forEach((value, c) => { x[d * COLOURS + c] = images.low + value / 255 * (images.high - images.low); });
  }
  set_x(x);
  $("opened").textContent = `${file.name} is the image now`;
}

function listen_to_files() {
  $("file").addEventListener("change", () => $("file").files.length && open_file($("file").files[0]));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) open_file(event.dataTransfer.files[0]);
  });
}

// ---- the latent plane ----------------------------------------------------------------------------------

const view = { size: 0, middle: [0, 0], half: 4, key: "", layer: element("canvas") }; // half: from the middle to an edge, in z
const alone = () => model().latent_dim === 1;

function codes(j) {
  return Array.from({ length: images.count }, (_, n) => model().mu[n * model().latent_dim + j]);
}

function lanes() {
  // with one latent, a height for every code: a lane for each class
  const colouring = images.colourings[state.colour], count = colouring && colouring.classes ? colouring.classes.length : 1;
  return Array.from({ length: images.count }, (_, n) => {
    const lane = count > 1 ? colouring.values[n] : 0, jitter = (n * 0.618 % 1) - 0.5;
    return view.half * 1.7 * ((lane + 0.5 + 0.6 * jitter) / count - 0.5);
  });
}

function fit_view() {
  const ends = [codes(state.across), alone() ? [0] : codes(state.up)].map((all) => [Math.min(...all), Math.max(...all)]);
  if (model().variational) {
    view.middle = [0, 0];
    view.half = Math.min(20, Math.max(3.3, 1.08 * Math.max(...ends.flat().map(Math.abs))));
  } else {
    view.middle = ends.map(([low, high]) => (low + high) / 2);
    view.half = Math.max(1e-3, 0.6 * Math.max(...ends.map(([low, high]) => high - low)));
  }
  if (alone()) view.middle[1] = 0;
}

const to_plane = (a, b) => [
  view.size / 2 * (1 + (a - view.middle[0]) / view.half), view.size / 2 * (1 - (b - view.middle[1]) / view.half)];
const from_plane = (left, top) => [
  view.middle[0] + view.half * (2 * left / view.size - 1), view.middle[1] - view.half * (2 * top / view.size - 1)];

const is_dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const is_second = (k) => k % (2 * LIGHT.length) >= LIGHT.length; // from the eleventh class on the colours come again, as squares

function colour_of(n) {
  const colouring = images.colourings[state.colour], palette = is_dark() ? DARK : LIGHT;
  if (!colouring) return palette[0];
  if (colouring.classes) return palette[colouring.values[n] % palette.length];
  const value = colouring.numbers[n], known = colouring.numbers.filter((number) => number !== null);
  if (value === null) return "#888888";
  const low = Math.min(...known), at = (value - low) / (Math.max(...known) - low || 1) * (SCALE.length - 1);
  return SCALE[Math.round(at)];
}

function draw_codes() {
  // the layer of codes and axes, which changes seldom
  const plane = $("plane"), ratio = window.devicePixelRatio || 1, size = plane.clientWidth;
  const key = [size, ratio, state.run, state.across, state.up, state.colour, is_dark()].join();
  if (key === view.key || size === 0) return;
  Object.assign(view, { key, size });
  fit_view();
  for (const canvas of [plane, view.layer]) canvas.width = canvas.height = Math.round(size * ratio);
  const context = view.layer.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, size, size);
  axes(context, size);
  const colouring = images.colourings[state.colour], heights = alone() ? lanes() : codes(state.up);
  const letters = colouring && colouring.classes && colouring.classes.every((name) => name.length <= 2);
  context.font = `600 ${size > 420 ? 13 : 11}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  Object.assign(context, { strokeStyle: css(is_dark() ? "--soft" : "--text"), lineWidth: letters ? 1 : 0.6 }); // or some would be faint
  codes(state.across).forEach((a, n) => {
    const [left, top] = to_plane(a, heights[n]);
    context.fillStyle = colour_of(n);
    context.beginPath();
    if (letters && !is_dark()) context.strokeText(class_of(n), left, top);
    if (letters) return context.fillText(class_of(n), left, top);
    if (is_second(colouring && colouring.classes ? colouring.values[n] : 0)) context.rect(left - 3, top - 3, 6, 6);
    else context.arc(left, top, 3.5, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  });
}

function axes(context, size) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100].find((each) => 2 * view.half / each <= 9) || view.half / 2;
  context.strokeStyle = css("--line");
  context.fillStyle = css("--soft");
  context.font = "11px system-ui, sans-serif";
  const ticks = (middle) => {
    const first = Math.ceil((middle - view.half) / step);
    return Array.from({ length: Math.floor((middle + view.half) / step) - first + 1 }, (_, k) => (first + k) * step);
  };
  const text = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
  for (const a of ticks(view.middle[0])) {
    const [left] = to_plane(a, 0);
    line(context, left, 0, left, size);
    context.fillText(text(a), left + 3, size - 4);
  }
  for (const b of alone() ? [] : ticks(view.middle[1])) {
    const [, top] = to_plane(0, b);
    line(context, 0, top, size, top);
    context.fillText(text(b), 3, top - 3);
  }
  context.fillStyle = css("--text");
  context.font = "italic 14px serif";
  context.fillText(`z${state.across} →`, size - 40, size - 20);
  if (!alone()) context.fillText(`z${state.up} ↑`, 20, 16);
}

function line(context, ...ends) {
  context.beginPath();
  context.moveTo(ends[0], ends[1]);
  context.lineTo(ends[2], ends[3]);
  context.stroke();
}

function ellipse(context, mean, radii, fill) {
  // half axes in units of z; with one latent a band
  const scale = view.size / 2 / view.half, [left, top] = to_plane(...mean);
  context.beginPath();
  if (alone()) context.rect(left - radii[0] * scale, -2, 2 * radii[0] * scale, view.size + 4);
  else context.ellipse(left, top, radii[0] * scale, radii[1] * scale, 0, 0, 2 * Math.PI);
  if (fill) context.fill();
  context.stroke();
}

function draw_plane() {
  draw_codes();
  const plane = $("plane"), context = plane.getContext("2d"), { mu, logvar } = state.q, [i, j] = [state.across, state.up];
  const place = (z) => [z[i], alone() ? 0 : z[j]];
  context.setTransform(plane.width / view.size, 0, 0, plane.height / view.size, 0, 0);
  context.clearRect(0, 0, view.size, view.size);
  if (logvar) {
    context.setLineDash([5, 5]);
    context.strokeStyle = css("--soft");
    for (const radius of [1, 2]) ellipse(context, [0, 0], [radius, radius], false);
    context.setLineDash([]);
    context.fillStyle = css("--band");
    context.strokeStyle = css("--recon");
    for (const sigmas of [2, 1]) ellipse(context, place(mu), [i, j].map((k) => sigmas * Math.exp(logvar[k] / 2)), true);
  }
  context.drawImage(view.layer, 0, 0, view.size, view.size); // the codes, above what is shaded
  if (state.walking) {
    context.strokeStyle = css("--kl");
    line(context, ...to_plane(...place(state.from)), ...to_plane(...place(state.to)));
  }
  context.lineWidth = 2;
  context.strokeStyle = css("--recon");
  const [left, top] = to_plane(...place(mu));
  line(context, left - 6, top, left + 6, top);
  line(context, left, top - 6, left, top + 6);
  const z = to_plane(...place(state.z));
  for (const [radius, colour, width] of [[9, css("--page"), 5], [9, css("--accent"), 3]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.beginPath();
    context.arc(...z, radius, 0, 2 * Math.PI);
    context.stroke();
  }
  context.lineWidth = 1;
  if (view.size < SMALL) draw_inset(context, z);
}

function draw_inset(context, z) {
  // on a phone the decoded image is out of sight: once more, in a corner that z is not in
  const high = view.size / 4, wide = high * COLUMNS / ROWS, left = z[0] > view.size / 2 && z[1] < view.size / 2 ? 20 : view.size - wide - 4;
  context.imageSmoothingEnabled = false;
  context.drawImage($("decoded"), left, 4, wide, high);
  context.strokeStyle = css("--accent");
  context.strokeRect(left, 4, wide, high);
}

function move_z(a, b) {
  const z = Float64Array.from(state.z);
  z[state.across] = a;
  if (!alone()) z[state.up] = b;
  set_z(z);
}

function listen_to_plane() {
  const plane = $("plane");
  let start = null, moved = false;
  const place = (event) => {
    const box = plane.getBoundingClientRect();
    return [event.clientX - box.left - plane.clientLeft, event.clientY - box.top - plane.clientTop];
  };
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    [start, moved] = [place(event), false];
  });
  plane.addEventListener("pointermove", (event) => {
    if (!start) return;
    const at = place(event);
    moved = moved || Math.hypot(at[0] - start[0], at[1] - start[1]) > 3;
    if (moved) move_z(...from_plane(...at));
  });
  plane.addEventListener("pointercancel", () => { start = null; });
  plane.addEventListener("pointerup", (event) => {
    if (!start) return;
    const at = place(event), found = moved ? null : nearest(at);
    start = null;
    if (moved) return;
    if (found === null) move_z(...from_plane(...at));
    else pick(found);
  });
  plane.addEventListener("keydown", (event) => {
    const step = view.half / (event.shiftKey ? 8 : 40), [a, b] = [state.z[state.across], state.z[state.up]];
    const to = { ArrowLeft: [a - step, b], ArrowRight: [a + step, b], ArrowUp: [a, b + step], ArrowDown: [a, b - step] }[event.key];
    if (to) move_z(...to);
    else if (event.key === "Home") set_z(state.q.mu);
    else return;
    event.preventDefault();
  });
  new ResizeObserver(request_render).observe(plane);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { build_legend(); request_render(); });
}

function nearest([left, top]) {
  // the code under the pointer, or null
  const heights = alone() ? lanes() : codes(state.up);
  const distances = codes(state.across).map((a, n) => {
    const at = to_plane(a, heights[n]);
    return Math.hypot(at[0] - left, at[1] - top);
  });
  const best = distances.indexOf(Math.min(...distances));
  return distances[best] < 9 ? best : null;
}

function pick(n) {
  set_x(image(n), n);
  state.first = Math.floor(n / PAGE) * PAGE;
  build_gallery();
}

function build_choices() {
  const words = (j) => `z${j}, ` + (model().kl ? `KL ${fixed(model().kl[j])}` : `var ${fixed(model().variance[j])}`);
  for (const axis of ["across", "up"]) {
    $(axis).replaceChildren(...order().map((j) => element("option", { value: j, textContent: words(j), selected: j === state[axis] })));
  }
  $("up-label").hidden = alone();
}

function build_legend() {
  const colouring = images.colourings[state.colour];
  $("legend").replaceChildren();
  $("colour-label").hidden = images.colourings.length < 2;
  if (!colouring) return;
  const entry = (colour, text, k = 0) => {
    const swatch = element("span", { className: is_second(k) ? "swatch square" : "swatch" });
    swatch.style.background = colour;
    return element("li", {}, swatch, text);
  };
  if (colouring.classes) {
    const palette = is_dark() ? DARK : LIGHT, shown = colouring.classes.slice(0, 20);
    $("legend").append(...shown.map((name, k) => entry(palette[k % palette.length], name || "(none)", k)));
    if (colouring.classes.length > 20) $("legend").append(element("li", {}, `and ${colouring.classes.length - 20} more`));
  } else {
    const known = colouring.numbers.filter((number) => number !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    $("legend").append(...SCALE.map((colour, k) => entry(colour, `${Number((low + (high - low) * k / 4).toPrecision(3))}`)));
  }
}

// ---- one slider for each latent ------------------------------------------------------------------------

let sliders = [];

function build_sliders() {
  const Z = model().latent_dim;
  sliders = order().map((j) => {
    const all = codes(j), low = Math.min(...all), high = Math.max(...all), margin = Math.max(1e-3, 0.25 * (high - low));
    const reach = Math.min(20, Math.max(4, Math.abs(low), Math.abs(high)));
    const [min, max] = model().variational ? [-reach, reach] : [low - margin, high + margin];
    const input = element("input", { type: "range", min, max, step: (max - min) / 800 });
    const [band, mean, value, note] = [element("span", { className: "q-band" }), element("span", { className: "q-mean" }),
      element("output"), element("small")];
    const size = model().kl ? ` KL ${fixed(model().kl[j])}` : ` var ${fixed(model().variance[j])}`;
    input.setAttribute("aria-label", `latent z${j},${size}${model().kl ? " nats" : ""}`);
    input.addEventListener("input", () => {
      const z = Float64Array.from(state.z);
      z[j] = Number(input.value);
      set_z(z);
    });
    const row = element("div", { className: "latent" }, element("span", {}, element("i", {}, `z${j}`), size),
      element("span", { className: "slide" }, band, mean, input), value, note);
    return { j, min, max, input, band, mean, value, note, row };
  });
  const open = sliders.slice(0, FIRST), rest = sliders.slice(FIRST);
  $("sliders").replaceChildren(...open.map((slider) => slider.row));
  $("more-sliders").replaceChildren(...rest.map((slider) => slider.row));
  $("rest").hidden = rest.length === 0;
  const silent = model().kl ? rest.filter((slider) => model().kl[slider.j] < SILENT).length : 0;
  $("rest").querySelector("summary").textContent = `the other ${rest.length} of ${Z}` + (silent ? `, ${silent} of them below ${SILENT} nats` : "");
}

function draw_sliders() {
  const { mu, logvar } = state.q, costs = logvar && gaussian_kl_per_latent(mu, logvar);
  for (const { j, min, max, input, band, mean, value, note } of sliders) {
    const place = (at) => Math.min(1, Math.max(0, (at - min) / (max - min)));
    const left = (at) => `calc(8px + ${place(at)} * (100% - 16px))`; // a thumb of 16 pixels stays inside
    input.value = state.z[j];
    input.setAttribute("aria-valuetext", fixed(state.z[j]));
    value.textContent = fixed(state.z[j]);
    mean.style.left = left(mu[j]);
    band.hidden = !logvar;
    if (!logvar) {
      note.textContent = `code ${fixed(mu[j])}`;
      continue;
    }
    const sigma = Math.exp(logvar[j] / 2);
    band.style.left = left(mu[j] - sigma);
    band.style.width = `calc(${place(mu[j] + sigma) - place(mu[j] - sigma)} * (100% - 16px))`;
    const eps = (state.z[j] - mu[j]) / sigma;
    note.textContent = [`μ ${fixed(mu[j])}`, `σ ${fixed(sigma)}`, `ε ${fixed(eps)}`, `KL of this x ${fixed(costs[j])}`].join("    ");
  }
}

// ---- the loss ------------------------------------------------------------------------------------------

function draw_loss() {
  const recon = recon_nll(model(), state.x, state.z), { mu, logvar } = state.q;
  const kl = logvar ? gaussian_kl_forward(mu, logvar) : 0;
  const low = Math.min(0, recon), high = nice(Math.max(recon, kl, 1)), width = high - low;
  for (const [bar, value] of [["recon-bar", recon], ["kl-bar", kl]]) {
    $(bar).style.left = `${100 * (Math.min(0, value) - low) / width}%`;
    $(bar).style.width = `${100 * Math.abs(value) / width}%`;
  }
  $("recon").textContent = fixed(recon);
  $("kl").textContent = fixed(kl);
  const beta = model().hyperparameters.beta ?? 1, digits = 3 + Math.max(0, Math.ceil(Math.log10(beta || 1))); // or the sum would seem wrong
  let words = `${model().model === "autoencoder" ? "loss" : "reconstruction"} = ${fixed(recon)}`;
  if (logvar) words = `${state.noisy ? "one draw of −ELBO" : "−ELBO, if this z is a draw from q"}: ${fixed(recon, 3)} + ${fixed(kl, 3)} = ${fixed(recon + kl)}`;
  if (logvar && model().model === "beta-vae" && beta !== 1) {
    words += `; loss with β = ${beta}: ${fixed(recon, 3)} + ${beta} × ${fixed(kl, digits)} = ${fixed(recon + beta * kl)}`;
  }
  $("total").textContent = words;
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}

// ---- a walk --------------------------------------------------------------------------------------------

const on_walk = (t) => state.from.map((a, j) => (1 - t) * a + t * state.to[j]);

function set_t(t) {
  $("t").value = t;
  set_z(on_walk(t));
  [state.t, state.walking] = [t, true];
}

function draw_walk() {
  if (!$("strip").children.length) $("strip").append(...Array.from({ length: STEPS }, () => element("canvas")));
  [...$("strip").children].forEach((canvas, k) => paint(canvas, decode(model(), on_walk(k / (STEPS - 1)))));
}

function play() {
  const start = performance.now(), seconds = 4;
  const step = (now) => {
    const t = Math.min(1, Math.max(0, (now - start) / 1000 / seconds));
    set_t(t);
    if (t < 1 && $("play").dataset.on) requestAnimationFrame(step);
    else delete $("play").dataset.on;
    $("play").textContent = $("play").dataset.on ? "Stop" : "Play";
  };
  if ($("play").dataset.on) return delete $("play").dataset.on;
  $("play").dataset.on = "yes";
  requestAnimationFrame(step);
}

// ---- drawing everything, at most once a frame ------------------------------------------------------------

let waiting = false, walked = "";

function request_render() {
  if (!waiting) requestAnimationFrame(render);
  waiting = true;
}

function render() {
  waiting = false;
  paint($("x"), state.x);
  if (brush.keyed) show_brush($("x").getContext("2d"));
  $("x").setAttribute("aria-label", state.picked === null ? "x, an image of your own" : `x, ${name_of(state.picked)}`);
  paint($("decoded"), decode(model(), state.z));
  draw_plane();
  draw_loss();
  draw_sliders();
  const walk = [state.run, ...state.from, ...state.to].join();
  if (walk !== walked) draw_walk();
  walked = walk;
  for (const button of $("gallery").children) button.setAttribute("aria-pressed", Number(button.dataset.n) === state.picked);
  const where = [...new Set([state.across, state.up])].map((j) => `z${j} ${fixed(state.z[j])}`).join(", ");
  say(`${where}; reconstruction ${$("recon").textContent}` + (state.q.logvar ? `, KL ${$("kl").textContent} nats` : ""));
}

let saying = null;

function say(words) {
  // to a screen reader, once it is quiet
  clearTimeout(saying);
  saying = setTimeout(() => { $("status").textContent = words; }, 500);
}

function start() {
  runs.forEach((run, k) => {
    const input = element("input", { type: "radio", name: "run", value: k, checked: k === 0 });
    input.addEventListener("change", () => set_run(k));
    $("switch").append(element("label", {}, input, ` ${run.name}`));
  });
  $("switch").hidden = runs.length < 2;
  images.colourings.forEach(({ name }, k) => $("colour").append(element("option", { value: k, textContent: name })));
  const ends = images.ends || [0, images.count - 1];
  [state.from, state.to] = ends.map((n) => encode(model(), image(n)).mu);
  $("main").hidden = false;
  [state.x, state.picked] = [image(ends[0]), ends[0]];
  state.first = Math.floor(state.picked / PAGE) * PAGE;
  state.z = state.from;
  set_run(0);
  build_legend();
  build_gallery();
  listen_to_pad();
  listen_to_files();
  listen_to_plane();
  for (const axis of ["across", "up"]) {
    $(axis).addEventListener("change", () => {
      [state[axis], state.chosen] = [Number($(axis).value), true];
      request_render();
    });
  }
  $("colour").addEventListener("change", () => {
    state.colour = Number($("colour").value);
    build_legend();
    build_gallery();
  });
  const on_click = {
    "back": () => set_z(state.q.mu), "draw-q": draw_from_q, "draw-prior": () => set_z(state.z.map(normal)), "play": play,
    "earlier": () => { state.first -= PAGE; build_gallery(); }, "later": () => { state.first += PAGE; build_gallery(); },
    "set-from": () => { state.from = state.z; set_t(0); }, "set-to": () => { state.to = state.z; set_t(1); },
  };
  for (const [id, act] of Object.entries(on_click)) $(id).addEventListener("click", act);
  $("t").addEventListener("input", () => set_t(Number($("t").value)));
  $("problem").hidden = true;
}

start();
