/**
 * The curve of days against the smallest effect that the experiment would find.
 * @module experiments/curve
 */

import { el } from "../dom.js";
import { number, percent } from "./words.js";

const WIDTH = 300;
const HEIGHT = 170;
const LEFT = 38;
const BOTTOM = 24;
const TOP = 10;
const RIGHT = 20;

/**
 * @param {{effect: number, readers: ?number, days: ?number}[]} curve
 * @param {number} chosen  the effect in the form
 */
export function drawCurve(curve, chosen) {
  const unit = curve.every((point) => point.days != null) ? "days" : "readers";
  const points = curve.filter((point) => point[unit] != null);
  if (points.length < 2) return "";
  const [low, high] = [points[0].effect, points.at(-1).effect].sort((a, b) => a - b);
  const most = Math.max(...points.map((point) => point[unit]));
  const least = Math.min(...points.map((point) => point[unit]));
  // Readers grow with 1 / effect², so that only logarithms show the whole range.
  const x = (effect) =>
    LEFT + ((Math.log(effect) - Math.log(low)) / Math.log(high / low)) * (WIDTH - LEFT - RIGHT);
  const span = Math.log(Math.max(most / least, 1.01));
  const y = (value) => TOP + (Math.log(most / value) / span) * (HEIGHT - TOP - BOTTOM);
  const line = points.map((point) => `${x(point.effect).toFixed(1)},${y(point[unit]).toFixed(1)}`);
  const words = `${number(Math.ceil(most))} ${unit} for ${percent(low)}, ${number(Math.ceil(least))} for ${percent(high)}`;
  const marks = [];
  if (chosen >= low && chosen <= high) {
    const at = nearestValue(points, chosen, unit);
    marks.push(
      svg("line", { class: "here", x1: x(chosen), x2: x(chosen), y1: TOP, y2: HEIGHT - BOTTOM }),
      svg("circle", { class: "here", cx: x(chosen), cy: y(at), r: 4.5 }),
    );
  }
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${unit} by effect: ${words}` },
    ...ticksOf(least, most).flatMap((value) => [
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { x: LEFT - 5, y: y(value) + 3.5, "text-anchor": "end" }, number(value)),
    ]),
    ...[low, Math.sqrt(low * high), high].map((effect) =>
      svg("text", { x: x(effect), y: HEIGHT - 7, "text-anchor": "middle" }, percent(effect)),
    ),
    svg("polyline", { class: "curve", points: line.join(" ") }),
    ...marks,
  );
  const caption = `${unit === "days" ? "Days" : "Readers"} by the smallest effect to be found`;
  return el("figure.curve", {}, picture, el("figcaption.note", {}, caption));
}

/** 1, 2 and 5 of each power of ten within a range, at most five of them. */
function ticksOf(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const digit of [1, 2, 5]) {
      const value = Number((digit * 10 ** power).toPrecision(1));
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  const every = Math.ceil(found.length / 5);
  return found.filter((_, at) => at % every === 0);
}

/** The value at an effect, straight between its neighbours on the logarithmic axes. */
function nearestValue(points, effect, unit) {
  const sorted = [...points].sort((a, b) => a.effect - b.effect);
  const after = Math.max(1, sorted.findIndex((point) => point.effect >= effect));
  const [one, two] = [sorted[after - 1], sorted[after]];
  const part = Math.log(effect / one.effect) / Math.log(two.effect / one.effect);
  return one[unit] * (two[unit] / one[unit]) ** part;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}
