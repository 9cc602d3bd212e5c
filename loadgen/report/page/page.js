"use strict";
// Draws every figure from the data beside it. Without this script the tables remain.
const SYMBOLS = { circle: d3.symbolCircle, square: d3.symbolSquare, triangle: d3.symbolTriangle, diamond: d3.symbolDiamond };
const looks = JSON.parse(document.getElementById("looks").textContent);
const TEXT = { fontSize: "12px" };
const colour = (look) => `var(--look-${look})`;
const written = (value) => new Intl.NumberFormat("pt-BR", { maximumSignificantDigits: 3 }).format(value);
const ticked = (value) => new Intl.NumberFormat("pt-BR", { maximumSignificantDigits: 6 }).format(value);

// Ticks of a logarithmic scale: as many of each decade as there is room for.
function decades(values, room) {
  const least = d3.min(values), most = d3.max(values);
  const powers = d3.range(Math.floor(Math.log10(least)), Math.ceil(Math.log10(most)) + 1);
  const within = (steps) => powers.flatMap((power) => steps.map((step) => step * 10 ** power))
    .filter((tick) => tick >= least * 0.99 && tick <= most * 1.01);
  const choices = [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5], [1, 3], [1]].map(within);
  const chosen = choices.find((ticks) => ticks.length <= room) ?? choices.at(-1);
  return chosen.length < 2 ? choices[0] : chosen;
}

function scale(axis, values, room) {
  const positive = values.filter((value) => value != null && (!axis.log || value > 0));
  const ticks = axis.log ? decades(positive, room) : room;
  return { type: axis.log ? "log" : "linear", label: axis.label, labelArrow: "none", nice: !axis.log, grid: true, ticks, tickFormat: ticked };
}

function drawLines(chart, width, hidden) {
  const series = chart.series.filter((each) => !hidden.has(each.name));
  const data = series.flatMap((each) => each.points.map(([x, y, low, high]) => ({ x, y, low, high, name: each.name })));
  const known = data.filter((point) => point.y != null);
  const ranged = known.filter((point) => point.low != null && point.high != null);
  const tall = known.flatMap((point) => [point.y, point.low, point.high]);
  const marks = [Plot.frame({ anchor: "bottom", stroke: "currentColor" })];
  if (chart.bands.length) marks.push(Plot.rect(chart.bands, { x1: "begin", x2: "end", fill: (band) => band.light ? "#b08900" : "currentColor", fillOpacity: (band) => band.light ? 0.22 : 0.16 }),
    Plot.text(chart.bands, { x: (band) => (band.begin + band.end) / 2, text: (band) => band.label.replace(/ \(.*/, ""), frameAnchor: "top", dy: -12, fontSize: 11, fill: "currentColor" }));
  for (const each of series) {
    const look = looks[each.look];
    const points = data.filter((point) => point.name === each.name);
    const stroke = colour(each.look);
    if (each.joined) marks.push(Plot.line(points, { x: "x", y: "y", stroke, strokeWidth: chart.markers ? 2 : 1.5, strokeDasharray: look.dash.join(" ") || undefined }));
    marks.push(Plot.ruleX(ranged.filter((point) => point.name === each.name), { x: "x", y1: "low", y2: "high", stroke }));
    if (each.markers) marks.push(Plot.dot(points.filter((point) => point.y != null), { x: "x", y: "y", fill: stroke, symbol: look.symbol, r: 4 }));
  }
  const title = (point) => `${point.name}\n${chart.x.label}: ${written(point.x)}\n${chart.y.label}: ${written(point.y)}` +
    (point.low != null && point.high != null ? `\nintervalo de 95 %: ${written(point.low)} a ${written(point.high)}` : "");
  marks.push(Plot.tip(known, Plot.pointer({ x: "x", y: "y", title })));
  const y = scale(chart.y, tall, 6);
  if (!chart.y.log) { y.zero = true; }
  const plot = Plot.plot({
    width, height: Math.max(260, Math.min(400, width * 0.52)), marginLeft: 66, marginBottom: 44, marginTop: 28, style: TEXT,
    x: { ...scale(chart.x, known.map((point) => point.x), width < 500 ? 5 : 9), grid: false }, y, marks,
  });
  return { plot, points: known.map((point) => ({ x: plot.scale("x").apply(point.x), y: plot.scale("y").apply(point.y), text: title(point) })) };
}

function labelled(width, rows) {
  const margin = Math.min(d3.max(rows, (row) => row.length) * 7.2 + 12, width * 0.34);
  return { margin, axis: { lineWidth: (margin - 8) / 12, tickSize: 0, label: null } };
}

function drawBars(chart, width, hidden) {
  const data = chart.bars.filter((bar) => !hidden.has(bar.series));
  const { margin, axis } = labelled(width, chart.rows);
  const title = (bar) => `${bar.row}\n${bar.series}: ${written(bar.value)}` +
    (bar.low != null && bar.high != null ? `\nintervalo de 95 %: ${written(bar.low)} a ${written(bar.high)}` : "");
  const where = { fy: "row", y: "series" };
  const plot = Plot.plot({
    width, height: 70 + 22 * data.length + 12 * chart.rows.length, marginLeft: margin, marginBottom: 44, style: TEXT,
    x: { ...scale(chart.x, data.flatMap((bar) => [bar.value, bar.low, bar.high]), width < 500 ? 4 : 8), labelAnchor: "center" },
    y: { axis: null, domain: chart.parts.map(([name]) => name).filter((name) => !hidden.has(name)) },
    fy: { domain: chart.rows, label: null, padding: 0.12 },
    marks: [
      Plot.axisFy({ anchor: "left", ...axis, textAnchor: "end", fontSize: 12 }),
      ...chart.parts.map(([name, look]) => Plot.barX(data.filter((bar) => bar.series === name), { ...where, x: "value", fill: colour(look), fillOpacity: 0.85 })),
      Plot.ruleY(data.filter((bar) => bar.low != null && bar.high != null), { ...where, x1: "low", x2: "high", stroke: "currentColor", strokeWidth: 1.5 }),
      Plot.tip(data, Plot.pointer({ ...where, x: "value", title })),
    ],
  });
  return { plot, points: [] };
}

function drawSpans(chart, width, hidden) {
  const data = chart.spans.filter((span) => !hidden.has(span.part));
  const { margin, axis } = labelled(width, chart.rows);
  const title = (span) => `${span.row}\n${span.part}: ${written(span.end - span.begin)} (${written(span.begin)} a ${written(span.end)})\n${chart.x.label}`;
  const plot = Plot.plot({
    width, height: 62 + 34 * chart.rows.length, marginLeft: margin, marginBottom: 44, style: TEXT,
    x: { ...scale(chart.x, data.map((span) => span.end), width < 500 ? 4 : 8), labelAnchor: "center" },
    y: { domain: chart.rows, label: null, axis: null },
    marks: [
      Plot.axisY({ anchor: "left", ...axis, fontSize: 12 }),
      ...chart.parts.map(([name, look]) => Plot.barX(data.filter((span) => span.part === name), { y: "row", x1: "begin", x2: "end", fill: colour(look), fillOpacity: 0.9, insetTop: 3, insetBottom: 3 })),
      Plot.tip(data, Plot.pointer({ y: "row", x1: "begin", x2: "end", title })),
    ],
  });
  return { plot, points: [] };
}

const DRAWN = { Lines: drawLines, Bars: drawBars, Spans: drawSpans };

function sample(chart, look, series) {
  const svg = d3.create("svg").attr("width", 26).attr("height", 12).attr("aria-hidden", "true");
  const style = looks[look];
  if (chart.kind === "Lines") {
    if (series.joined) svg.append("line").attr("x2", 26).attr("y1", 6).attr("y2", 6).attr("stroke", colour(look)).attr("stroke-width", 2).attr("stroke-dasharray", style.dash.join(" ") || null);
    if (series.markers) svg.append("path").attr("transform", "translate(13,6)").attr("d", d3.symbol(SYMBOLS[style.symbol], 48)()).attr("fill", colour(look));
  } else svg.append("rect").attr("width", 18).attr("height", 11).attr("fill", colour(look));
  return svg.node();
}

function show(figure) {
  const chart = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".plot"), legend = figure.querySelector(".legend"), said = figure.querySelector(".said");
  const hidden = new Set();
  let drawn = 0, points = [], at = -1;
  const draw = () => {
    const width = Math.max(280, Math.floor(place.clientWidth));
    drawn = width; at = -1;
    const made = DRAWN[chart.kind](chart, width, hidden);
    points = made.points;
    place.replaceChildren(made.plot);
  };
  for (const [name, look] of chart.parts) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(sample(chart, look, chart.series?.find((each) => each.name === name)), name);
    button.addEventListener("click", () => {
      if (!hidden.delete(name)) hidden.add(name);
      // A chart of nothing has no scale: the last one shown stays.
      if (hidden.size === chart.parts.length) hidden.delete(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      draw();
    });
    legend.append(button);
  }
  // The arrows go from point to point, as a pointer would.
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || !points.length) return;
    event.preventDefault();
    at = (at + step + points.length) % points.length;
    const svg = place.querySelector("svg"), box = svg.getBoundingClientRect(), ratio = box.width / drawn;
    const point = { clientX: box.left + points[at].x * ratio, clientY: box.top + points[at].y * ratio, bubbles: true, pointerType: "mouse" };
    for (const kind of ["pointerenter", "pointermove"]) svg.dispatchEvent(new PointerEvent(kind, point));
    said.textContent = points[at].text;
  });
  draw();
  new ResizeObserver(() => { if (Math.abs(place.clientWidth - drawn) > 4 && place.clientWidth > 0) draw(); }).observe(place);
}

document.querySelectorAll("figure[data-chart]").forEach(show);
