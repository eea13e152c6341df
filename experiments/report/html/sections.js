// The sections of the page. Each function returns the content for a choice of data set, metric and rows.

const DIRECTIONS = {"yes": "✓", "in part": "◐", "opposite": "✗", "not shown": "○"};

const ORIGINS = {"tuned": "tuned on validation items", "default": "default", "": "those of the run"}; // of settings

/** Describe a metric in words. */
function describeMetric(metric) {
  const isAll = metric.endsWith(page.all);
  return `${isAll ? metric.slice(0, -page.all.length) : metric} among ${isAll ? "all items" : "100 sampled items"}`;
}

function say(...texts) {
  return el("p", {class: "note"}, texts);
}

// --- results ---

function showResults({dataset, data, metric, isShown}) {
  const hasValue = cell => cell.ours !== null || cell.paper !== null;
  const cells = readFrame(data.cells).filter(cell => cell.metric === metric && hasValue(cell) && isShown(cell.model));
  get("answer").replaceChildren();
  if (!cells.length) return [say("No row fits the choice.")];
  const scale = makePlotScale(cells);
  const delta = cell => cell.paper === null || cell.ours === null ? null : cell.ours - cell.paper;
  const isOutside = cell => ["paper lower", "paper higher"].includes(cell.verdict);
  const row = cell => data.rows[cell.model];
  const hasPaper = cells.some(cell => cell.paper !== null);
  const has = value => cells.some(cell => value(cell));
  const choices = [...new Set(cells.map(cell => row(cell).choice || ""))];
  const columns = [
    {label: "Model", value: cell => cell.model, show: cell => nameModel(dataset, cell.model)},
    {label: hasPaper ? "Paper ◇, ours ●" : "Ours ●", head: makePlotAxis(scale), isPlot: true, value: cell => cell.ours,
      show: cell => drawDumbbell(cell, scale)},
    {label: "Ours", isNumber: true, value: cell => cell.ours, title: "mean over seeds, ± their standard deviation",
      show: cell => cell.ours === null ? "not run" : linkRow(dataset, cell.model, formatMean(cell.ours, cell.spread))},
    {label: "95 % interval", isNumber: true, value: cell => cell.low, show: cell => formatInterval(cell.low, cell.high)},
    hasPaper && {label: "Paper", isNumber: true, value: cell => cell.paper, show: cell => formatMetric(cell.paper)},
    has(cell => delta(cell) !== null) && {label: "Δ", isNumber: true, value: delta, title: "ours − paper; °: the paper's value lies outside the interval for one new run",
      show: cell => formatSigned(delta(cell)) + (isOutside(cell) ? " °" : "")},
    has(cell => cell.marks) && {label: "Marks", value: cell => cell.marks, show: cell => cell.marks},
    {label: "Group", value: cell => row(cell).group},
    {label: "Seeds", isNumber: true, value: cell => cell.seeds || null},
    choices.length > 1 && {label: "Settings", value: cell => row(cell).choice || ""},
    has(cell => row(cell).search) && {label: "Trials", title: "those of the search, made of those planned; the model's details have more", value: cell => row(cell).search ? parseInt(row(cell).search, 10) : null, show: cell => (row(cell).search || "").split(",")[0]},
  ].filter(Boolean);
  const caption = `${dataset}, ${describeMetric(metric)}${choices.length > 1 ? "" : `; settings: ${ORIGINS[choices[0]]}`}`;
  const rowClass = cell => row(cell).group === "yours" ? "yours" : "";
  const shown = new Set(cells.map(cell => cell.model));
  const others = new Set(readFrame(data.cells).filter(cell => hasValue(cell) && isShown(cell.model) && !shown.has(cell.model)).map(cell => cell.model));
  get("answer").replaceChildren(...describeBest(cells, data, metric));
  return [
    makeKey(hasPaper),
    makeTable({caption, columns, rows: cells, state: state.results, rowClass}),
    others.size && say(`Without ${describeMetric(metric)}: ${[...others].join(", ")}.`),
    ...data.notes.map(note => say(note)),
  ].filter(Boolean);
}

/** Explain the marks of the plot. */
function makeKey(hasPaper) {
  const cell = {paper: hasPaper ? 0.15 : null, ours: 0.7, low: 0.6, high: 0.8, run_low: 0.45, run_high: 0.95};
  const picture = drawDumbbell(cell, {ticks: [], x: makeScale([0, 1], [0, 100])});
  picture.setAttribute("width", 100);
  picture.setAttribute("viewBox", `0 0 100 ${PLOT.height}`);
  picture.setAttribute("aria-hidden", "true");
  return el("p", {class: "key"}, picture, `${hasPaper ? "diamond: the paper's value; " : ""}disk: ours; thick: 95 % interval of our mean; thin: 95 % interval for one new run`);
}

/** Say which row is highest, and which are not significantly lower. */
function describeBest(cells, data, metric) {
  const run = cells.filter(cell => cell.ours !== null && !data.rows[cell.model].incomparable);
  if (!run.length) return ["No row has a value."];
  const best = run.reduce((a, b) => b.ours > a.ours ? b : a);
  const pairs = new Map(run.map(cell => [cell.model, findPair(data, metric, best.model, cell.model)]));
  const near = run.filter(cell => pairs.get(cell.model)?.corrected >= 0.05);
  const untested = run.filter(cell => cell !== best && !pairs.get(cell.model));
  const parts = ["Highest: ", el("strong", {}, best.model), ` with ${formatMetric(best.ours)}`];
  if (best.low !== null) parts.push(` (${formatInterval(best.low, best.high)})`);
  if (near.length) parts.push(`. Not significantly lower: ${near.map(cell => cell.model).join(", ")}`);
  if (!getPairs(data, metric).size) parts.push(". Differences are tested for hit@10 and NDCG@10 alone");
  else if (untested.length) parts.push(`. Not tested: ${untested.map(cell => cell.model).join(", ")}`);
  return [...parts, "."];
}

/** Return a model's name, which opens how its row was made, and why it is not comparable, if so. */
function nameModel(dataset, model) {
  const row = page.datasets[dataset].rows[model];
  if (!row.seeds) return model;
  const name = linkRow(dataset, model, model);
  return row.incomparable ? [name, el("span", {class: "warning"}, `not comparable: ${row.incomparable}`)] : [name];
}

// --- how a row was made ---

/** Return a text that opens how a row was made. */
function linkRow(dataset, model, text) {
  return linkDetails(`${model} on ${dataset}`, page.datasets[dataset].rows[model], text);
}

function linkDetails(title, row, text) {
  return el("button", {type: "button", class: "link", click: () => openDetails(title, describeRow(row))}, text);
}

function describeRow(row) {
  const facts = [
    ["Command", el("code", {class: "command"}, row.command)],
    row.incomparable && ["Not comparable", row.incomparable],
    row.choice !== undefined && ["Settings", `${ORIGINS[row.choice]}; listed below`],
    row.search && ["Search", row.search],
    row.marks?.length && ["Notes", el("ul", {class: "settings"}, row.marks.map(mark => el("li", {}, mark)))],
    ["Deviations", Object.keys(row.deviations).length ? listSettings(row.deviations) : "none from the default protocol"],
    ["Data", [el("code", {}, row.data), " sha256 of split and candidates"]],
    ["Source", [el("code", {}, row.source), " sha256 of the code that computes it"]],
    ["Machine", `${row.machine}, ${row.memory} MiB`],
    ["Class", el("code", {}, row.class)],
  ].filter(Boolean);
  const columns = [
    {label: "Seed", isNumber: true, value: seed => seed.seed},
    {label: "Run", value: seed => seed.run},
    {label: "Commit", value: seed => seed.commit},
    {label: "Best epoch", isNumber: true, value: seed => seed.best_epoch, show: seed => seed.epochs ? `${seed.best_epoch} of ${seed.epochs}` : NOTHING},
    {label: "Seconds", isNumber: true, value: seed => seed.seconds},
    {label: "Record", value: seed => seed.record},
  ];
  return [
    el("dl", {class: "facts"}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    makeTable({caption: "Runs", columns, rows: row.seeds}),
    el("h3", {}, "Settings"), listSettings(row.settings),
  ];
}

function listSettings(settings) {
  return el("ul", {class: "settings"}, Object.entries(settings).map(([key, value]) => el("li", {}, el("code", {}, `${key}=${value}`))));
}

// --- differences ---

/** Return the difference of two models, or nothing. The frame has each pair once. */
function findPair(data, metric, model, other) {
  const pair = getPairs(data, metric).get(`${model}\n${other}`);
  if (pair) return pair;
  const back = getPairs(data, metric).get(`${other}\n${model}`);
  return back && {...back, model, other, difference: -back.difference, low: -back.high, high: -back.low,
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
    say("A number is row − column in thousandths. Bold and shaded: p < .05 after Holm's correction."),
    say(`The p values of this metric are corrected together, over ${formatCount(getPairs(data, compared).size, "pair")}.`),
    say("Effect: the mean difference over the standard deviation of the users' differences. Win, tie and loss: percent of the users."),
  ];
}

function makeForest(dataset, data, metric, model, models) {
  const pairs = models.map(other => findPair(data, metric, model, other)).filter(Boolean);
  const cells = new Map(pairs.map(pair => [pair, {...pair, ours: pair.difference, paper: null}]));
  const scale = makePlotScale([...cells.values(), {paper: 0, run_low: null, run_high: null, ours: null}]);
  const percent = value => Math.round(100 * value);
  const columns = [
    {label: "Less that of", value: pair => pair.other},
    {label: "Difference", head: makePlotAxis(scale), isPlot: true, value: pair => pair.difference, show: pair => drawDifference(cells.get(pair), scale)},
    {label: "Mean", isNumber: true, value: pair => pair.difference, show: pair => formatSigned(pair.difference)},
    {label: "95 % interval", isNumber: true, value: pair => pair.low, show: pair => formatInterval(pair.low, pair.high, formatSigned)},
    {label: "p", isNumber: true, value: pair => pair.corrected, title: "after Holm's correction", show: pair => formatP(pair.corrected)},
    {label: "Answer", value: pair => pair.corrected >= 0.05 ? 1 : pair.difference > 0 ? 0 : 2,
      show: pair => pair.corrected >= 0.05 ? "not significant" : pair.difference > 0 ? "higher" : "lower"},
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
  const head = el("tr", {}, el("td"), models.map(other => el("th", {scope: "col"}, el("span", {}, other))));
  const nameRow = model => el("button", {type: "button", class: "link", click: () => choose(model, true)}, model);
  const rows = models.map(model => el("tr", {}, el("th", {scope: "row"}, nameRow(model)), models.map(other => makePairCell(model, other))));
  return wrapTable(caption, el("table", {class: "matrix"}, el("thead", {}, head), el("tbody", {}, rows)));
}

// --- claims ---

function showClaims() {
  const datasets = [...new Set(page.claims.flatMap(claim => Object.keys(claim.answers)))];
  if (!datasets.length) return [say("No claim can be tested with these records.")];
  const columns = [{label: "Claim", show: claim => claim.text}, ...datasets.map(dataset => ({label: dataset, show: claim => showAnswer(claim, dataset)}))];
  return [
    makeTable({caption: "The paper's claims, by data set: direction, then size", columns, rows: page.claims}),
    say("Select an answer to see its evidence. ✓ yes, ◐ in part, ○ not shown, ✗ opposite; then the size of the difference beside the printed one. Published records alone count."),
  ];
}

function showAnswer(claim, dataset) {
  const one = claim.answers[dataset];
  if (!one) return NOTHING;
  const style = `link answer-${one.direction.replace(" ", "-") || "value"}`;
  const symbol = DIRECTIONS[one.direction] ? [el("span", {class: "symbol", "aria-hidden": "true"}, DIRECTIONS[one.direction]), " "] : [];
  const evidence = [claim.rule && el("p", {}, `Rule: ${claim.rule}.`), el("ul", {class: "evidence"}, one.lines.map(line => el("li", {}, markCode(line))))];
  return el("button", {type: "button", class: style, click: () => openDetails(`${claim.text}: ${dataset}`, [el("p", {}, el("strong", {}, one.answer)), ...evidence].filter(Boolean))}, symbol, one.answer);
}

/** Return a text with what stands in backticks as code. */
function markCode(text) {
  return text.split("`").map((part, index) => index % 2 ? el("code", {}, part) : part);
}
