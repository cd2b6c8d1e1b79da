// The graph of who calls whom: callers on the left, what they call to the right of them.

/**
 * @typedef {{from: string, component: string, name: string, count: number, failed: number, ms: string}} Calls
 * @typedef {{from: string, to: string, count: number}} HandOff
 * @typedef {{key: string, name: string, component: string, count: number, failed: number, layer: number, x: number, y: number}} GraphNode
 * @typedef {{from: string, to: string, count: number, failed: number, isHandOff: boolean}} GraphEdge
 */

const MOST_EDGES = 60;
const NODE_WIDTH = 164;
const NODE_GAP = 44;

/** Make an element of a picture. @param {string} name @param {{[name: string]: string | number}} attributes @param {...(Node | string)} children */
function draw(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/**
 * Lay out who calls whom. The program is the caller of what runs outside of agents.
 * @param {Calls[]} calls
 * @param {HandOff[]} handOffs
 */
function layGraph(calls, handOffs) {
  /** @type {Map<string, GraphNode>} */
  const nodes = new Map();
  /** @param {string} component @param {string} name */
  const keyOf = (component, name) => {
    const key = `${component} ${name}`;
    if (!nodes.has(key)) nodes.set(key, { key, name, component, count: 0, failed: 0, layer: -1, x: 0, y: 0 });
    return key;
  };
  /** @param {string} name */
  const callerOf = (name) => (name ? keyOf("agent", name) : keyOf("program", "the program"));
  /** @type {GraphEdge[]} */
  const edges = [
    ...handOffs.map((each) => ({
      from: callerOf(each.from),
      to: callerOf(each.to),
      count: each.count,
      failed: 0,
      isHandOff: true,
    })),
    ...[...calls]
      .sort((a, b) => b.count - a.count)
      .slice(0, MOST_EDGES)
      .map((each) => ({
        from: callerOf(each.from),
        to: keyOf(each.component, each.name),
        count: each.count,
        failed: each.failed,
        isHandOff: false,
      })),
  ].filter((each) => each.from !== each.to);
  for (const edge of edges) {
    const called = /** @type {GraphNode} */ (nodes.get(edge.to));
    called.count += edge.count;
    called.failed += edge.failed;
  }
  // Breadth first from those that nothing calls; what is only in a circle begins at its first.
  const called = new Set(edges.map((each) => each.to));
  for (const start of [...[...nodes.keys()].filter((key) => !called.has(key)), ...nodes.keys()]) {
    const first = /** @type {GraphNode} */ (nodes.get(start));
    if (first.layer >= 0) continue;
    first.layer = 0;
    for (const queue = [first]; queue.length; ) {
      const node = /** @type {GraphNode} */ (queue.shift());
      for (const edge of edges) {
        const next = /** @type {GraphNode} */ (nodes.get(edge.to));
        if (edge.from !== node.key || next.layer >= 0) continue;
        next.layer = node.layer + 1;
        queue.push(next);
      }
    }
  }
  /** @type {GraphNode[][]} */
  const layers = [];
  for (const node of nodes.values()) (layers[node.layer] ??= []).push(node);
  const tallest = Math.max(0, ...layers.map((layer) => layer.length));
  layers.forEach((layer, index) => {
    /** Where a node should be: in the middle of those that call it. @param {GraphNode} node */
    const middle = (node) => {
      const above = edges.filter((each) => each.to === node.key).map((each) => nodes.get(each.from)?.y ?? 0);
      return above.reduce((a, b) => a + b, 0) / (above.length || 1);
    };
    // Those of a kind stay together: a column reads as agents, then models, then tools.
    layer.sort((a, b) => a.component.localeCompare(b.component) || middle(a) - middle(b));
    layer.forEach((node, place) => {
      node.x = index * (NODE_WIDTH + NODE_GAP) + 1;
      node.y = place * 32 + 1;
    });
  });
  return { nodes, edges, width: layers.length * (NODE_WIDTH + NODE_GAP) - NODE_GAP + 2, height: tallest * 32 };
}

/**
 * Draw who calls whom, and list it: wide lines are many calls, dashed ones are hand-offs.
 * @param {Calls[]} calls
 * @param {HandOff[]} handOffs
 */
function showGraph(calls, handOffs) {
  if (!calls.length && !handOffs.length) return [make("p.empty", {}, "No agent, model or tool was called.")];
  const { nodes, edges, width, height } = layGraph(calls, handOffs);
  const most = Math.max(...edges.map((each) => each.count), 1);
  const picture = draw("svg", {
    class: "graph",
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Graph of ${countOf(nodes.size, "node")} and ${countOf(edges.length, "edge")}; the table below has all`,
  });
  for (const edge of edges) {
    const [from, to] = /** @type {GraphNode[]} */ ([nodes.get(edge.from), nodes.get(edge.to)]);
    const isBack = to.layer <= from.layer;
    const [x1, y1] = [isBack && to.layer < from.layer ? from.x : from.x + NODE_WIDTH, from.y + 12];
    const [x2, y2] = [isBack ? to.x + NODE_WIDTH : to.x, to.y + 12];
    const bend = to.layer === from.layer ? 40 : (x2 - x1) / 2;
    const path = `M${x1} ${y1}C${x1 + bend} ${y1} ${to.layer === from.layer ? x2 + bend : x2 - bend} ${y2} ${x2} ${y2}`;
    const title = `${from.name} ${edge.isHandOff ? "hands over to" : "calls"} ${to.name} ${countOf(edge.count, "time")}${edge.failed ? `, ${formatCount(edge.failed)} failed` : ""}`;
    const line = draw("path", {
      class: edge.isHandOff ? "edge hand-off" : edge.failed ? "edge failed" : "edge",
      d: path,
      "stroke-width": (1 + 3 * Math.sqrt(edge.count / most)).toFixed(1),
    });
    line.append(draw("title", {}, oneLine(title, 200)));
    picture.append(line);
  }
  for (const node of nodes.values()) {
    const box = draw("g", { class: "node", "data-hue": hueOf(node.component) });
    box.append(
      draw("title", {}, oneLine(`${node.component} ${node.name}`, 200)),
      draw("rect", { x: node.x, y: node.y, width: NODE_WIDTH, height: 24, rx: 2 }),
      draw("text", { x: node.x + 6, y: node.y + 16 }, oneLine(node.name, 16)),
      draw(
        "text",
        { class: node.failed ? "amount failure" : "amount", x: node.x + NODE_WIDTH - 6, y: node.y + 16 },
        `${node.count ? formatCount(node.count) : ""}${node.failed ? ` ✕${formatCount(node.failed)}` : ""}`,
      ),
    );
    picture.append(box);
  }
  return [
    make("div.wide", { tabindex: 0, role: "region", "aria-label": "Graph" }, picture),
    make("p.note", {}, "A wide line: many calls. Dashed: a hand-off. ✕ and red: some failed."),
    calls.length > MOST_EDGES ? make("p.note", {}, `Only the ${MOST_EDGES} most frequent calls are drawn.`) : "",
    make(
      "details.fold",
      {},
      make("summary", {}, "As a table"),
      makeTableOf(
        ["from", "kind", "to", "count", "failed", "total"],
        ["count", "failed", "total"],
        [
          ...handOffs.map((each) => [
            oneLine(each.from || "the program", 60),
            "hands over to",
            oneLine(each.to, 60),
            formatCount(each.count),
          ]),
          ...calls.map((each) => [
            oneLine(each.from || "the program", 60),
            oneLine(each.component, 20),
            oneLine(each.name, 60),
            formatCount(each.count),
            each.failed ? `✕ ${formatCount(each.failed)}` : "",
            each.ms,
          ]),
        ],
      ),
    ),
  ];
}
