// The panel's page. It draws what the server's stream says and asks for what its buttons do; text
// that comes from elsewhere is only ever set as text.
import { inEnglish } from "/frases.js";
import { palavras } from "/palavras.js";

const SERVICES = ["pedidos", "pagamentos", "estoque", "fiscal", "logistica", "catalogo"];
const CHAIN = SERVICES.slice(0, 5);
// Seconds of the charts: one point a second.
const HISTORY = 180;
// Products that are shown at once; others are found by searching.
const SHOWN = 100;
// Milliseconds without a word from the server after which it is said to be silent.
const SILENCE = 4000;
const COLOURS = ["#2563eb", "#dc2626", "#16a34a", "#d97706", "#7c3aed", "#0891b2"];
const $ = (selector) => document.querySelector(selector);

let language = localStorage.getItem("idioma") === "en" ? "en" : "pt";
let frame = null;
// Whether this page may act, or only look.
let allowed = false;
let basket = new Map();
// The basket's key, the same for each asking until the basket is another one; whether it is under way.
let basketKey = "", buying = false;
const changed = () => { basketKey = crypto.randomUUID(); };
let shelf = { produtos: [], clientes: [] };

// --- words --------------------------------------------------------------------------------------

const word = (key) => palavras[language][key] ?? key;
// What the server said.
const told = (text) => (language === "en" ? inEnglish(text) : text);
const number = (value, digits = 0) =>
  value.toLocaleString(language === "pt" ? "pt-BR" : "en", { maximumFractionDigits: digits });
const money = (cents) =>
  (cents / 100).toLocaleString(language === "pt" ? "pt-BR" : "en", { style: "currency", currency: "BRL" });

function speak() {
  document.documentElement.lang = language === "pt" ? "pt-BR" : "en";
  document.title = word("titulo");
  for (const element of document.querySelectorAll("[data-p]")) element.textContent = word(element.dataset.p);
  const other = $("#idioma");
  other.textContent = language === "pt" ? "English" : "Português";
  other.lang = language === "pt" ? "en" : "pt-BR";
  heads();
  drawBasket();
  drawShelf();
  if (frame) show(frame);
}

$("#idioma").addEventListener("click", () => {
  language = language === "pt" ? "en" : "pt";
  localStorage.setItem("idioma", language);
  charts.forEach((chart) => chart.remake());
  speak();
});

// --- elements -----------------------------------------------------------------------------------

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") element.textContent = value;
    else if (key === "click") element.addEventListener("click", value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") element.textContent = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// --- talking to the server ----------------------------------------------------------------------

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(word("quebrou"));
  }
  const said = await answer.json().catch(() => ({ erro: word("quebrou") }));
  if (!answer.ok) throw new Error(told(said.erro ?? answer.statusText));
  return said;
}

async function act(path, body = {}) {
  const problem = $("#problema");
  problem.hidden = true;
  try {
    return await ask(path, body);
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    return undefined;
  }
}

// --- the chain ----------------------------------------------------------------------------------

// Where the services stand, lying for a wide screen and standing for a narrow one.
const LYING = { box: "0 0 1020 300", places: { pedidos: [90, 90], pagamentos: [300, 90], estoque: [510, 90], fiscal: [720, 90], logistica: [930, 90], catalogo: [300, 235] } };
const STANDING = { box: "0 0 360 740", places: { catalogo: [90, 60], pedidos: [90, 185], pagamentos: [90, 310], estoque: [90, 435], fiscal: [90, 560], logistica: [90, 685] } };
const narrow = matchMedia("(max-width: 34rem)");

function drawChain() {
  const standing = narrow.matches, { box, places } = standing ? STANDING : LYING;
  const drawing = svg("svg", { viewBox: box, role: "img", "aria-labelledby": "t-cadeia", class: standing ? "em-pe" : "" });
  drawing.append(svg("defs", {}, svg("marker", { id: "seta", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
    svg("path", { d: "M0 0 8 4 0 8z", fill: "context-stroke" }))));
  const link = (from, to, dashed) => {
    const [x1, y1] = places[from], [x2, y2] = places[to];
    const length = Math.hypot(x2 - x1, y2 - y1), ux = (x2 - x1) / length, uy = (y2 - y1) / length;
    drawing.append(svg("line", { class: "elo", "stroke-width": 1.6, "marker-end": "url(#seta)", ...(dashed ? { "stroke-dasharray": "5 4" } : {}),
      x1: x1 + 46 * ux, y1: y1 + 46 * uy, x2: x2 - 48 * ux, y2: y2 - 48 * uy }));
  };
  for (let i = 1; i < CHAIN.length; i++) link(CHAIN[i - 1], CHAIN[i]);
  link("pedidos", "catalogo", true);
  for (const service of SERVICES) {
    const [x, y] = places[service];
    const label = service[0].toUpperCase() + service.slice(1);
    // Standing, the words are beside the circle.
    const at = (below, side) => (standing ? { x: x + 54, y: y + side } : { x, y: y + below, "text-anchor": "middle" });
    drawing.append(svg("g", { id: `no-${service}`, class: "down" },
      svg("circle", { class: "no", cx: x, cy: y, r: 24 }),
      svg("text", { class: "taxa", x, y: y + 5, "text-anchor": "middle" }),
      svg("text", { ...at(62, -4), text: label }),
      svg("text", { class: "menor latencia", ...at(79, 14) }),
      svg("text", { class: "menor saude-palavra", ...at(-50, 31) })));
  }
  $("#desenho").replaceChildren(drawing);
  if (frame) showChain(frame.now.services);
}

narrow.addEventListener("change", drawChain);

function showChain(services) {
  for (const service of SERVICES) {
    const now = services[service], node = $(`#no-${service}`);
    const hurt = now.health === "up" && (now.errors > 0 || (now.open_breakers ?? []).length > 0 || (now.lag ?? 0) > 250);
    node.setAttribute("class", hurt ? "morno" : now.health);
    // The area, not the radius, is what the eye compares.
    node.querySelector(".no").setAttribute("r", Math.min(44, 20 + 2.2 * Math.sqrt(now.in_flight ?? 0)));
    node.querySelector(".taxa").textContent = now.health === "up" ? number(now.rate ?? 0, now.rate < 10 ? 1 : 0) : "✕";
    node.querySelector(".latencia").textContent = now.p50 ? `${number(now.p50, now.p50 < 10 ? 1 : 0)} · ${number(now.p99, now.p99 < 10 ? 1 : 0)} ms` : "";
    node.querySelector(".saude-palavra").textContent = now.health === "up" ? "" : word(now.health);
  }
}

const COLUMNS = [
  ["situacao", (now) => word(now.health)], ["taxa", (now) => number(now.rate ?? 0, 1)], ["erro", (now) => number(now.errors ?? 0, 1)],
  ["p50", (now) => number(now.p50 ?? 0, 1)], ["p99", (now) => number(now.p99 ?? 0, 1)], ["maos", (now) => number(now.in_flight ?? 0)],
  ["fila", (now) => number(now.queue ?? 0)], ["lote", (now) => number(now.batch ?? 0, 1)], ["atrasolaco", (now) => number(now.lag ?? 0, 1)],
  ["cpu", (now) => `${number(100 * (now.cpu ?? 0))} %`], ["memoria", (now) => number(now.memory ?? 0)], ["disjuntor", (now) => (now.open_breakers ?? []).join(", ") || "–"],
];

function heads() {
  const head = $("#servicos thead tr");
  head.replaceChildren(make("th", { scope: "col", text: word("servico") }), ...COLUMNS.map(([key]) =>
    make("th", { scope: "col", text: key.startsWith("p") && key.length === 3 ? `${key} (ms)` : word(key) })));
  $("#regras thead tr").replaceChildren(...["regra", "c-titulo", "linhas", "violacoes"].map((key) => make("th", { scope: "col", text: word(key) })));
}

function showServices(services) {
  $("#servicos tbody").replaceChildren(...SERVICES.map((service) => {
    const now = services[service];
    const cells = COLUMNS.map(([key, told]) => make("td", key === "situacao" ? { class: `saude ${now.health}`, text: told(now) } : { text: told(now) }));
    return make("tr", {}, make("th", { scope: "row", text: service }), ...cells);
  }));
}

// --- over time ----------------------------------------------------------------------------------

class Chart {
  constructor(place) {
    this.place = place;
    this.times = [];
    this.series = new Map();
    this.plot = null;
    new ResizeObserver(() => this.plot?.setSize({ width: place.clientWidth, height: 240 })).observe(place);
  }

  add(time, values) {
    const known = this.series.size;
    for (const key of Object.keys(values)) if (!this.series.has(key)) this.series.set(key, this.times.map(() => null));
    this.times.push(time);
    for (const [key, points] of this.series) points.push(values[key] ?? null);
    if (this.times.length > HISTORY) {
      this.times.shift();
      for (const points of this.series.values()) points.shift();
    }
    if (known !== this.series.size || !this.plot) this.remake();
    else this.plot.setData([this.times, ...this.series.values()]);
    // Nobody points at an instant: the legend tells the last one.
    if (this.plot && this.plot.cursor.left < 0) this.plot.setLegend({ idx: this.times.length - 1 });
  }

  remake() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.times.length) return;
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--fraca").trim(), grid = style.getPropertyValue("--linha").trim();
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
    const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString(language === "pt" ? "pt-BR" : "en-GB");
    this.plot = new window.uPlot({
      width: this.place.clientWidth || 400, height: 240,
      series: [{ label: word("hora"), value: (_, seconds) => (seconds === null ? "–" : clock(seconds)) }, ...[...this.series.keys()].map((key, i) => ({ label: word(key), value: (_, value) => (value === null ? "–" : number(value, value < 10 ? 1 : 0)), stroke: COLOURS[i % COLOURS.length], width: 2, spanGaps: false, points: { show: false } }))],
      axes: [{ ...axis, space: 90, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 60, values: (_, ticks) => ticks.map((tick) => number(tick, 1)) }],
      scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.08] } },
      cursor: { drag: { x: false, y: false } },
    }, [this.times, ...this.series.values()], this.place);
  }
}

const charts = [new Chart($("#g-vazao")), new Chart($("#g-latencia"))];
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.remake()));

// --- the stream ---------------------------------------------------------------------------------

let lastPoint = 0, stocking = false;

// An arm that came back has a shop again, which may be another one.
async function restock(services) {
  if (stocking || shelf.produtos.length || services.catalogo.health !== "up" || services.pedidos.health !== "up") return;
  stocking = true;
  await stock();
  stocking = false;
}

function show(next) {
  frame = next;
  const { now, load, done } = next;
  const state = $("#estado");
  state.classList.toggle("ruim", !now.running);
  state.textContent = now.running ? `${now.mode}: ${word("executando")}${now.sentence ? `; ${told(now.sentence)}` : ""}` : told(now.sentence);
  showChain(now.services);
  showServices(now.services);
  if (now.running) restock(now.services);
  else if (shelf.produtos.length) {
    shelf = { produtos: [], clientes: [] };
    drawShelf();
    drawBasket();
  }
  const second = Math.floor(now.t);
  if (now.running && second !== lastPoint) {
    lastPoint = second;
    charts[0].add(second, now.outcomes);
    charts[1].add(second, Object.fromEntries(SERVICES.slice(0, 5).map((service) => [service, now.services[service].p99 || null])));
  }
  $("#parar").disabled = !load || !allowed;
  $("#carga button[type=submit]").disabled = Boolean(load) || !allowed;
  $("#carga-agora").textContent = load
    ? `${told(load.what)}: ${number(load.sent)} ${word("enviados")}, ${number(load.completed)} ${word("terminados")}, ${number(load.failed)} ${word("falhos")}` +
      (load.p50 === null ? "" : `; p50 ${number(load.p50, 1)} ms, p99 ${number(load.p99, 1)} ms`)
    : "";
  showDone(done);
}

let shownDone = "", heard = Date.now();

// A panel that hangs keeps its connection: silence, too, is said.
setInterval(() => {
  if (Date.now() - heard < SILENCE) return;
  $("#estado").textContent = word("quebrou");
  $("#estado").classList.add("ruim");
}, 1000);

function showDone(done) {
  const key = language + allowed + JSON.stringify(done);
  // Made anew only when something changed, so that a focused button keeps its focus.
  if (key === shownDone) return;
  shownDone = key;
  $("#feito").replaceChildren(...done.toReversed().map((each) => {
    const clock = new Date(each.t * 1000).toLocaleTimeString(language === "pt" ? "pt-BR" : "en");
    const item = make("li", { class: each.ended ? "acabou" : "" }, make("span", { text: `${clock} ${each.service ?? ""} ${told(each.what)}` }));
    if (each.undo && allowed) item.append(make("button", { type: "button", text: word("desfazer"), click: () => act("/desfazer", { id: each.id }) }));
    return item;
  }));
  $("#desfazer-tudo").disabled = !allowed || !done.some((each) => each.undo);
}

function listen() {
  const stream = new EventSource("/ao-vivo");
  stream.onmessage = (event) => {
    heard = Date.now();
    show(JSON.parse(event.data));
  };
  stream.addEventListener("permissao", (event) => {
    allowed = event.data === "true";
    $("#sem-chave").hidden = allowed;
    for (const button of document.querySelectorAll("[data-falha], #auditar")) button.disabled = !allowed;
    drawBasket();
    if (frame) show(frame);
  });
  stream.onerror = () => {
    const state = $("#estado");
    state.textContent = word("quebrou");
    state.classList.add("ruim");
    // The browser tries again by itself unless it was told that there is nothing.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
  };
}

// --- loads and faults ---------------------------------------------------------------------------

$("#carga").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.currentTarget, many = Number(form.quantos.value);
  act("/carga", form.tipo.value === "rate" ? { rate: many } : { callers: Math.round(many) });
});
$("#parar").addEventListener("click", () => act("/carga/fim"));
$("#desfazer-tudo").addEventListener("click", () => act("/desfazer", { id: 0 }));
for (const button of document.querySelectorAll("[data-falha]")) {
  button.addEventListener("click", () => {
    const form = $("#falha"), kind = button.dataset.falha;
    if ((kind === "slow" && !form.atraso.reportValidity()) || (kind === "errors" && !form.erros.reportValidity())) return;
    const amount = kind === "slow" ? Number(form.atraso.value) : kind === "errors" ? Number(form.erros.value) / 100 : 0;
    act("/falhas", { kind, service: form.servico.value, amount });
  });
}
$("#falha select").append(...SERVICES.map((service) => make("option", { value: service, text: service })));

// --- the shop -----------------------------------------------------------------------------------

async function stock() {
  try {
    shelf = await ask("/loja");
  } catch (error) {
    $("#comprado").textContent = error.message;
    return;
  }
  // What is not on this shelf is not bought.
  const sold = new Set(shelf.produtos.map((each) => each.id));
  for (const id of basket.keys()) if (!sold.has(id)) { basket.delete(id); changed(); }
  const customers = $("#compra").cliente, chosen = customers.value;
  customers.replaceChildren(...shelf.clientes.map((each) => make("option", { value: each.id, text: `${each.id}. ${each.nome}` })));
  if (chosen) customers.value = chosen;
  drawShelf();
}

function drawShelf() {
  const wanted = $("#procurar").value.trim().toLocaleLowerCase();
  const found = shelf.produtos.filter((each) => each.nome.toLocaleLowerCase().includes(wanted));
  $("#mais").textContent = found.length > SHOWN ? `${number(found.length - SHOWN)} ${word("mais")}` : "";
  $("#produtos").replaceChildren(...found.slice(0, SHOWN).map((each) =>
    make("li", {}, make("span", { text: each.nome }), make("span", { class: "preco", text: `${money(each.preco_centavos)} · ${number(each.estoque)} ${word("em-estoque")}` }),
      make("button", { type: "button", text: "+", "aria-label": `${word("por")}: ${each.nome}`, click: () => { basket.set(each.id, (basket.get(each.id) ?? 0) + 1); changed(); drawBasket(); } }))));
}

function drawBasket() {
  const list = $("#cesta");
  const chosen = shelf.produtos.filter((each) => basket.has(each.id));
  list.replaceChildren(...(chosen.length ? chosen.map((each) =>
    make("li", {}, make("span", { text: `${basket.get(each.id)} × ${each.nome}` }),
      make("button", { type: "button", text: "−", "aria-label": `${word("tirar")}: ${each.nome}`, click: () => {
        const left = basket.get(each.id) - 1;
        if (left) basket.set(each.id, left); else basket.delete(each.id);
        changed();
        drawBasket();
      } }))) : [make("li", { text: word("vazia") })]));
  const total = chosen.reduce((sum, each) => sum + each.preco_centavos * basket.get(each.id), 0);
  $("#total").textContent = chosen.length ? `${word("total")}: ${money(total)}` : "";
  $("#finalizar").disabled = !chosen.length || buying || !allowed;
}

$("#procurar").addEventListener("input", drawShelf);
$("#recarregar").addEventListener("click", stock);
$("#compra").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.currentTarget, said = $("#comprado");
  said.textContent = word("esperando");
  const bought = basket;
  buying = true;
  drawBasket();
  try {
    const answer = await ask("/pedidos", {
      cliente_id: Number(form.cliente.value), itens: [...bought], metodo_pagamento: form.metodo.value, chave: basketKey,
    });
    basket = new Map();
    changed();
    said.textContent = `${word("pedido")} ${answer.pedido.pedido_id}: ${answer.pedido.status}; ${word("levou")} ${number(answer.segundos, 2)} s`;
    await Promise.all([tell(answer.pedido.pedido_id), stock()]);
  } catch (error) {
    said.textContent = error.message;
  }
  buying = false;
  drawBasket();
});
$("#busca").addEventListener("submit", (event) => {
  event.preventDefault();
  tell(event.currentTarget.numero.value);
});

async function tell(id) {
  const article = $("#pedido");
  let story;
  try {
    story = await ask(`/pedidos/${encodeURIComponent(id)}`);
  } catch (error) {
    article.replaceChildren(make("p", { class: "aviso", role: "alert", text: error.message }));
    article.hidden = false;
    return;
  }
  const { order, bars } = story;
  const facts = [
    [word("status"), order.status], [word("motivo"), order.motivo], [word("valor"), money(order.valor_total_centavos)],
    [word("pagamento"), order.pagamento?.status], [word("nota"), order.nota_fiscal?.chave_acesso], [word("envio"), order.envio?.codigo_rastreamento],
    [word("rastro"), story.trace_id],
  ].filter(([, value]) => value);
  article.replaceChildren(
    make("h3", { text: `${word("pedido")} ${order.pedido_id}` }),
    make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })])),
    make("h3", { text: word("cascata") }), ...(bars.length ? waterfall(bars) : [make("p", { class: "dica", text: word("sem-cascata") })]),
    folded("logs", story.events.map(([when, service, text]) => `${when}  ${service}  ${text}`)), folded("fatos", story.facts, true), folded("linhasdelog", story.log));
  article.hidden = false;
  article.focus({ preventScroll: true });
}

function folded(key, lines, open = false) {
  return make("details", open ? { open: "" } : {}, make("summary", { text: `${word(key)} (${lines.length})` }), make("ul", { lang: "en" }, ...lines.map((line) => make("li", { text: line }))));
}

// The waterfall with its legend, and a choice: the payment's wait is most of an order's time, and
// everything else is seen only without it.
function waterfall(bars) {
  const place = make("div"), choice = make("input", { type: "checkbox" });
  const draw = () => place.replaceChildren(cascade(choice.checked ? without(bars, (bar) => bar.name === "gateway") : bars));
  choice.addEventListener("change", draw);
  draw();
  const legend = make("ul", { class: "legenda" }, ...["server", "banco", "gateway", "caminho", "erro"].map((kind) =>
    make("li", {}, svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("rect", { class: kind, width: 12, height: 12, rx: 2 })), word(`l-${kind}`))));
  return [legend, ...(bars.some((bar) => bar.name === "gateway") ? [make("label", { class: "escolha" }, choice, word("sem-gateway"))] : []), place];
}

// The bars on a clock that stands still during some of them, which are left out.
function without(bars, which) {
  const holes = bars.filter(which).map((bar) => [bar.start, bar.start + bar.length]);
  const shorter = (at) => at - holes.reduce((sum, [from, to]) => sum + Math.max(0, Math.min(at, to) - from), 0);
  return bars.filter((bar) => !which(bar)).map((bar) => {
    const start = shorter(bar.start);
    return { ...bar, start, length: shorter(bar.start + bar.length) - start };
  });
}

function cascade(bars) {
  const whole = Math.max(...bars.map((bar) => bar.start + bar.length), 0.001);
  return make("div", { class: "cascata" }, ...bars.map((bar) => {
    const kind = bar.error ? "erro" : bar.kind === "server" ? "server" : bar.name.startsWith("sqlite") ? "banco" : bar.name === "gateway" ? "gateway" : "caminho";
    const name = bar.kind === "server" ? bar.service : bar.name.startsWith("sqlite") ? word("banco") : bar.name === "gateway" ? "gateway" : word("caminho");
    const length = `${number(bar.length, bar.length < 10 ? 2 : 0)} ms`;
    const title = `${bar.service} ${bar.name}: ${length}`;
    const drawing = svg("svg", { viewBox: "0 0 1000 16", preserveAspectRatio: "none", role: "img", "aria-label": title },
      svg("title", { text: title }),
      svg("rect", { class: kind, x: (1000 * bar.start) / whole, width: Math.max((1000 * bar.length) / whole, 2), y: 2, height: 12, rx: 2 }));
    const label = make("span", { class: bar.missing ? "nome falta" : bar.kind === "server" ? "nome servico" : "nome", title, text: name + (bar.missing ? ` (${word("falta")})` : bar.error ? ` (${bar.error})` : "") });
    label.style.paddingInlineStart = `${0.7 * bar.depth}em`;
    return make("div", { class: "linha" }, label, drawing, make("span", { class: "quanto", text: length }));
  }));
}

// --- the audit ----------------------------------------------------------------------------------

$("#auditar").addEventListener("click", async (event) => {
  const button = event.currentTarget, verdict = $("#veredito");
  button.disabled = true;
  verdict.textContent = word("auditando");
  try {
    const report = await ask("/auditoria", {});
    const total = report.checks.reduce((sum, check) => sum + check.total, 0);
    verdict.textContent = total ? `${number(total)} ${word("violacoes")}` : word("limpa");
    verdict.className = total ? "aviso" : "saude up";
    $("#regras tbody").replaceChildren(...report.checks.map((check) => make("tr", {},
      make("td", { text: check.id }), make("td", { text: check.title }), make("td", { text: number(check.examined) }),
      make("td", { text: check.skipped ?? number(check.total) }))));
    $("#regras").hidden = false;
  } catch (error) {
    verdict.textContent = error.message;
    verdict.className = "aviso";
  }
  button.disabled = false;
});

drawChain();
speak();
$("#estado").textContent = word("ligando");
listen();
stock();
