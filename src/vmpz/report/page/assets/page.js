"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

// -- theme: that of the system until one is chosen -----------------------------------------------------------------

const root = document.documentElement;
const remembered = {
  get: () => { try { return localStorage.getItem("vmpz-theme"); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem("vmpz-theme", theme); } catch { /* refused: this visit alone */ } },
};

function startTheme() {
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "")) === "dark";
  const tell = () => button.setAttribute("aria-pressed", isDark());
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered.set(root.dataset.theme);
    tell();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  tell();
}

// -- contents: the section in sight is marked -------------------------------------------------------------------------

function startContents() {
  const links = all("nav a");
  const watch = new IntersectionObserver((entries) => {
    const seen = entries.filter((one) => one.isIntersecting).pop();
    if (!seen) return;
    for (const link of links) {
      const here = link.hash === `#${seen.target.id}`;
      if (here) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
      if (here) link.parentElement.parentElement.scrollTo({ left: link.offsetLeft - 80 });
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  all("main > section").forEach((section) => watch.observe(section));
}

// -- a figure in a window of its own: it moves there and back, so that it is in the page once --------------------------

function startLens() {
  const lens = document.getElementById("lens");
  const stage = lens.querySelector("div");
  let place = null;
  for (const button of all("button.enlarge")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      place = button.closest("figure").querySelector(".drawing");
      place.style.minHeight = `${place.offsetHeight}px`;
      lens.setAttribute("aria-label", button.dataset.title);
      lens.querySelector("p").textContent = button.dataset.title;
      stage.replaceChildren(place.firstElementChild);
      lens.showModal();
    });
  }
  lens.addEventListener("close", () => {
    place.append(stage.firstElementChild);
    place.style.minHeight = "";
  });
  lens.addEventListener("click", (event) => event.target === lens && lens.close());
  lens.querySelector("button").addEventListener("click", () => lens.close());
}

// -- long tables ------------------------------------------------------------------------------------------------------

function rowsOf(csv) {
  if (!csv.includes('"')) return csv.trimEnd().split("\n").map((line) => line.split(","));
  const rows = [[]];
  for (const [, cell, end] of csv.trimEnd().matchAll(/("(?:[^"]|"")*"|[^,\n]*)(,|\n|$)/g)) {
    rows.at(-1).push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
    if (end === "\n") rows.push([]);
    if (end === "") break;
  }
  return rows;
}

function startSheet(sheet) {
  const csv = JSON.parse(sheet.querySelector("script").textContent);
  const [, ...rows] = rowsOf(csv);
  const body = sheet.querySelector("tbody");
  const [input, output, save] = ["input", "output", "button"].map((name) => sheet.querySelector(`.controls ${name}`));
  const size = Number(sheet.dataset.page);
  const columns = all("thead th", sheet).map((head) => ({ head, ...head.dataset }));
  const words = new Intl.Collator("en", { numeric: true });
  let shown = rows, first = 0;

  const cell = (text, place) => {
    const { number, decimals } = columns[place];
    const told = text === "" ? "–" : decimals === undefined ? text : Number(text).toFixed(decimals);
    return place ? make("td", { className: number === undefined ? "" : "number" }, told) : make("th", { scope: "row" }, told);
  };
  const line = (row) => make("tr", { className: row.some((text, place) => columns[place].mark !== undefined && Number(text)) ? "lacking" : "" }, ...row.map(cell));

  const turn = (by) => make("button", { type: "button", onclick: () => { first += by; draw(); } }, by < 0 ? "Previous" : "Next");
  const [back, forth, where] = [turn(-size), turn(size), make("span")];
  sheet.querySelector(".pager").append(back, where, forth);

  function draw() {
    body.replaceChildren(...shown.slice(first, first + size).map(line));
    const last = Math.min(first + size, shown.length);
    where.textContent = shown.length ? `${count(first + 1)} to ${count(last)} of ${count(shown.length)}` : "nothing";
    output.textContent = shown.length === rows.length ? `${count(rows.length)} rows` : `${count(shown.length)} of ${count(rows.length)} rows`;
    back.disabled = first === 0;
    forth.disabled = last >= shown.length;
    sheet.querySelector(".pager").hidden = rows.length <= size;
  }

  function sort(place) {
    const { head, number } = columns[place];
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    columns.forEach((other) => other.head.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const compare = number === undefined ? words.compare : (one, other) => one - other;
    rows.sort(({ [place]: one }, { [place]: other }) => (one === "") - (other === "") || sign * compare(one, other));
    filter();
  }

  function filter() {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    shown = rows.filter((row) => wanted.every((word) => row.some((text, place) => columns[place].number === undefined && text.toLowerCase().includes(word))));
    first = 0;
    draw();
  }

  columns.forEach(({ head }, place) => {
    head.setAttribute("aria-sort", "none");
    head.replaceChildren(make("button", { type: "button", onclick: () => sort(place) }, ...head.childNodes));
  });
  input.addEventListener("input", filter);
  save.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    make("a", { href: address, download: save.dataset.file }).click();
    URL.revokeObjectURL(address);
  });
  sheet.querySelector(".controls").hidden = false;
  draw();
}

// -- what is wider than its box says so -------------------------------------------------------------------------------

function startScroll(box) {
  const measure = () => box.toggleAttribute("data-wide", box.scrollWidth > box.clientWidth + 1);
  new ResizeObserver(measure).observe(box);
  new ResizeObserver(measure).observe(box.firstElementChild);
}

// -- the rest ---------------------------------------------------------------------------------------------------------

function startCopy(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre").textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch { getSelection().selectAllChildren(button.parentElement.querySelector("pre")); button.textContent = "Selected"; }
  });
}

startTheme();
startContents();
startLens();
all(".sheet").forEach(startSheet);
all(".scroll").forEach(startScroll);
all("button.copy").forEach(startCopy);
addEventListener("beforeprint", () => all("details").forEach((one) => { one.open = true; }));
