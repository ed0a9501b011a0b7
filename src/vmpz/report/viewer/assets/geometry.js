/* Angles on the sky, in degrees. */

const toVector = ([lon, lat]) => {
  const [a, d] = [lon, lat].map((one) => (one * Math.PI) / 180);
  return [Math.cos(d) * Math.cos(a), Math.cos(d) * Math.sin(a), Math.sin(d)];
};

/** Middle of positions, and the field that holds them all. */
export function extent(positions) {
  const vectors = positions.map(toVector);
  const [x, y, z] = vectors.reduce((sum, one) => sum.map((part, axis) => part + one[axis]), [0, 0, 0]);
  const length = Math.hypot(x, y, z) || 1;
  const nearest = vectors.reduce((least, one) => Math.min(least, (one[0] * x + one[1] * y + one[2] * z) / length), 1);
  const at = [(Math.atan2(y, x) * 180 / Math.PI + 360) % 360, Math.asin(z / length) * 180 / Math.PI];
  return { at, fov: Math.min((2.3 * Math.acos(nearest) * 180) / Math.PI, 360) };
}

/** Degrees of an angle in decimals or in sixty parts; hours where they are said or where colons stand. */
export function angle(text, isHours) {
  const parts = text.match(/^([-+−]?)(\d+(?:\.\d*)?)(?:[:hd°](\d+(?:\.\d*)?))?(?:[:m'′](\d+(?:\.\d*)?))?[s"″m'′d°h]?$/i);
  if (!parts) return NaN;
  const size = Number(parts[2]) + Number(parts[3] ?? 0) / 60 + Number(parts[4] ?? 0) / 3600;
  const factor = isHours && (/h/i.test(text) || text.includes(":")) ? 15 : 1;
  return (parts[1] && parts[1] !== "+" ? -1 : 1) * size * factor;
}
