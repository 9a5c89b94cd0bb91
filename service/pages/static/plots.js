// Draw the figures of a page with Plotly. A figure is data in the page: traces and a layout, in
// which the name of a colour begins with two dashes. Without this module the tables stand alone.

const style = () => getComputedStyle(document.documentElement);
const isDark = matchMedia("(prefers-color-scheme: dark)");

// Only values of colours are looked up: a text that begins with dashes stays a text.
function coloured(value, key = "") {
  if (Array.isArray(value)) return value.map((one) => coloured(one, key));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, k)]));
  }
  const isName = typeof value === "string" && /color/i.test(key) && /^--[a-z0-9-]+$/.test(value);
  return isName ? style().getPropertyValue(value).trim() : value;
}

function axis(given) {
  return {
    gridcolor: "--line", linecolor: "--line-strong", zerolinecolor: "--line",
    tickcolor: "--line-strong", tickfont: { color: "--muted", size: 12 }, ...given,
    title: { standoff: 12, font: { color: "--muted", size: 12.5 }, ...given.title },
  };
}

function layoutOf(given) {
  const axes = Object.keys(given).filter((name) => /^[xy]axis\d*$/.test(name));
  const own = Object.fromEntries(axes.map((name) => [name, axis(given[name])]));
  return coloured({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
    font: { family: style().getPropertyValue("--sans").trim(), size: 12.5, color: "--ink" },
    margin: { l: 56, r: 16, t: given.showlegend === false ? 12 : 28, b: 48 },
    hoverlabel: { bgcolor: "--card", bordercolor: "--line-strong", font: { color: "--ink" }, align: "left" },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: "--muted" } },
    ...given, ...own,
  });
}

const CONFIGURATION = {
  displaylogo: false, responsive: true, displayModeBar: false, doubleClick: "reset+autosize",
};

// A click on what stands for a run opens its page.
function follow(event) {
  const id = event.points[0]?.customdata;
  if (typeof id === "string" && /^[\w-]+$/.test(id)) location.assign(`/runs/${id}`);
}

async function draw(source) {
  const place = document.getElementById(source.dataset.plot);
  const figure = JSON.parse(source.textContent);
  place.hidden = false;
  await Plotly.react(place, coloured(figure.traces), layoutOf(figure.layout), CONFIGURATION);
  if (place.dataset.isDrawn) return;
  place.dataset.isDrawn = "yes";
  place.on("plotly_click", follow);
  document.querySelector(`[data-table="${source.dataset.plot}"]`)?.removeAttribute("open");
}

function drawAll() {
  for (const source of document.querySelectorAll("script[data-plot]")) draw(source);
}

drawAll();
isDark.addEventListener("change", drawAll);
