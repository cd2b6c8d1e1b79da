// The summary: cost, tokens and time by model, tool and agent, slow operations, the growth of contexts, samples and stacks.

/**
 * @typedef {object} Group sums of the spans of one name
 * @property {string} name
 * @property {number} first the first span
 * @property {number} calls
 * @property {number} failed
 * @property {number} total microseconds
 * @property {number} self
 * @property {number} tokens
 * @property {number} cost
 */

/** Draw the summary when it is first shown. @param {Page} page */
function startSummary(page) {
  const pane = byId("pane-summary");
  page.watch(() => {
    if (page.state.tab === "summary" && !pane.childElementCount) pane.replaceChildren(...showSummary(page));
  });
}

/** @param {Page} page */
function showSummary(page) {
  const { table, trace } = page;
  const { samples, flame } = table.columns;
  return [
    make("h2", {}, outcomeText(trace)),
    make(
      "p.quiet",
      {},
      [
        oneLine(trace.title, 100),
        trace.started_at?.replace("T", " ").replace(/\.\d+\+00:00$/, " UTC"),
        `${countOf(trace.events, "event")} in ${countOf(trace.spans, "span")}`,
        page.facts.made_by,
      ]
        .filter(Boolean)
        .join(", "),
    ),
    ...showGroups(page, "Models", "llm"),
    ...showGroups(page, "Tools", "tool"),
    ...showGroups(page, "Agents", "agent"),
    ...showSlow(page),
    ...showContexts(page),
    ...showSamples(samples),
    ...(flame?.stacks.length ? [make("h3", {}, "Where the program was"), drawFlame(flame)] : []),
  ];
}

/** @param {Page} page @param {string} title @param {string} component */
function showGroups(page, title, component) {
  const { table } = page;
  /** @type {Map<number, Group>} */
  const groups = new Map();
  for (let row = 0; row < table.spans; row++) {
    if (textOf(table, table.component, row) !== component) continue;
    const name = table.name[row];
    const group = groups.get(name) ?? {
      name: textOf(table, table.name, row),
      first: row,
      calls: 0,
      failed: 0,
      total: 0,
      self: 0,
      tokens: 0,
      cost: 0,
    };
    group.calls++;
    group.failed += table.failed[row];
    group.total += Math.max(0, table.duration[row]);
    group.self += Math.max(0, table.self[row]);
    group.tokens += Math.max(0, tokensOf(table, row));
    group.cost += Math.max(0, table.cost[row]);
    groups.set(name, group);
  }
  if (!groups.size) return [];
  const sorted = [...groups.values()].sort((a, b) => b.cost - a.cost || b.total - a.total);
  return [
    make("h3", {}, title),
    makeTableOf(
      ["name", "calls", "failed", "total", "self", "tokens", "cost"],
      ["calls", "failed", "total", "self", "tokens", "cost"],
      sorted
        .slice(0, 30)
        .map((group) => [
          make("button.link", { onclick: () => selectItem(page, group.first) }, oneLine(group.name, 60)),
          formatCount(group.calls),
          group.failed ? `✕ ${formatCount(group.failed)}` : "",
          formatDuration(group.total),
          formatDuration(group.self),
          group.tokens ? formatCount(group.tokens) : "",
          group.cost ? formatMoney(group.cost) : "",
        ]),
    ),
  ];
}

/** @param {Page} page */
function showSlow(page) {
  const { table } = page;
  // The ten largest, kept in order: sorting all spans of a large trace would be felt.
  /** @type {number[]} */
  const slow = [];
  for (let row = 0; row < table.spans; row++) {
    if (table.self[row] <= 0) continue;
    if (slow.length === 10 && table.self[row] <= table.self[slow[9]]) continue;
    slow.splice(slow.findIndex((each) => table.self[each] < table.self[row]) >>> 0, 0, row);
    slow.length = Math.min(slow.length, 10);
  }
  if (!slow.length) return [];
  return [
    make("h3", {}, "Slowest by self time"),
    makeTableOf(
      ["event", "kind", "what", "self", "total"],
      ["self", "total"],
      slow.map((row) => [
        linkTo(page, table.number[row]),
        oneLine(textOf(table, table.component, row), 20),
        labelOf(table, row),
        formatDuration(table.self[row]),
        formatDuration(table.duration[row]),
      ]),
    ),
  ];
}

/** Show how the input of the model calls of each agent grew. @param {Page} page */
function showContexts(page) {
  const { table } = page;
  /** @type {Map<number, number[]>} */
  const calls = new Map();
  for (let row = 0; row < table.spans; row++) {
    if (table.input[row] < 0 || textOf(table, table.component, row) !== "llm") continue;
    calls.set(table.agent[row], [...(calls.get(table.agent[row]) ?? []), row]);
    if (calls.size > 200) break;
  }
  const grown = [...calls].filter(([, rows]) => rows.length > 1).slice(0, 12);
  if (!grown.length) return [];
  return [
    make("h3", {}, "Input tokens of each model call"),
    ...grown.map(([agent, rows]) =>
      make(
        "div",
        {},
        make("p.quiet", {}, agent >= 0 ? oneLine(textOf(table, table.name, agent), 60) : "outside of agents"),
        drawCurve(
          rows.map((row) => table.number[row]),
          rows.map((row) => table.input[row]),
          "tokens",
        ),
      ),
    ),
  ];
}

/**
 * Make a table without the columns that are empty; `amounts` are aligned to the right.
 * @param {string[]} head
 * @param {string[]} amounts
 * @param {Child[][]} rows
 */
function makeTableOf(head, amounts, rows) {
  const columns = head.map((_, column) => column).filter((column) => rows.some((row) => row[column]));
  /** @param {number} column */
  const classOf = (column) => ({ class: amounts.includes(head[column]) ? "amount" : null });
  return make(
    "table",
    {},
    make(
      "thead",
      {},
      make("tr", {}, ...columns.map((column) => make("th", { scope: "col", ...classOf(column) }, head[column]))),
    ),
    make(
      "tbody",
      {},
      ...rows.map((row) => make("tr", {}, ...columns.map((column) => make("td", classOf(column), row[column])))),
    ),
  );
}

/** Show the memory and the processor time of each process. @param {Columns["samples"]} samples */
function showSamples(samples) {
  if (!samples) return [];
  const shown = [];
  for (const process of [...new Set(samples.process)].slice(0, 8)) {
    const mine = samples.at
      .map((_, index) => index)
      .filter((index) => samples.process[index] === process && samples.at[index] >= 0);
    /** @type {[string, number[], string][]} */
    const curves = [
      ["Memory", samples.memory_mb, "MB"],
      ["CPU time", samples.cpu_ms, "ms"],
    ];
    for (const [title, values, unit] of curves) {
      const known = mine.filter((index) => values[index] >= 0);
      if (known.length < 2) continue;
      shown.push(make("h3", {}, `${title}, process ${oneLine(process, 40)}`));
      shown.push(
        drawCurve(
          known.map((index) => samples.at[index]),
          known.map((index) => values[index]),
          unit,
        ),
      );
    }
  }
  return shown;
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * Draw values over a line as a curve, with the first, the last and the largest beside it.
 * @param {number[]} at
 * @param {number[]} values
 * @param {string} unit
 */
function drawCurve(at, values, unit) {
  const most = values.reduce((a, b) => Math.max(a, b), 0) || 1;
  const [from, to] = [at[0], at[at.length - 1]];
  // More points than pixels add nothing.
  const step = Math.ceil(values.length / 600);
  const points = [];
  for (let index = 0; index < values.length; index += step)
    points.push(
      `${(((at[index] - from) / (to - from || 1)) * 598 + 1).toFixed(1)},${(59 - (values[index] / most) * 56).toFixed(1)}`,
    );
  const text = `${formatCount(values[0])} to ${formatCount(values[values.length - 1])} ${unit}, at most ${formatCount(most)}`;
  const picture = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({
    viewBox: "0 0 600 60",
    role: "img",
    "aria-label": text,
    class: "curve",
    preserveAspectRatio: "none",
  }))
    picture.setAttribute(name, value);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.join(" "));
  picture.append(line);
  return make("figure", {}, picture, make("figcaption", {}, text));
}

/**
 * Draw sampled stacks as a flame graph: wider is longer, callers above.
 * @param {{frames: string[], stacks: number[][], weights: number[]}} flame
 */
function drawFlame({ frames, stacks, weights }) {
  const box = make("div.flame", { role: "img", "aria-label": `Flame graph of ${countOf(stacks.length, "stack")}` });
  /** @typedef {{weight: number, children: Map<number, FlameNode>}} FlameNode */
  /** @type {FlameNode} */
  const root = { weight: 0, children: new Map() };
  stacks.forEach((stack, index) => {
    let node = root;
    node.weight += weights[index];
    for (const frame of stack) {
      const next = node.children.get(frame) ?? { weight: 0, children: new Map() };
      next.weight += weights[index];
      node.children.set(frame, next);
      node = next;
    }
  });
  let deepest = 0;
  /** @param {FlameNode} node @param {number} left @param {number} depth */
  const draw = (node, left, depth) => {
    for (const [frame, child] of [...node.children].sort((a, b) => b[1].weight - a[1].weight)) {
      const share = child.weight / (root.weight || 1);
      if (share >= 0.002) {
        const bar = make(
          "span",
          { title: `${printable(frames[frame], 200)}, ${(share * 100).toFixed(1)} %` },
          share > 0.03 ? oneLine(frames[frame], 80) : "",
        );
        Object.assign(bar.style, { left: `${left * 100}%`, width: `${share * 100}%`, top: `${depth * 18}px` });
        box.append(bar);
        deepest = Math.max(deepest, depth + 1);
        draw(child, left, depth + 1);
      }
      left += share;
    }
  };
  draw(root, 0, 0);
  box.style.height = `${deepest * 18}px`;
  return box;
}
