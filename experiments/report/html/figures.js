// The sections with charts.

const LETTERS = {dim: "d", hops: "hops", context_length: "s"};
const AXES = {dim: "embedding size d", hops: "hops", context_length: "context items s"};

const MIN_RANGE = 0.06; // of a panel, so that noise over users does not fill it

function unique(values) {
  return [...new Set(values)].sort((a, b) => a - b);
}

// --- hops and size ---

function showHops({dataset, data}) {
  const rows = readFrame(data.hops);
  if (!rows.length) return [say(`No records with other hops or sizes on ${dataset}.`)];
  const panels = [...new Set(rows.map(row => row.model))].flatMap(model => showGrid(dataset, rows.filter(row => row.model === model)));
  const columns = ["model", "metric", "hops", "dim", "context_length"].map(key => ({label: AXES[key] ?? key, value: row => row[key]}));
  columns.push({label: "mean", isNumber: true, value: row => row.mean, show: row => linkPoint(dataset, row)});
  columns.push({label: "spread", isNumber: true, value: row => row.spread, show: row => formatMetric(row.spread)});
  columns.push({label: "seeds", isNumber: true, value: row => row.seeds});
  return [
    ...panels, makeNumbers(`${dataset}: hops and size`, columns, rows),
    say(rows.some(row => row.seeds > 1) ? "Points are means over seeds, bars their standard deviation" : "Each point is one seed", "; under Numbers, select a mean to see how it was made. ", el("a", {href: "#claims"}, "The claims"), " say whether more hops help."),
  ];
}

/** Return a point's mean, which opens how the point was made. */
function linkPoint(dataset, row) {
  const size = ["hops", "dim", "context_length"].filter(key => row[key] !== null).map(key => `${LETTERS[key]} ${row[key]}`).join(", ");
  return linkDetails(`${row.model}, ${size}, on ${dataset}`, page.datasets[dataset].points[row.name], formatMetric(row.mean));
}

/** Show the grid of one model, at its usual context length; then the context lengths, where there are several. */
function showGrid(dataset, rows) {
  const lengths = rows.map(row => row.context_length);
  const count = length => lengths.filter(one => one === length).length;
  const usual = lengths.reduce((a, b) => count(b) > count(a) ? b : a);
  const isSame = (a, b) => a.dim === b.dim && a.hops === b.hops && a.metric === b.metric;
  const grid = rows.filter(row => row.context_length === usual);
  const varied = rows.filter(row => rows.some(other => isSame(row, other) && other.context_length !== row.context_length));
  const x = unique(grid.map(row => row.dim)).length >= unique(grid.map(row => row.hops)).length ? "dim" : "hops";
  return [[grid, x], [varied, "context_length"]].filter(([part]) => part.length)
    .flatMap(([part, axis]) => drawGrid(dataset, part, axis));
}

function drawGrid(dataset, rows, x) {
  const others = ["hops", "dim"].filter(axis => axis !== x);
  const name = row => others.map(axis => `${LETTERS[axis]} ${row[axis]}`).join(", ");
  const names = [...new Set([...rows].sort((a, b) => a.hops - b.hops || a.dim - b.dim).map(name))];
  const categories = unique(rows.map(row => row[x]));
  const panels = ["hit@10", "NDCG@10"].map(metric => {
    const part = rows.filter(row => row.metric === metric);
    const lines = names.map((one, number) => ({number, points: part.filter(row => name(row) === one)
      .sort((a, b) => a[x] - b[x]).map(row => [row[x], row.mean, row.spread])}));
    const yRange = findRange(part.flatMap(row => [row.mean - (row.spread || 0), row.mean + (row.spread || 0)]), 0.05, MIN_RANGE);
    return drawLines({title: `${rows[0].model} on ${dataset}: ${metric} by ${AXES[x]}`, lines, categories, yRange, xLabel: AXES[x], yLabel: metric, width: 340, height: 240});
  });
  return [makeLegend(names), el("div", {class: "panels wide"}, panels)];
}

// --- learning curves ---

function showCurves({dataset, data, isShown}) {
  const curves = data.curves.filter(curve => isShown(curve.model));
  if (!curves.length) return [say("No row that fits the choice was trained by epochs.")];
  const panels = el("div", {class: "panels"});
  const select = el("select", {change: draw}, el("option", {value: "validation"}, "validation NDCG@10"), el("option", {value: "loss"}, "training loss"));
  select.value = state.curve;

  function draw() {
    state.curve = select.value;
    const isLoss = state.curve === "loss";
    const models = [...new Set(curves.map(curve => curve.model))];
    const shared = findRange(curves.flatMap(curve => curve.validation));
    panels.replaceChildren(...models.map(model => {
      const seeds = curves.filter(curve => curve.model === model);
      const lines = seeds.map(curve => ({number: curve.seed, marked: [curve.best], points: curve.epoch.map((epoch, n) => [epoch, curve[state.curve][n]])}));
      const yRange = isLoss ? findRange(seeds.flatMap(curve => curve.loss)) : shared;
      return drawLines({title: model, lines, yRange, xLabel: "epoch", yLabel: isLoss ? "loss per positive" : "NDCG@10", width: 235, height: 170});
    }));
  }

  draw();
  const seeds = unique(curves.map(curve => curve.seed));
  return [
    el("p", {}, el("label", {}, `${dataset}: `, select)), makeLegend(seeds.map(seed => `seed ${seed}`)), panels,
    makeNumbers(`${dataset}: learning curves`, [
      {label: "Model", value: curve => curve.model}, {label: "Seed", isNumber: true, value: curve => curve.seed},
      {label: "Epochs", isNumber: true, value: curve => curve.epoch.length}, {label: "Kept epoch", isNumber: true, value: curve => curve.best},
      {label: "Highest validation NDCG@10", isNumber: true, value: curve => Math.max(...curve.validation), show: curve => formatMetric(Math.max(...curve.validation))},
      {label: "Last training loss", isNumber: true, value: curve => curve.loss.at(-1), show: curve => formatMetric(curve.loss.at(-1))},
    ], curves),
    say("The mark is the epoch that is kept, the best by validation NDCG@10."),
  ];
}

// --- speed and quality ---

function showSpeed({dataset, data, isShown}) {
  const rows = readFrame(data.speed).filter(row => isShown(row.model) && row.x > 0);
  if (!rows.length) return [say("No row that fits the choice has its seconds.")];
  const groups = [...new Set(Object.values(data.rows).map(row => row.group))];
  const points = rows.map(row => ({...row, name: row.model, number: groups.indexOf(data.rows[row.model].group)}));
  const width = Math.max(320, Math.min(760, document.querySelector("#speed").clientWidth));
  const columns = [
    {label: "Model", value: row => row.model, show: row => nameModel(dataset, row.model)},
    {label: "Seconds", isNumber: true, value: row => row.x, show: row => row.x.toLocaleString("en-US", {maximumSignificantDigits: 3})},
    {label: "NDCG@10", isNumber: true, value: row => row.y, show: row => formatMetric(row.y)},
  ];
  return [
    makeLegend(groups, false),
    drawScatter({title: `${dataset}: NDCG@10 and seconds to train`, points, xLabel: "seconds to train (log scale)", yLabel: "test NDCG@10, 100 sampled items", width}),
    makeNumbers(`${dataset}: speed and quality`, columns, rows),
    say("Seconds of the wall clock, with the choice of the epoch and with pre-trained parts. Means over seeds; bars are their standard deviation. Rows may come from different machines; each row's details name its own."),
  ];
}

// --- parts of the test items ---

function showStrata({dataset, data, compared: metric, isShown}) {
  const rows = readFrame(data.strata).filter(row => isShown(row.model) && row[metric] != null);
  if (!rows.length) return [say(`No row that fits the choice has its parts on ${dataset}.`)];
  const tables = [...new Set(rows.map(row => row.stratum))].map(stratum => {
    const part = rows.filter(row => row.stratum === stratum);
    const ranges = [...new Map(part.map(row => [row.range, row.instances]))];
    const models = [...new Set(part.map(row => row.model))];
    const values = new Map(part.map(row => [`${row.model}\n${row.range}`, row[metric]]));
    const value = (model, range) => values.get(`${model}\n${range}`) ?? null;
    const best = new Map(ranges.map(([range]) => [range, Math.max(...models.map(model => value(model, range)))]));
    const show = (model, range) => value(model, range) === best.get(range)
      ? el("strong", {}, formatMetric(value(model, range))) : formatMetric(value(model, range));
    const columns = [{label: "Model", value: model => model}, ...ranges.map(([range, instances]) => ({
      label: range, title: formatCount(instances, "test item"), isNumber: true, value: model => value(model, range), show: model => show(model, range)}))];
    return makeTable({caption: `${dataset}, ${describeMetric(metric)}, by ${stratum}`, columns, rows: models});
  });
  const yours = Object.entries(data.rows).filter(([model, row]) => row.group === "yours" && isShown(model)).map(([model]) => model);
  if (yours.length) tables.push(say(`Without parts here: ${yours.join(", ")}. \`sdmr compare by=[gap,popularity,history]\` makes them.`));
  return [...tables, say("Time gap: from the user's interaction before the test item to the test item. Popularity: the training users of the target. History: the training items of the user. Bold: the highest.")];
}

// --- attention ---

function showAttention() {
  if (!page.attention.length) return [say("Figure 7 has not been drawn: `sdmr figure name=figure7`.")];
  return page.attention.map(({user, target, hops, items}) => {
    const greatest = Math.max(...items.flatMap(item => item.weights));
    const showWeight = weight => el("td", {class: "weight", style: `--share: ${(weight / greatest).toFixed(2)}`}, weight.toFixed(3));
    const caption = `User ${user}, target ${target}: SDM's weight of each context item, the latest first`;
    const head = el("tr", {}, el("th", {scope: "col"}, "Context item"), hops.map(hop => el("th", {scope: "col", class: "number"}, `hop ${hop}`)));
    const rows = items.map(item => el("tr", {}, el("th", {scope: "row"}, item.label), item.weights.map(showWeight)));
    return wrapTable(caption, el("table", {class: "attention"}, el("thead", {}, head), el("tbody", {}, rows)));
  });
}
