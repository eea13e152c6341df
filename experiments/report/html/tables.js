// Tables whose rows can be sorted, and the cells with a plot.

/**
 * Make a table. A column has a label, a function `value` (to sort by) and, if it shows something else, `show`.
 * `state` keeps the label of the column that orders the rows, and the direction, when the table is made anew.
 */
function makeTable({caption, columns, rows, state = {}, rowClass = () => ""}) {
  const body = el("tbody");
  const headers = columns.map(column => makeHeader(column, () => {
    const isSame = state.column === column.label;
    state.isDown = isSame ? !state.isDown : Boolean(column.isNumber);
    state.column = column.label;
    sort();
  }));

  function sort() {
    const column = columns.find(one => one.label === state.column);
    headers.forEach((header, index) => {
      const direction = columns[index] !== column ? "none" : state.isDown ? "descending" : "ascending";
      if (columns[index].value) header.setAttribute("aria-sort", direction);
    });
    const sorted = column ? [...rows].sort((a, b) => compare(column.value(a), column.value(b), state.isDown)) : rows;
    body.replaceChildren(...sorted.map(row => elements.get(row)));
  }

  const elements = new Map(rows.map(row => [row, el("tr", {class: rowClass(row)}, columns.map((column, index) =>
    makeCell(column, row, index)))]));
  sort();
  const head = el("thead", {}, el("tr", {}, headers));
  return wrapTable(caption, el("table", {}, head, body));
}

/** Put a caption on a table, in a region that scrolls where the table is too wide. */
function wrapTable(caption, table) {
  table.prepend(el("caption", {}, el("span", {}, caption)));
  return el("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": caption}, table);
}

function makeHeader(column, onSort) {
  const style = column.isNumber ? "number" : column.isPlot ? "plot" : "";
  const label = column.value ? el("button", {type: "button", click: onSort, title: column.title}, column.label) : column.label;
  return el("th", {scope: "col", class: style}, label, column.head);
}

function makeCell(column, row, index) {
  const shown = column.show ? column.show(row) : column.value(row) ?? NOTHING;
  const style = column.isNumber ? "number" : column.isPlot ? "plot" : "";
  return index ? el("td", {class: style}, shown) : el("th", {scope: "row"}, shown);
}

/** Compare two cells. A cell without a value is last in both directions. */
function compare(a, b, isDown) {
  const isEmpty = value => value === null || value === undefined || value === "";
  if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
  const order = typeof a === "number" ? a - b : String(a).localeCompare(String(b));
  return isDown ? -order : order;
}

const PLOT = {width: innerWidth < 420 ? 96 : innerWidth < 640 ? 180 : 260, height: 30, left: 10, right: 10};

/** Return the scale that all cells of a plot share. */
function makePlotScale(cells) {
  const range = findRange(cells.flatMap(cell => [cell.paper, cell.run_low, cell.run_high, cell.ours]));
  return {range, ticks: makeTicks(...range, PLOT.width < 180 ? 4 : 6), x: makeScale(range, [PLOT.left, PLOT.width - PLOT.right])};
}

function makePlotAxis({ticks, x}) {
  return svg("svg", {width: PLOT.width, height: 16, viewBox: `0 0 ${PLOT.width} 16`, "aria-hidden": "true"},
    ticks.map(tick => svg("text", {x: round(x(tick)), y: 12, "text-anchor": "middle"}, tick.toString())));
}

/** Draw the paper's value (a diamond) and ours (a disk) with both intervals. */
function drawDumbbell(cell, {ticks, x}) {
  const middle = PLOT.height / 2;
  const marks = ticks.map(tick =>
    svg("line", {class: "grid", x1: round(x(tick)), x2: round(x(tick)), y1: 0, y2: PLOT.height}));
  const across = (from, to, name) => svg("line", {class: name, x1: round(x(from)), x2: round(x(to)), y1: middle, y2: middle});
  if (cell.ours !== null) {
    if (cell.paper !== null) marks.push(across(cell.paper, cell.ours, "bridge"));
    if (cell.run_low !== null) marks.push(across(cell.run_low, cell.run_high, "run"), across(cell.low, cell.high, "mean"));
    marks.push(svg("circle", {class: "ours", cx: round(x(cell.ours)), cy: middle, r: 4.5}));
  }
  if (cell.paper !== null) marks.push(drawDiamond(x(cell.paper), middle));
  const text = `paper ${formatMetric(cell.paper)}, ours ${formatMetric(cell.ours)}`;
  const size = {width: PLOT.width, height: PLOT.height, viewBox: `0 0 ${PLOT.width} ${PLOT.height}`};
  return svg("svg", {...size, role: "img", "aria-label": text}, svg("title", {}, text), marks);
}

function drawDiamond(x, y, size = 5.5) {
  const points = [[x, y - size], [x + size, y], [x, y + size], [x - size, y]];
  return svg("polygon", {class: "paper", points: points.map(point => point.map(round).join(",")).join(" ")});
}
