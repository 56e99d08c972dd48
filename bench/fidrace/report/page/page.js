"use strict";
// Draws the charts from the packed JSON in the reader's theme; hiding, sliders, downloads.
(async () => {
  const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (one) => one.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(unpacked).text());
  const shown = {}; // by chart: the name of its variant
  const logs = {}; // by chart: the axes that the reader switched, and to what
  const hidden = new Set(); // methods
  const INK = "#000000"; // stands for the theme's text colour in the figures

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function inked(value) {
    if (typeof value === "string") {
      const said = value.slice(0, INK.length); // what follows is how opaque it is
      const there = said === INK ? colour("--ink") : isDark() ? data.on_dark[said] : undefined;
      return there ? there + value.slice(INK.length) : value;
    }
    if (Array.isArray(value)) return typeof value[0] === "object" && value[0] ? value.map(inked) : value;
    if (!value || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inked(one)]));
  }

  function draw(name) {
    const figure = data.charts[name][shown[name]];
    const traces = figure.data.map((trace) => ({ ...inked(trace), visible: !hidden.has(trace.legendgroup) }));
    const layout = inked(figure.layout);
    const axis = { gridcolor: colour("--rule"), zerolinecolor: colour("--rule"), automargin: true };
    for (const key of Object.keys(layout).filter((one) => /axis/.test(one))) {
      layout[key] = { ...axis, ...layout[key] };
      if (logs[name] && key in logs[name]) layout[key].type = logs[name][key] ? "log" : "linear";
    }
    for (const note of layout.annotations || []) {
      for (const at of ["x", "y"]) {
        const was = figure.layout[at + "axis"].type === "log", is = layout[at + "axis"].type === "log";
        if (note[at + "ref"] !== "paper" && was !== is) note[at] = is ? Math.log10(note[at]) : 10 ** note[at];
      }
    }
    Plotly.react(
      name,
      traces,
      {
        margin: { l: 56, r: 12, t: 20, b: 44 },
        ...layout,
        showlegend: false,
        hovermode: "closest",
        hoverlabel: { namelength: -1 },
        font: { family: "system-ui, sans-serif", color: colour("--ink") },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
      },
      { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] },
    );
  }

  const drawAll = () => Object.keys(data.charts).forEach(draw);

  function show(name, variant) {
    shown[name] = variant;
    draw(name);
  }

  for (const [name, variants] of Object.entries(data.charts))
    shown[name] = Object.keys(variants).at(["density", "weight"].includes(name) ? -1 : 0); // where the slider stands

  for (const button of every("button[data-variant]"))
    button.addEventListener("click", () => {
      for (const other of every(`button[data-chart="${button.dataset.chart}"][data-variant]`))
        other.setAttribute("aria-pressed", String(other === button));
      show(button.dataset.chart, button.dataset.variant);
    });

  for (const select of every("select[data-chart]"))
    select.addEventListener("change", () => show(select.dataset.chart, select.value));

  for (const box of every("input[data-log]"))
    box.addEventListener("change", () => {
      const name = box.dataset.chart;
      logs[name] = { ...logs[name], [box.dataset.log]: box.checked };
      draw(name);
    });

  for (const button of every("#methods button"))
    button.addEventListener("click", () => {
      const method = button.dataset.method;
      if (!hidden.delete(method)) hidden.add(method);
      button.setAttribute("aria-pressed", String(!hidden.has(method)));
      for (const figure of every("figure[data-method]")) figure.hidden = hidden.has(figure.dataset.method);
      drawAll();
    });

  const progress = document.getElementById("progress");
  progress?.addEventListener("input", () => {
    const at = Object.keys(data.charts.density)[progress.value];
    document.getElementById("moment").textContent = at;
    show("density", at);
    show("weight", at);
  });

  const film = document.getElementById("film");
  function roll() {
    const iteration = data.film.iterations[film.value];
    document.getElementById("frame").textContent = iteration;
    for (const figure of every("figure[data-method]")) {
      const frame = data.film.frames[figure.dataset.method][film.value], image = figure.querySelector("img");
      if (frame) image.src = frame;
      else image.removeAttribute("src");
      image.alt = `samples of ${figure.dataset.method} at iteration ${iteration}` + (frame ? "" : ": none");
    }
  }
  film?.addEventListener("input", roll);
  if (film) roll();

  for (const button of every("button[data-file]"))
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([data.files[button.dataset.file]], { type: "text/csv" }));
      link.download = button.dataset.file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.getElementById("theme").addEventListener("click", drawAll); // after common.js has changed it

  // Paper is white and narrow, whatever the screen.
  let theme;
  addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    drawAll();
    for (const chart of every(".chart")) Plotly.relayout(chart, { width: 680, height: 380 });
  });
  addEventListener("afterprint", () => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    for (const chart of every(".chart")) Plotly.relayout(chart, { width: null, height: null, autosize: true });
    drawAll();
  });

  drawAll();
  document.documentElement.dataset.drawn = "yes";
})();
