/** Draws the credits of each day of a month. The table below the chart has the same numbers. */

/** Chart.js's UMD build, loaded by a script tag before this module. */
const Chart = /** @type {typeof import("chart.js/auto").default} */ (/** @type {any} */ (globalThis).Chart);

/**
 * @typedef {object} Plot
 * @property {string[]} days
 * @property {number[]} credits
 * @property {number[]} wasted  credits spent in unattended time
 * @property {{ credits: string, wasted: string }} words
 */

/** @param {HTMLCanvasElement} canvas */
function draw(canvas) {
  /** @type {Plot} */
  const { days, credits, wasted, words } = JSON.parse(
    document.getElementById(canvas.dataset.days ?? "")?.textContent ?? "",
  );
  const style = getComputedStyle(canvas);
  const [ink, line, accent, bad] = ["--ink-2", "--line", "--accent", "--bad"].map((name) =>
    colour(canvas, style.getPropertyValue(name)),
  );
  const axis = { grid: { color: line }, ticks: { color: ink }, stacked: true };
  const bars = [
    { label: words.credits, data: credits, backgroundColor: accent },
    { label: words.wasted, data: wasted, backgroundColor: bad },
  ];
  return new Chart(canvas, {
    type: "bar",
    data: { labels: days, datasets: bars },
    options: {
      locale: document.documentElement.lang,
      animation: false,
      maintainAspectRatio: false,
      scales: { x: axis, y: { ...axis, beginAtZero: true } },
      plugins: { legend: { labels: { color: ink } } },
    },
  });
}

/**
 * Resolve a colour token in the current theme; canvas does not support `light-dark()`.
 *
 * @param {Element} beside
 * @param {string} token
 */
function colour(beside, token) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.style.color = token;
  beside.parentElement?.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

for (const canvas of document.querySelectorAll("canvas[data-days]")) {
  if (!(canvas instanceof HTMLCanvasElement)) continue;
  let chart = draw(canvas);
  const again = () => {
    chart.destroy();
    chart = draw(canvas);
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  new MutationObserver(again).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
