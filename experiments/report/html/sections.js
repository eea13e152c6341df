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
  const shown = new Set(cells.map(cell => cell.model));
  const others = new Set(readFrame(data.cells).filter(cell => hasValue(cell) && isShown(cell.model) && !shown.has(cell.model)).map(cell => cell.model));
  const missing = others.size && say(`Without ${describeMetric(metric)}: ${[...others].join(", ")}.`);
  if (!cells.length) return [missing || say("No row fits the choice.")];
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
    has(cell => cell.marks) && {label: "Marks", title: "g: against the best general baseline by validation, s: the best sequential one; explained at the end of the page", value: cell => cell.marks, show: cell => cell.marks},
    {label: "Group", value: cell => row(cell).group},
    {label: "Seeds", isNumber: true, value: cell => cell.seeds || null},
    choices.length > 1 && {label: "Settings", value: cell => row(cell).choice || ""},
    has(cell => row(cell).search) && {label: "Trials", title: "those of the search, made of those planned; the model's details have more", value: cell => row(cell).search ? parseInt(row(cell).search, 10) : null, show: cell => (row(cell).search || "").split(",")[0]},
  ].filter(Boolean);
  const caption = `${dataset}, ${describeMetric(metric)}${choices.length > 1 ? "" : `; settings: ${ORIGINS[choices[0]]}`}`;
  const rowClass = cell => row(cell).group === "yours" ? "yours" : "";
  get("answer").replaceChildren(...describeBest(cells, data, metric), ...describeOmitted(cells, others, data));
  return [
    makeKey(hasPaper),
    makeTable({caption, columns, rows: cells, state: state.results, rowClass}),
    missing,
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
  if (!run.length) return ["The rows below are not comparable with the others, so none is called the highest."];
  const best = run.reduce((a, b) => b.ours > a.ours ? b : a);
  const pairs = new Map(run.map(cell => [cell.model, findPair(data, metric, best.model, cell.model)]));
  const near = run.filter(cell => pairs.get(cell.model)?.model_p >= 0.05);
  const untested = run.filter(cell => cell !== best && !pairs.get(cell.model));
  const parts = ["Highest: ", el("strong", {}, best.model), ` with ${formatMetric(best.ours)}`];
  if (best.low !== null) parts.push(` (${formatInterval(best.low, best.high)})`);
  if (near.length) parts.push(`. Not significantly lower: ${near.map(cell => cell.model).join(", ")}`);
  if (run.length === 1) parts.push(", the only comparable row");
  else if (!getPairs(data, metric).size) parts.push(". Differences are tested for hit@10 and NDCG@10 alone");
  else if (untested.length) parts.push(`. Not tested: ${untested.map(cell => cell.model).join(", ")}`);
  return [...parts, "."];
}

/** Say how many rows the answer leaves out: those without the metric, and those that are not comparable. */
function describeOmitted(cells, others, data) {
  const excluded = cells.filter(cell => cell.ours !== null && data.rows[cell.model].incomparable).length;
  const parts = [others.size && `${formatCount(others.size, "row")} without this metric`, excluded && `${formatCount(excluded, "row")} marked as not comparable`].filter(Boolean);
  return parts.length ? [` Left out: ${parts.join(" and ")}.`] : [];
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
    ["Command of this version", el("code", {class: "command"}, row.command)],
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
    {label: "Commit", value: seed => seed.commit, title: "+: with uncommitted changes"},
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
