// The section on differences: a model against every other one, and the matrix of all pairs.

/** Return the difference of two models, or nothing. The frame has each pair once. */
function findPair(data, metric, model, other) {
  const pair = getPairs(data, metric).get(`${model}\n${other}`);
  if (pair) return pair;
  const back = getPairs(data, metric).get(`${other}\n${model}`);
  return back && {...back, model, other, model_p: back.other_p, difference: -back.difference, low: -back.high, high: -back.low,
    run_low: -back.run_high, run_high: -back.run_low, effect: -back.effect, wins: back.losses, losses: back.wins};
}

const pairMaps = new Map(); // of each frame, made once

function getPairs(data, metric) {
  const frame = data.pairs[metric];
  if (!frame) return new Map();
  if (!pairMaps.has(frame)) pairMaps.set(frame, new Map(readFrame(frame).map(pair => [`${pair.model}\n${pair.other}`, pair])));
  return pairMaps.get(frame);
}

function showDifferences({dataset, data, compared}) {
  const cells = readFrame(data.cells).filter(cell => cell.metric === compared && cell.ours !== null);
  const models = cells.sort((a, b) => b.ours - a.ours).map(cell => cell.model)
    .filter((model, _, all) => all.some(other => findPair(data, compared, model, other)));
  if (models.length < 2) return [say("There are no two rows to compare.")];
  const yours = models.find(model => data.rows[model].group === "yours");
  if (!models.includes(state.model)) state.model = yours ?? (models.includes("SDM") ? "SDM" : models[0]);
  const content = el("div");
  const select = el("select", {change: () => choose(select.value)}, models.map(model => el("option", {}, model)));

  function choose(model, isClicked = false) {
    state.model = select.value = model;
    content.replaceChildren(makeForest(dataset, data, compared, model, models));
    if (isClicked) content.scrollIntoView({block: "nearest"});
  }

  choose(state.model);
  return [
    el("p", {}, el("label", {}, "Compare ", select, " with every other row")), content,
    makeMatrix(dataset, data, compared, models, choose),
    el("p", {class: "note matrix-note"}, `A number of the matrix is row − column in thousandths. Bold and shaded: p < .05 after Holm's correction over all ${formatCount(getPairs(data, compared).size, "pair")}.${models.some(model => data.rows[model].incomparable) ? " †: marked as not comparable." : ""}`),
    say("p in the list: after Holm's correction over its rows. The matrix corrects over more differences, and `sdmr compare` over all metrics that it is asked for. So they can differ."),
    say("Effect: the mean difference over the standard deviation of the users' differences. Win, tie and loss: percent of the users."),
  ];
}

function makeForest(dataset, data, metric, model, models) {
  const pairs = models.map(other => findPair(data, metric, model, other)).filter(Boolean);
  const cells = new Map(pairs.map(pair => [pair, {...pair, ours: pair.difference, paper: null}]));
  const scale = makePlotScale([...cells.values(), {paper: 0, run_low: null, run_high: null, ours: null}]);
  const percent = value => Math.round(100 * value);
  const columns = [
    {label: "Less that of", value: pair => pair.other, show: pair => nameModel(dataset, pair.other)},
    {label: "Difference", head: makePlotAxis(scale), isPlot: true, value: pair => pair.difference, show: pair => drawDifference(cells.get(pair), scale)},
    {label: "Mean", isNumber: true, value: pair => pair.difference, show: pair => formatSigned(pair.difference)},
    {label: "95 % interval", isNumber: true, value: pair => pair.low, show: pair => formatInterval(pair.low, pair.high, formatSigned)},
    {label: "p", isNumber: true, value: pair => pair.model_p, title: "after Holm's correction over these rows", show: pair => formatP(pair.model_p)},
    {label: "Answer", value: pair => pair.model_p >= 0.05 ? 1 : pair.difference > 0 ? 0 : 2,
      show: pair => pair.model_p >= 0.05 ? "not significant" : pair.difference > 0 ? "higher" : "lower"},
    {label: "Effect", isNumber: true, value: pair => pair.effect, show: pair => formatSigned(pair.effect, 2), title: "mean over the standard deviation of the users' differences"},
    {label: "Win / tie / loss", isNumber: true, value: pair => pair.wins, title: "percent of users", show: pair => [pair.wins, pair.ties, pair.losses].map(percent).join(" / ")},
  ];
  return makeTable({caption: `${dataset}: ${describeMetric(metric)} of ${model}, less that of other rows`, columns, rows: pairs, state: state.forest});
}

function drawDifference(cell, scale) {
  const picture = drawDumbbell(cell, scale);
  const zero = round(scale.x(0));
  picture.firstChild.textContent = `difference ${formatSigned(cell.ours)}`;
  picture.setAttribute("aria-label", picture.firstChild.textContent);
  picture.firstChild.after(svg("line", {class: "zero", x1: zero, x2: zero, y1: 0, y2: PLOT.height}));
  return picture;
}

function makeMatrix(dataset, data, metric, models, choose) {
  const greatest = Math.max(...[...getPairs(data, metric).values()].map(pair => Math.abs(pair.difference)));
  const makePairCell = (model, other) => {
    const pair = findPair(data, metric, model, other);
    if (!pair) return el("td", {class: "empty"}, model === other ? "" : NOTHING);
    const sign = pair.corrected >= 0.05 ? "unclear" : pair.difference > 0 ? "plus" : "minus";
    const text = formatSigned(1000 * pair.difference, 0);
    const title = `${model} − ${other}: ${formatSigned(pair.difference)}, p ${formatP(pair.corrected)}`;
    return el("td", {class: sign, style: `--share: ${(Math.abs(pair.difference) / greatest).toFixed(2)}`, title, click: () => choose(model, true)}, text);
  };
  const caption = `${dataset}: differences of ${describeMetric(metric)}, row − column`;
  const head = el("tr", {}, el("td"), models.map(other => el("th", {scope: "col", title: other}, el("span", {}, other))));
  const nameRow = model => el("button", {type: "button", class: "link", click: () => choose(model, true)}, model + (data.rows[model].incomparable ? " †" : ""));
  const rows = models.map(model => el("tr", {}, el("th", {scope: "row"}, nameRow(model)), models.map(other => makePairCell(model, other))));
  return wrapTable(caption, el("table", {class: "matrix"}, el("thead", {}, head), el("tbody", {}, rows)));
}
