// Draws what the page's own data block has. Colours come from the style sheet, and follow the theme.
"use strict";

(() => {
  const held = document.getElementById("lsp-drawn");
  if (!held || !window.Chart) return;
  const page = document.documentElement;
  const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
  const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const colour = (name) => getComputedStyle(page).getPropertyValue(name).trim();
  const told = (value, unit) => (value === null ? "no data" : plain.format(value) + (unit ? ` ${unit}` : ""));

  const dataset = (series, spec) => ({
    label: series.name,
    data: series.values,
    tone: series.tone,
    borderWidth: spec.kind === "line" ? 2 : 0,
    borderRadius: spec.kind === "bar" && !spec.stacked ? 2 : 0,
    maxBarThickness: 28,
    pointRadius: spec.labels.length > 45 ? 1.5 : 3,
    pointHoverRadius: 5,
    spanGaps: false,
  });

  const paint = (chart) => {
    for (const each of chart.data.datasets) each.backgroundColor = each.borderColor = colour(`--lsp-${each.tone}`);
    const words = colour("--body-quiet-color");
    for (const scale of Object.values(chart.options.scales)) {
      scale.ticks.color = words;
      if (scale.title) scale.title.color = words;
      scale.grid.color = scale.border.color = colour("--lsp-grid");
    }
    chart.options.plugins.legend.labels.color = colour("--body-fg");
    chart.update();
  };

  const options = (spec) => ({
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "index", intersect: false },
    scales: {
      x: {
        stacked: spec.stacked,
        grid: { display: false },
        border: {},
        ticks: { maxRotation: 0, autoSkipPadding: 14 },
      },
      y: {
        stacked: spec.stacked,
        beginAtZero: true,
        grid: {},
        border: { display: false },
        ticks: { maxTicksLimit: 6, precision: spec.unit === "min" ? undefined : 0, callback: (value) => short.format(value) },
        title: { display: true, text: spec.axis },
      },
    },
    plugins: {
      colors: { enabled: false },
      legend: {
        display: spec.series.length > 1,
        position: "bottom",
        labels: { boxWidth: 12, boxHeight: 12, usePointStyle: spec.kind === "line", pointStyle: "line" },
      },
      tooltip: {
        callbacks: {
          title: (items) => (items.length ? spec.whole[items[0].dataIndex] : ""),
          label: (item) => ` ${item.dataset.label}: ${told(item.raw, spec.unit)}`,
        },
      },
    },
  });

  // Keys go from slot to slot; what the pointer would show is shown, and said.
  const walk = (chart, spec, canvas) => {
    const said = canvas.closest("section").querySelector(".lsp-said");
    const last = spec.labels.length - 1;
    let at = -1;
    const leave = () => {
      at = -1;
      chart.setActiveElements([]);
      chart.tooltip.setActiveElements([], { x: 0, y: 0 });
      chart.update("none");
      said.textContent = "";
    };
    const go = (to) => {
      at = Math.min(last, Math.max(0, to));
      const active = spec.series.map((_, datasetIndex) => ({ datasetIndex, index: at }));
      chart.setActiveElements(active);
      chart.tooltip.setActiveElements(active, { x: 0, y: 0 });
      chart.update("none");
      said.textContent = `${spec.whole[at]}: ${spec.series.map((s) => `${s.name} ${told(s.values[at], spec.unit)}`).join(", ")}`;
    };
    const keys = {
      ArrowRight: () => go(at + 1),
      ArrowLeft: () => go(at < 0 ? last : at - 1),
      Home: () => go(0),
      End: () => go(last),
      Escape: leave,
    };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    canvas.addEventListener("blur", leave);
  };

  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = 12;
  const charts = JSON.parse(held.textContent).map((spec) => {
    const canvas = document.getElementById(`chart-${spec.name}`);
    const data = { labels: spec.labels, datasets: spec.series.map((series) => dataset(series, spec)) };
    const chart = new Chart(canvas, { type: spec.kind, data, options: options(spec) });
    walk(chart, spec, canvas);
    paint(chart);
    return chart;
  });

  const repaint = () => charts.forEach(paint);
  new MutationObserver(repaint).observe(page, { attributes: true, attributeFilter: ["data-theme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
})();
