/* Pieces of the page. */

export function element(name, properties = {}, ...children) {
  const { data, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  for (const [key, value] of Object.entries(data ?? {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A name that may break after its underscores. */
export const broken = (name) => name.split(/(?<=_)/).flatMap((part, place) => (place ? [element("wbr"), part] : [part]));

/** A small square: what Aladin draws for ten thousand points must be cheap. */
export function dot(colour) {
  const made = element("canvas", { width: 2, height: 2 });
  const pen = made.getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 2, 2);
  return made;
}

export const short = (value) => String(Number(value.toPrecision(6)));
