import A from "./aladin.js";
import { broken, dot, element, short } from "./elements.js";
import { angle, extent } from "./geometry.js";

const $ = (id) => document.getElementById(id);
const THEME = "vmpz-theme";
const PAUSE_MS = 60;
const SETTLED_MS = 300;
const PIXELS_A_POINT = 40;
const LABELS_BELOW_DEG = 12;
const LINES = ["#e69f00", "#56b4e9", "#cc79a7", "#009e73", "#d55e00", "#f0e442"];

const shown = { layers: [], over: new Set(["tiles"]), kept: null };
const drawn = new Map();
let sky, aladin, everything, cell, labels, latest = 0;

// -- asking ---------------------------------------------------------------------------------------------------------

async function ask(path) {
  const answer = await fetch(path);
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

const lookUp = (position) => ask(`values?lon=${position[0]}&lat=${position[1]}`);

/** What the properties of a map's HiPS say; the first time the server makes it. */
async function properties(map) {
  if (!map.properties) {
    const answer = await fetch(`maps/${map.number}/properties`);
    if (!answer.ok) throw new Error((await answer.json()).error);
    const lines = (await answer.text()).split("\n").map((line) => line.split("="));
    map.properties = Object.fromEntries(lines.map(([name, ...rest]) => [name.trim(), rest.join("=").trim()]));
  }
  return map.properties;
}

function say(text, isBad = false) {
  $("status").textContent = text;
  $("status").classList.toggle("bad", isBad);
}

/** Do something, telling what is done, or why it could not be. */
async function telling(text, work) {
  say(text);
  try {
    const result = await work();
    if ($("status").textContent === text) say(""); // what was said meanwhile stays
    return result;
  } catch (error) {
    say(error.message, true);
    return undefined;
  }
}

// -- maps -----------------------------------------------------------------------------------------------------------

const named = (name) => sky.maps.find((map) => map.name === name);

async function layerOf(map, opacity = 1, limits = null) {
  const told = await properties(map);
  const cut = map.limits ?? told.hips_pixel_cut.split(" ").map(Number);
  return { map, opacity, limits: limits ?? cut, usual: cut };
}

/** Show one map, or lay it over those that are shown. */
async function choose(map, isOver = false) {
  const layer = await telling(`Preparing ${map.name}…`, () => layerOf(map, isOver ? 0.6 : 1));
  if (!layer) return;
  const others = isOver ? shown.layers.filter((one) => one.map !== map) : [];
  shown.layers = [...others, layer];
  redraw();
}

function drop(layer) {
  shown.layers = shown.layers.filter((one) => one !== layer);
  redraw();
}

function hipsOf(layer) {
  const { map } = layer;
  if (!aladin.vmpzColours.has(map.colour_name)) {
    aladin.addColormap(`vmpz-${map.colour_name.toLowerCase()}`, map.colours);
    aladin.vmpzColours.add(map.colour_name);
  }
  const where = new URL(`maps/${map.number}`, location.href).href;
  return A.HiPS(where, { name: map.name, imgFormat: "fits" });
}

function colour(layer) {
  layer.hips.setColormap(`vmpz-${layer.map.colour_name.toLowerCase()}`, { stretch: layer.map.stretch });
  layer.hips.setCuts(...layer.limits);
  layer.hips.setOpacity(layer.opacity);
}

function redraw() {
  for (const name of aladin.getStackLayers().slice(1)) aladin.removeImageLayer(name);
  shown.layers.forEach((layer, place) => {
    layer.hips = hipsOf(layer);
    if (place) aladin.setOverlayImageLayer(layer.hips, `over${place}`);
    else aladin.setBaseImageLayer(layer.hips);
    colour(layer);
  });
  listLayers();
  markChosen();
  remember();
}

// -- panels ---------------------------------------------------------------------------------------------------------

function listLayers() {
  $("layers").replaceChildren(...[...shown.layers].reverse().map(layerCard));
}

function layerCard(layer) {
  const { map } = layer;
  const ends = ["Lowest", "Highest"].map((name, end) => {
    const field = element("input", { type: "number", step: "any", value: short(layer.limits[end]) });
    field.setAttribute("aria-label", `${name} value of the colours of ${map.name}`);
    field.addEventListener("change", () => {
      const limits = layer.limits.map((old, place) => (place === end && field.value !== "" ? Number(field.value) : old));
      if (limits[0] < limits[1]) Object.assign(layer, { limits });
      field.value = short(layer.limits[end]);
      colour(layer);
      remember();
    });
    return element("label", {}, field);
  });
  const reset = element("button", { type: "button", textContent: "Reset", className: "small" });
  reset.addEventListener("click", () => { layer.limits = layer.usual; colour(layer); listLayers(); remember(); });
  const percent = element("output", { textContent: Math.round(layer.opacity * 100) });
  const slider = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: layer.opacity });
  slider.addEventListener("input", () => {
    layer.opacity = Number(slider.value);
    percent.textContent = Math.round(layer.opacity * 100);
    colour(layer);
    remember();
  });
  const ramp = element("div", { className: "ramp" });
  ramp.style.background = `linear-gradient(to right, ${map.colours.join()})`;
  const close = element("button", { type: "button", textContent: "×", title: "Hide" });
  close.setAttribute("aria-label", `Hide ${map.name}`);
  close.addEventListener("click", () => drop(layer));
  const law = { sqrt: ", colours by square root", log: ", colours by logarithm" }[map.stretch] ?? "";
  const head = element("b", {}, ...broken(map.name), element("small", { textContent: map.label + law }));
  return element("li", {},
    element("div", { className: "layer-head" }, head, ...(shown.layers.length > 1 ? [close] : [])),
    ramp,
    element("div", { className: "cuts" }, ends[0], reset, ends[1]),
    element("label", { className: "opacity" }, "Opacity", slider, percent));
}

function listMaps() {
  const bands = [...new Set(sky.maps.map((map) => map.band))].sort((a, b) => !a - !b);
  $("list").replaceChildren(...bands.map((band) => {
    const rows = sky.maps.filter((map) => map.band === band).map(mapRow);
    return element("details", { open: true },
      element("summary", { textContent: band || "All bands" }), element("ul", {}, ...rows));
  }));
}

function mapRow(map) {
  const pick = element("button", { type: "button", data: { "aria-pressed": "false" } },
    element("b", {}, ...broken(plain(map))), element("small", { textContent: map.label }));
  pick.addEventListener("click", () => choose(map));
  const add = element("button", { type: "button", textContent: "Add" });
  add.setAttribute("aria-label", `Add ${map.name} over what is shown`);
  add.addEventListener("click", () => choose(map, true));
  map.row = element("li", { className: map.column ? "part" : "" }, pick, add);
  return map.row;
}

const plain = (map) => (map.bit ? `bit ${map.bit}` : map.column || (map.band ? map.name.replace(`_${map.band}`, "") : map.name));

function markChosen() {
  for (const map of sky.maps) {
    map.row.firstChild.setAttribute("aria-pressed", String(shown.layers.some((layer) => layer.map === map)));
  }
}

function filterMaps() {
  const words = $("filter").value.toLowerCase().split(/\s+/);
  for (const map of sky.maps) {
    const text = `${map.name} ${map.label} ${map.bit}`.toLowerCase();
    map.row.hidden = !words.every((word) => text.includes(word));
  }
  for (const group of $("list").children) group.hidden = !group.querySelector("li:not([hidden])");
}

// -- values ---------------------------------------------------------------------------------------------------------

/** Ask for the values at a position, unless a later one is asked for meanwhile. */
async function read(position) {
  const turn = ++latest;
  const told = await lookUp(position).catch((error) => ({ error }));
  if (turn !== latest) return null;
  if (told.error) { say(told.error.message, true); return null; }
  tell(position, told);
  return told;
}

function tell(position, told) {
  const top = shown.layers.at(-1).map;
  const first = told.values[top.number];
  $("headline").replaceChildren(first.text || "no value", element("small", { textContent: first.text && top.unit ? ` ${top.unit}` : "" }),
    element("span", {}, ...broken(top.name)));
  $("where").textContent = shown.kept ? "Values, position kept" : "Values at the cursor";
  const deepest = told.values.reduce((a, b) => (b.order > a.order ? b : a));
  $("position").replaceChildren(
    `RA ${position[0].toFixed(6)}°  Dec ${position[1].toFixed(6)}°`, element("br"),
    `cell ${deepest.cell}, order ${deepest.order}`, element("br"), told.area ? `${kindOf(told.area)} ${told.area}` : "in no tile");
  const bands = [...new Set(sky.maps.map((map) => map.band))].sort((a, b) => !a - !b);
  $("values").replaceChildren(...bands.map((band) => {
    const maps = sky.maps.filter((map) => map.band === band && (!map.bit || told.values[map.number].value > 0));
    return element("table", {}, element("caption", { textContent: band || "All bands" }),
      element("tbody", {}, ...maps.map((map) => valueRow(map, told.values[map.number], deepest.order))));
  }));
}

function valueRow(map, { text, order, cell }, deepest) {
  const place = order === deepest ? "" : `, cell ${cell} of order ${order}`;
  const is = shown.layers.some((layer) => layer.map === map);
  return element("tr", { className: is ? "chosen" : "", title: `${map.name}: ${map.label}${place}` },
    element("th", { scope: "row", className: map.column ? "part" : "" }, ...broken(plain(map))),
    element("td", {}, text || "–", element("small", { textContent: text && map.unit ? ` ${map.unit}` : "" })));
}

const kindOf = (area) => (sky.tiles.some((tile) => tile.id === area) ? "tile" : "patch");

/** Keep a position: outline its cell, hold its values, tell its tile; null lets it go. */
async function keep(position) {
  shown.kept = position;
  cell.removeAll();
  $("tile").hidden = true;
  remember();
  if (!position) { $("where").textContent = "Values at the cursor"; return; }
  const told = await read(position);
  if (!told) return;
  cell.add(A.polygon(told.corners));
  if (told.area) await telling("", () => tellTile(told.area));
}

async function tellTile(area) {
  const rows = await ask(`tile?id=${encodeURIComponent(area)}`);
  const names = ["minimum", "mean", "maximum", "area_deg2"];
  const head = ["map", ...names.slice(0, 3), "deg²"].map((name) => element("th", { scope: "col", textContent: name }));
  const body = rows.map((row) => element("tr", { title: row.file }, element("th", { scope: "row", textContent: row.map }),
    ...names.map((name) => element("td", { textContent: row[name] === null ? "–" : short(row[name]) }))));
  $("tile-id").textContent = `${kindOf(area)} ${area}`;
  $("tile-table").replaceChildren(element("table", {},
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...body)));
  $("tile").hidden = false;
}

function positionOf(event) {
  const box = $("aladin").getBoundingClientRect();
  return aladin.pix2world(event.clientX - box.left, event.clientY - box.top) ?? null;
}

// -- overlays -------------------------------------------------------------------------------------------------------

function overlays() {
  return [
    { id: "tiles", text: "Tile outlines", colour: "tile", draw: drawTiles },
    { id: "grid", text: "Grid of coordinates", draw: drawGrid },
    ...sky.regions.map((name, number) => ({ id: `region${number}`, text: name, colour: LINES[number % 6], number, draw: drawRegion })),
    ...sky.points.map((one, number) => ({ id: `points${number}`, text: one.name, told: `${one.rows.toLocaleString("en")} points`,
      colour: LINES[(number + 3) % 6], number, draw: drawPoints })),
  ];
}

function listOverlays() {
  $("overlays").replaceChildren(...overlays().map((one) => {
    const box = element("input", { type: "checkbox", checked: shown.over.has(one.id), id: `show-${one.id}` });
    const note = element("small", { textContent: one.told ?? "", id: `told-${one.id}` });
    const mark = element("i");
    mark.style.color = one.colour === "tile" ? "var(--ink)" : one.colour ?? "transparent";
    box.addEventListener("change", () => {
      if (box.checked) shown.over.add(one.id);
      else shown.over.delete(one.id);
      telling(box.checked ? `Drawing ${one.text}…` : "", () => one.draw(one, box.checked));
      remember();
    });
    return element("li", {}, element("label", {}, box, mark, element("span", {}, one.text, note)));
  }));
}

function drawTiles(one, isShown) {
  if (drawn.has(one.id)) for (const each of drawn.get(one.id)) each[isShown ? "show" : "hide"]();
  else if (isShown) {
    const lines = A.graphicOverlay({ name: "tiles", color: inkColour(), lineWidth: 1.5 });
    aladin.addOverlay(lines);
    for (const tile of sky.tiles) for (const polygon of tile.outline) lines.add(A.polygon(polygon));
    labels = A.catalog({ name: "ids", shape: drawId });
    aladin.addCatalog(labels);
    labels.addSources(sky.tiles.map((tile) => A.source(...tile.at, { id: tile.id })));
    drawn.set(one.id, [lines, labels]);
  }
  labelTiles();
}

/** The id of a tile in its middle, readable on any colour. */
function drawId(source, pen) {
  Object.assign(pen, { font: "13px system-ui, sans-serif", textAlign: "center", textBaseline: "middle", lineWidth: 3, lineJoin: "round" });
  pen.strokeStyle = isDark() ? "rgb(14 18 23 / .75)" : "rgb(255 255 255 / .8)";
  pen.fillStyle = inkColour();
  pen.strokeText(source.data.id, source.x, source.y);
  pen.fillText(source.data.id, source.x, source.y);
}

function labelTiles() {
  if (labels) labels[shown.over.has("tiles") && aladin.getFov()[0] < LABELS_BELOW_DEG ? "show" : "hide"]();
}

function drawGrid(one, isShown) {
  aladin.setCooGrid({ enabled: isShown, color: inkColour(), opacity: 0.5, showLabels: true, thickness: 1, labelSize: 12 });
}

async function drawRegion(one, isShown) {
  if (drawn.has(one.id)) drawn.get(one.id)[isShown ? "show" : "hide"]();
  else if (isShown) {
    const told = await ask(`regions/${one.number}`);
    const moc = A.MOCFromJSON(told, { name: one.text, color: one.colour, lineWidth: 2, perimeter: true, fill: false, edge: false });
    aladin.addMOC(moc);
    drawn.set(one.id, moc);
  }
}

/** Points inside the view: asked for again whenever it comes to rest elsewhere. */
async function drawPoints(one, isShown) {
  if (!drawn.has(one.id)) {
    const made = A.catalog({ name: one.text, shape: dot(one.colour), sourceSize: 4, color: one.colour });
    aladin.addCatalog(made);
    drawn.set(one.id, made);
  }
  const catalogue = drawn.get(one.id);
  const [lon, lat] = aladin.getRaDec();
  const room = $("aladin").clientWidth * $("aladin").clientHeight;
  const view = isShown ? `points/${one.number}?lon=${lon}&lat=${lat}&radius=${Math.min(radius(), 180)}&most=${Math.round(room / PIXELS_A_POINT)}` : "";
  if (catalogue.vmpzView === view) return;
  catalogue.vmpzView = view;
  if (!isShown) { catalogue.removeAll(); return; }
  const told = await ask(view);
  if (catalogue.vmpzView !== view) return;
  catalogue.removeAll();
  catalogue.addSources(told.lon.map((ra, place) => A.source(ra, told.lat[place])));
  const part = told.every > 1 ? `1 in ${told.every} of about ` : "all ";
  $(`told-${one.id}`).textContent =
    `${told.lon.length.toLocaleString("en")} drawn: ${part}${told.inside.toLocaleString("en")} in view`;
}

const radius = () => Math.hypot(...aladin.getFov()) / 2;

const inkColour = () => (isDark() ? "#f2f5f8" : "#17202b");

function isDark() {
  const told = document.documentElement.dataset.theme;
  return told ? told === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// -- where ----------------------------------------------------------------------------------------------------------

function go([lon, lat], fov) {
  aladin.gotoRaDec(lon, lat);
  if (fov) aladin.setFoV(fov);
}

function find(event) {
  event.preventDefault();
  const text = $("goto").value.trim();
  const tile = sky.tiles.find((one) => one.id === text);
  const words = text.split(/[\s,]+/);
  const position = words.length === 2 ? [angle(words[0], true), angle(words[1], false)] : [NaN, NaN];
  if (tile) {
    go(tile.at, tile.fov);
    keep(tile.at);
  } else if (position.every(Number.isFinite) && Math.abs(position[1]) <= 90) {
    go([((position[0] % 360) + 360) % 360, position[1]]);
    keep([((position[0] % 360) + 360) % 360, position[1]]);
  } else say(`There is no tile or position “${text}”.`, true);
}

/** Keep layer, position, field and overlays in the address. */
function remember() {
  if (!aladin) return;
  const told = new URLSearchParams();
  shown.layers.forEach((layer, place) => {
    const cut = layer.limits === layer.usual ? "" : `:${layer.limits.map(short).join(":")}`;
    told.append(place ? "over" : "map", `${layer.map.name}:${layer.opacity}${cut}`);
  });
  told.set("at", aladin.getRaDec().map((one) => one.toFixed(6)).join(" "));
  told.set("fov", short(aladin.getFov()[0]));
  told.set("show", [...shown.over].join(" "));
  if (shown.kept) told.set("keep", shown.kept.map((one) => one.toFixed(8)).join(" "));
  history.replaceState(null, "", `#${told}`);
}

async function recall() {
  const told = new URLSearchParams(location.hash.slice(1));
  const layers = [];
  for (const text of [...told.getAll("map"), ...told.getAll("over")]) {
    const [name, opacity, low, high] = text.split(":");
    if (!named(name)) continue;
    const limits = high === undefined ? null : [Number(low), Number(high)];
    layers.push(await layerOf(named(name), Number(opacity), limits));
  }
  const first = sky.maps.find((map) => map.name.startsWith("depth")) ?? sky.maps[0];
  shown.layers = layers.length ? layers : [await layerOf(first)];
  if (told.has("show")) shown.over = new Set(told.get("show").split(" ").filter(Boolean));
  const numbers = (name) => told.get(name)?.split(" ").map(Number) ?? [];
  const at = numbers("at").every(Number.isFinite) && numbers("at").length === 2 ? numbers("at") : null;
  const kept = numbers("keep").length === 2 && numbers("keep").every(Number.isFinite) ? numbers("keep") : null;
  return { at, fov: Number(told.get("fov")) || null, kept };
}

// -- keyboard, mouse ------------------------------------------------------------------------------------------------

const STEPS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function move([east, north]) {
  const [lon, lat] = aladin.getRaDec();
  const step = aladin.getFov()[0] / 10;
  const up = Math.max(-90, Math.min(90, lat + north * step));
  aladin.gotoRaDec((lon + (east * step) / Math.max(Math.cos((lat * Math.PI) / 180), 0.01) + 360) % 360, up);
  if (!shown.kept) read(aladin.getRaDec());
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (STEPS[event.key]) move(STEPS[event.key]);
  else if (event.key === "+" || event.key === "=") aladin.setFoV(aladin.getFov()[0] / 1.4);
  else if (event.key === "-") aladin.setFoV(aladin.getFov()[0] * 1.4);
  else if (event.key === "0") go(everything.at, everything.fov);
  else if (event.key === "Enter") keep(aladin.getRaDec());
  else if (event.key === "Escape") keep(null);
  else return;
  event.preventDefault();
}

function listen() {
  let down = null, asked = 0;
  const area = $("aladin");
  area.addEventListener("pointermove", (event) => {
    const now = performance.now();
    if (shown.kept || event.buttons || now - asked < PAUSE_MS) return;
    asked = now;
    const position = positionOf(event);
    if (position) read(position);
  });
  area.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; }, true);
  area.addEventListener("pointerup", (event) => {
    const far = down && Math.hypot(event.clientX - down[0], event.clientY - down[1]);
    const position = far !== null && far < 4 ? positionOf(event) : null;
    if (position) keep(position);
  }, true);
  $("sky").addEventListener("keydown", pressed);
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|SELECT/.test(event.target.tagName)) { $("goto").focus(); event.preventDefault(); }
  });
  let settling;
  const changed = () => {
    clearTimeout(settling);
    settling = setTimeout(() => {
      labelTiles();
      remember();
      $("scale").textContent = `field ${short(aladin.getFov()[0])}°`;
      for (const one of overlays()) if (one.draw === drawPoints && shown.over.has(one.id)) telling("", () => drawPoints(one, true));
    }, SETTLED_MS);
  };
  aladin.on("positionChanged", changed);
  aladin.on("zoomChanged", changed);
  changed();
  $("search").addEventListener("submit", find);
  for (const link of document.querySelectorAll("[data-to]")) {
    link.addEventListener("click", () => { $(link.dataset.to).scrollIntoView(); $(link.dataset.to).focus({ preventScroll: true }); });
  }
  addEventListener("hashchange", () => location.reload());
  $("filter").addEventListener("input", filterMaps);
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("help-close").addEventListener("click", () => $("help").close());
}

function setTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  $("theme").textContent = isDark() ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
  if (!aladin) return;
  aladin.setBackgroundColor(isDark() ? "rgb(58, 66, 77)" : "rgb(226, 230, 235)");
  for (const each of drawn.get("tiles") ?? []) aladin.removeOverlay(each);
  drawn.delete("tiles");
  labels = null;
  for (const one of overlays()) if (/^(tiles|grid)$/.test(one.id) && shown.over.has(one.id)) one.draw(one, true);
}

// -- beginning ------------------------------------------------------------------------------------------------------

async function begin() {
  setTheme(localStorage.getItem(THEME));
  $("theme").addEventListener("click", () => {
    const name = isDark() ? "light" : "dark";
    localStorage.setItem(THEME, name);
    setTheme(name);
  });
  sky = await ask("sky.json");
  sky.maps.forEach((map, number) => Object.assign(map, { number }));
  for (const tile of sky.tiles) Object.assign(tile, extent(tile.outline.flat()));
  $("store").textContent = sky.areas ? `${sky.store} · ${sky.areas.join(", ")}` : sky.store;
  document.title = `${sky.areas?.join(", ") ?? sky.store} · vmpz`;
  $("tile-ids").replaceChildren(...sky.tiles.slice(0, 500).map((tile) => element("option", { value: tile.id })));
  listMaps();
  const { at, fov, kept } = await recall();
  await A.init;
  const told = await properties(shown.layers[0].map);
  everything = extent(sky.tiles.flatMap((tile) => tile.outline.flat()));
  if (!everything.fov) everything = { at: [Number(told.hips_initial_ra), Number(told.hips_initial_dec)], fov: Number(told.hips_initial_fov) };
  const first = new URL(`maps/${shown.layers[0].map.number}`, location.href).href;
  aladin = A.aladin("#aladin", {
    survey: A.HiPS(first, { name: shown.layers[0].map.name, imgFormat: "fits" }),
    target: (at ?? everything.at).join(" "), fov: fov ?? everything.fov, cooFrame: "ICRS", projection: "ZEA",
    showReticle: true, reticleSize: 14, showZoomControl: false, showLayersControl: false, showFullscreenControl: false,
    showSimbadPointerControl: false, showCooGridControl: false, showSettingsControl: false, showShareControl: false,
    showFrame: false, showFov: false, showCooLocation: false, showProjectionControl: false, showContextMenu: false,
    showStatusBar: false, showColorPickerControl: false, log: false, samp: false, hipsList: [],
  });
  aladin.vmpzColours = new Set();
  cell = A.graphicOverlay({ name: "cell", color: "#ff2d55", lineWidth: 2 });
  aladin.addOverlay(cell);
  redraw();
  listOverlays();
  listen();
  setTheme();
  for (const one of overlays()) if (shown.over.has(one.id)) await telling("", () => one.draw(one, true));
  if (kept) await keep(kept);
  globalThis.vmpz = { aladin, shown, sky };
  document.documentElement.dataset.ready = "yes";
}

telling("Opening the store…", begin);
