// The choice of data set, metric and rows, and what follows from it.

const get = id => document.getElementById(id);
const page = JSON.parse(get("data").textContent);
const state = {results: {column: "Ours", isDown: true}, forest: {}, model: null, curve: "validation"};
const SECTIONS = {
  results: showResults, differences: showDifferences, hops: showHops, curves: showCurves, speed: showSpeed, strata: showStrata,
};

function setOptions(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(option => el("option", {}, option)));
  select.value = options.includes(before) ? before : options[0];
}

/** Offer what the data set has. */
function updateFilters() {
  const data = page.datasets[get("dataset").value];
  const metrics = new Set(readFrame(data.cells).map(cell => cell.metric));
  const cutoffs = [...metrics].map(metric => /^hit@(\d+)$/.exec(metric)?.[1]).filter(Boolean);
  const hasAll = [...metrics].some(metric => metric.endsWith(page.all));
  const all = get("candidates").querySelector("[value=all]");
  all.disabled = !hasAll;
  all.textContent = hasAll ? "all items" : "all items (no records)";
  if (!hasAll) get("candidates").value = "sampled";
  if (!get("cutoff").options.length) {
    setOptions(get("cutoff"), cutoffs);
    get("cutoff").value = "10";
  }
  setOptions(get("group"), ["all", ...new Set(Object.values(data.rows).map(row => row.group))]);
  get("cutoff").disabled = get("metric").value === "MRR";
}

function readChoice() {
  const dataset = get("dataset").value;
  const data = page.datasets[dataset];
  const [name, group, find] = [get("metric").value, get("group").value, get("find").value.trim().toLowerCase()];
  const suffix = get("candidates").value === "all" ? page.all : "";
  return {
    dataset, data,
    metric: (name === "MRR" ? name : `${name}@${get("cutoff").value}`) + suffix,
    compared: `${name === "MRR" ? "NDCG" : name}@10${suffix}`, // what differences and parts have
    isShown: model => (group === "all" || data.rows[model].group === group) && model.toLowerCase().includes(find),
  };
}

function show() {
  updateFilters();
  const choice = readChoice();
  for (const [id, make] of Object.entries(SECTIONS)) get(id).querySelector(".content").replaceChildren(...make(choice));
}

function openDetails(title, content) {
  const dialog = get("details");
  get("details-title").textContent = title;
  dialog.querySelector(".content").replaceChildren(...content);
  dialog.showModal();
  dialog.scrollTop = 0;
}

/** Switch between light and dark. At first the page follows the system. */
function setTheme(theme) {
  document.documentElement.style.colorScheme = theme;
  get("theme").textContent = theme === "dark" ? "Light" : "Dark";
  get("theme").setAttribute("aria-label", `${get("theme").textContent} colors`);
}

const isDark = matchMedia("(prefers-color-scheme: dark)");
setTheme(isDark.matches ? "dark" : "light");
isDark.addEventListener("change", () => setTheme(isDark.matches ? "dark" : "light"));
get("theme").addEventListener("click", () => setTheme(document.documentElement.style.colorScheme === "dark" ? "light" : "dark"));

get("close").addEventListener("click", () => get("details").close());
get("details").addEventListener("click", event => event.target === get("details") && get("details").close());
get("origin").textContent = `Made by sdmr ${page.version} from ${formatCount(page.records, "record")}.`;

setOptions(get("dataset"), Object.keys(page.datasets));
get("filters").addEventListener("input", show);
get("filters").addEventListener("submit", event => event.preventDefault());
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) show();
  width = innerWidth;
});
get("claims").querySelector(".content").replaceChildren(...showClaims());
get("attention").querySelector(".content").replaceChildren(...showAttention());
show();
