// Elements and numbers.

const SVG = "http://www.w3.org/2000/svg";
const NOTHING = "–";

/** Make an element: el("td", {class: "number"}, "0.471"). A function is a listener, false leaves an attribute out. */
function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Make an element of a picture. */
function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined));
  return element;
}

/** Return the rows of a frame as objects. */
function readFrame(frame) {
  if (!frame) return [];
  return frame.data.map(row => Object.fromEntries(frame.columns.map((column, index) => [column, row[index]])));
}

function formatMetric(value) {
  return value === null || value === undefined ? NOTHING : value.toFixed(3);
}

/** Return a difference with its sign, which is a minus and no hyphen. */
function formatSigned(value, digits = 3) {
  if (value === null) return NOTHING;
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : (value < 0 ? "−" : "+") + text;
}

function formatMean(mean, spread) {
  return formatMetric(mean) + (spread ? ` ± ${spread.toFixed(3)}` : "");
}

function formatP(value) {
  let digits = 3;
  while (value !== 0.05 && Number(value.toFixed(digits)) === 0.05) digits++; // shows on which side of .05 it is
  return value < 0.001 ? "< .001" : value.toFixed(digits).replace("0.", ".");
}

function formatInterval(low, high, format = formatMetric) {
  return low === null ? NOTHING : `${format(low)} … ${format(high)}`;
}

function formatCount(number, noun) {
  return `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return round numbers from low to high, about so many. */
function makeTicks(low, high, count = 4) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(one => one >= rough);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9; n++) ticks.push(Number((n * step).toPrecision(6)));
  return ticks;
}

/** Return the least and the greatest number with a margin; of a narrow range, a wider one about it. */
function findRange(values, margin = 0.05, least = 0) {
  const known = values.filter(value => value !== null && value !== undefined);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const extra = Math.max((high - low || 0.1) * margin, (least - (high - low)) / 2);
  return [low - extra, high + extra];
}

/** Return the function that maps [low, high] to [start, end]. */
function makeScale([low, high], [start, end]) {
  return value => start + (value - low) / (high - low) * (end - start);
}

function round(value) {
  return Math.round(value * 10) / 10;
}
