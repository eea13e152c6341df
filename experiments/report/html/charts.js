// Charts: lines in small panels, and marks with names.

const LOOKS = 7; // styles of lines, in style.css
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "down", "plus"];

/** Draw a mark whose shape tells its line apart without color. */
function drawMark(number, x, y, size = 4) {
  const [left, right, top, bottom] = [x - size, x + size, y - size, y + size].map(round);
  const polygons = {
    square: [[left, top], [right, top], [right, bottom], [left, bottom]],
    triangle: [[x, top], [right, bottom], [left, bottom]],
    diamond: [[x, top - 1], [right + 1, y], [x, bottom + 1], [left - 1, y]],
    down: [[left, top], [right, top], [x, bottom]],
  };
  const look = `mark look${number % LOOKS}`;
  const shape = SHAPES[number % LOOKS];
  if (shape === "circle") return svg("circle", {class: look, cx: round(x), cy: round(y), r: size});
  if (shape in polygons) {
    const points = polygons[shape].map(point => point.map(round).join(",")).join(" ");
    return svg("polygon", {class: look, points});
  }
  const path = shape === "plus" ? `M${left},${y}H${right}M${x},${top}V${bottom}`
    : `M${left},${top}L${right},${bottom}M${left},${bottom}L${right},${top}`;
  return svg("path", {class: `${look} stroke`, d: path});
}

/** Return a legend: the line with its mark, or the mark alone, and the name. */
function makeLegend(names, hasLine = true) {
  const width = hasLine ? 28 : 12;
  return el("ul", {class: "legend"}, names.map((name, number) => el("li", {},
    svg("svg", {width, height: 12, "aria-hidden": "true"},
      hasLine ? svg("line", {class: `line look${number % LOOKS}`, x1: 0, x2: width, y1: 6, y2: 6}) : null,
      drawMark(number, width / 2, 6)), name)));
}

/** Draw the frame of a chart: grid, numbers, names of the axes. */
function drawAxes({width, height, box, xTicks, yTicks, x, y, xLabel, yLabel}) {
  const marks = [];
  for (const tick of yTicks) {
    const at = round(y(tick.value));
    marks.push(svg("line", {class: "grid", x1: box.left, x2: width - box.right, y1: at, y2: at}));
    marks.push(svg("text", {x: box.left - 6, y: at + 4, "text-anchor": "end"}, tick.label));
  }
  for (const tick of xTicks) {
    const at = round(x(tick.value));
    marks.push(svg("line", {class: "grid", x1: at, x2: at, y1: box.top, y2: height - box.bottom}));
    marks.push(svg("text", {x: at, y: height - box.bottom + 16, "text-anchor": "middle"}, tick.label));
  }
  const middle = (box.left + width - box.right) / 2;
  marks.push(svg("text", {x: middle, y: height - 4, "text-anchor": "middle", class: "label"}, xLabel));
  marks.push(svg("text", {x: 0, y: 11, class: "label"}, yLabel));
  return marks;
}

/**
 * Draw lines in a panel. A line has a number, which gives its look, and points [x, y, spread];
 * `marked` are the x of the points that get a mark, by default all.
 */
function drawLines({title, lines, xLabel, yLabel, categories, yRange, width = 290, height = 210}) {
  const box = {left: 42, right: 10, top: 20, bottom: 36};
  const xs = categories ?? lines.flatMap(line => line.points.map(point => point[0]));
  const locate = categories ? value => categories.indexOf(value) : value => value;
  const xRange = categories ? [-0.4, categories.length - 0.6] : [0, Math.max(...xs, 1)];
  const x = makeScale(xRange, [box.left, width - box.right]);
  const y = makeScale(yRange, [height - box.bottom, box.top]);
  const ticks = values => values.map(value => ({value, label: value.toString()}));
  const xTicks = categories ? categories.map((one, value) => ({value, label: String(one)})) : ticks(makeTicks(...xRange));
  const marks = drawAxes({width, height, box, x, y, xTicks, yTicks: ticks(makeTicks(...yRange)), xLabel, yLabel});
  for (const line of lines) {
    const shift = categories ? 5 * (line.number - (lines.length - 1) / 2) : 0;
    const points = line.points.filter(point => point[1] !== null)
      .map(([at, value, spread]) => ({at, spread, x: x(locate(at)) + shift, y: y(value), value}));
    const path = points.map((point, index) => `${index ? "L" : "M"}${round(point.x)},${round(point.y)}`).join("");
    marks.push(svg("path", {class: `line look${line.number % LOOKS}`, d: path}));
    for (const point of points) {
      if (point.spread) {
        const ends = {y1: round(y(point.value - point.spread)), y2: round(y(point.value + point.spread))};
        marks.push(svg("line", {class: `bar look${line.number % LOOKS}`, x1: round(point.x), x2: round(point.x), ...ends}));
      }
      if (!line.marked || line.marked.includes(point.at)) marks.push(drawMark(line.number, point.x, point.y));
    }
  }
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title}, marks);
  return el("figure", {class: "panel"}, el("figcaption", {}, title), picture);
}

/** Draw a mark with its name for each point {name, number, x, y, dx, dy}; x has a logarithmic scale. */
function drawScatter({title, points, xLabel, yLabel, width, height = 420}) {
  const box = {left: 44, right: 16, top: 22, bottom: 40};
  const [low, high] = [Math.min(...points.map(one => one.x)), Math.max(...points.map(one => one.x))].map(Math.log10);
  const xRange = [low - 0.15, high + 0.35];
  const yRange = findRange(points.flatMap(one => [one.y - one.dy, one.y + one.dy]), 0.08);
  const inner = makeScale(xRange, [box.left, width - box.right]);
  const x = value => inner(Math.log10(value));
  const y = makeScale(yRange, [height - box.bottom, box.top]);
  const powers = Array.from({length: 12}, (_, n) => n - 4).filter(n => n >= xRange[0] && n <= xRange[1]);
  const xTicks = powers.map(power => ({value: 10 ** power, label: (10 ** power).toLocaleString("en-US")}));
  const yTicks = makeTicks(...yRange, 6).map(value => ({value, label: value.toString()}));
  const marks = drawAxes({width, height, box, x, y, xTicks, yTicks, xLabel, yLabel});
  const placed = points.map(one => ({
    ...one, px: round(x(one.x)), py: round(y(one.y)),
    left: round(x(Math.max(one.x - one.dx, one.x / 10))), right: round(x(one.x + one.dx)),
    top: round(y(one.y + one.dy)), bottom: round(y(one.y - one.dy)),
  }));
  const taken = placed.flatMap(({px, py, left, right, top, bottom}) => [
    {left: Math.min(left, px - 6), right: Math.max(right, px + 6), top: py - 5, bottom: py + 5},
    {left: px - 5, right: px + 5, top: Math.min(top, py - 6), bottom: Math.max(bottom, py + 6)},
  ]);
  for (const {name, number, px, py, left, right, top, bottom} of placed) {
    const look = `bar look${number % LOOKS}`;
    marks.push(svg("line", {class: look, x1: left, x2: right, y1: py, y2: py}));
    marks.push(svg("line", {class: look, x1: px, x2: px, y1: top, y2: bottom}));
    marks.push(drawMark(number, px, py, 5), placeName(shorten(name), px, py, taken, width));
  }
  return svg("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": title}, marks);
}

/** Cut a long name; the table under the chart has it in full. */
function shorten(name, length = 24) {
  return name.length > length ? `${name.slice(0, length - 1)}…` : name;
}

/** Write a name at the first free position beside its mark, with a line to it from further away. */
function placeName(name, x, y, taken, width) {
  const size = {x: 6.6 * name.length + 4, y: 13};
  const offsets = [8, 16, 26, 38, 52, 68].flatMap(r => [[r, 0], [-r, 0], [0, r + 3], [0, -r - 3], [r, r], [r, -r], [-r, r], [-r, -r]]);
  const boxes = offsets.map(([dx, dy]) => {
    const preferred = x + dx - (dx < 0 ? size.x : dx === 0 ? size.x / 2 : 0);
    const left = Math.max(41, Math.min(preferred, width - size.x - 1));
    return {left, right: left + size.x, top: y + dy - size.y / 2, bottom: y + dy + size.y / 2};
  });
  const isFree = box => !taken.some(other =>
    box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom);
  const box = boxes.find(isFree) ?? boxes[0];
  taken.push(box);
  const end = {x2: round(Math.min(Math.max(x, box.left), box.right)), y2: round(Math.min(Math.max(y, box.top), box.bottom))};
  const isFar = Math.hypot(end.x2 - x, end.y2 - y) > 9;
  return svg("g", {}, isFar ? svg("line", {class: "leader", x1: x, y1: y, ...end}) : null,
    svg("text", {x: round(box.left + 2), y: round(box.bottom - 3), class: "name"}, name));
}

/** Return the numbers of a chart as a table that is closed at first. */
function makeNumbers(caption, columns, rows) {
  return el("details", {class: "numbers"}, el("summary", {}, "Numbers"), makeTable({caption, columns, rows}));
}
