// Commands: one table for the keys, the command list and the help.

/**
 * @typedef {object} Command
 * @property {string} key as it is shown; empty: none
 * @property {string} label
 * @property {() => void} run
 */

/**
 * Return the event after or before the selected one that passes.
 * @param {Page} page
 * @param {1 | -1} step
 * @param {(item: number) => boolean} passes
 */
function nextItem({ table, state }, step, passes) {
  let best = -1;
  for (let item = 0; item < table.items; item++) {
    const away = (table.number[item] - (state.item < 0 ? 0 : table.number[state.item])) * step;
    if (away > 0 && passes(item) && (best < 0 || (table.number[item] - table.number[best]) * step < 0)) best = item;
  }
  return best;
}

/**
 * Return the commands of the page.
 * @param {Page} page
 * @param {Timeline} timeline
 * @returns {Command[]}
 */
function listCommands(page, timeline) {
  const { table, state, trace } = page;
  /** @param {number} item */
  const go = (item) => {
    if (item >= 0) selectItem(page, item);
    else announce("There is none in this direction");
  };
  /** @param {number} item */
  const isListed = (item) => (state.allEvents || !table.quiet[item]) && (!state.passes || state.passes[item] === 1);
  /** @param {number} item */
  const isBeside = (item) => isListed(item) && (state.item < 0 || table.parent[item] === table.parent[state.item]);
  /** @param {1 | -1} step The span after this one at its level; after the last, the one after the span around, as in the debugger. */
  const next = (step) => {
    const beside = nextItem(page, step, isBeside);
    if (beside >= 0 || state.item < 0) return go(beside);
    const above = table.parent[state.item];
    if (step < 0) return go(above);
    go(
      nextItem(
        page,
        1,
        (item) => isListed(item) && (above < 0 || table.position[item] >= table.position[above] + table.size[above]),
      ),
    );
  };
  const down = () => go(nextItem(page, 1, (item) => table.parent[item] === state.item && isListed(item)));
  let finding = 0;
  /** @param {1 | -1} step */
  const toFinding = (step) => {
    const events = trace.findings.map((each) => each.events?.[0] ?? 0).filter(Boolean);
    if (!events.length) return announce("There is no finding");
    const isAt = table.itemOf[events[finding]] === state.item;
    if (isAt) finding = (finding + step + events.length) % events.length;
    selectEvent(page, events[finding]);
  };
  /** @param {string} tab */
  const show = (tab) => () => {
    page.change({ tab });
    requestAnimationFrame(() => page.focusPane());
  };
  return [
    { key: "n", label: "Next span at this level", run: () => next(1) },
    { key: "N", label: "Previous span at this level", run: () => next(-1) },
    { key: "s", label: "Step to the next span", run: () => go(nextItem(page, 1, isListed)) },
    { key: "S", label: "Step back", run: () => go(nextItem(page, -1, isListed)) },
    { key: "u", label: "Up to the span around", run: () => go(state.item < 0 ? -1 : table.parent[state.item]) },
    { key: "U", label: "Down to the first span inside", run: down },
    { key: "e", label: "Next failure", run: () => go(nextItem(page, 1, (item) => table.failed[item] === 1)) },
    { key: "E", label: "Previous failure", run: () => go(nextItem(page, -1, (item) => table.failed[item] === 1)) },
    { key: "f", label: "Next finding", run: () => toFinding(1) },
    { key: "F", label: "Previous finding", run: () => toFinding(-1) },
    { key: "x", label: "Failures only", run: () => byId("chip-failures").click() },
    { key: "a", label: "All events", run: () => byId("chip-all").click() },
    {
      key: "/",
      label: "Filter",
      run: () => {
        page.change({ tab: "tree" });
        // At once for keys that follow quickly, and again where the panes are tabs, of which the next frame shows this one.
        byId("search").focus();
        requestAnimationFrame(() => byId("search").focus());
      },
    },
    ...(page.facts.live ? [{ key: "l", label: "Follow the run", run: () => followEnd(page) }] : []),
    {
      key: "Ctrl K",
      label: "Commands",
      run: () => openCommands(listCommands(page, timeline), (text) => findEvents(page, text)),
    },
    { key: "?", label: "Help", run: () => openHelp(listCommands(page, timeline), helpOfTrace(page)) },
    { key: "c", label: "Copy the selected event as JSON", run: () => void copyEvent(page, null) },
    {
      key: "y",
      label: "Copy the command that shows it in a terminal",
      run: () => void copyText(commandFor(page), null),
    },
    { key: "z", label: "Zoom the timeline to the selected span", run: () => timeline.showItem(state.item) },
    { key: "+", label: "Zoom in", run: () => timeline.zoom(0.5) },
    { key: "-", label: "Zoom out", run: () => timeline.zoom(2) },
    { key: "0", label: "Show the whole run in the timeline", run: () => timeline.show(0, timeline.length) },
    ...TABS.map(([tab, label], index) => ({ key: String(index + 1), label: `Show: ${label}`, run: show(tab) })),
    {
      key: "",
      label: "Collapse all spans",
      run: () =>
        page.change({ collapsed: new Set([...Array(table.spans).keys()].filter((row) => table.size[row] > 1)) }),
    },
    { key: "", label: "Expand all spans", run: () => page.change({ collapsed: new Set() }) },
  ];
}

/** Listen to the keys of the page of a trace. @param {Page} page @param {Timeline} timeline */
function startKeys(page, timeline) {
  listenToKeys(listCommands(page, timeline), () => page.state.path && page.change({ path: null }));
}

/**
 * Listen to the keys of commands.
 * @param {Command[]} commands
 * @param {() => void} leave what Escape does
 */
function listenToKeys(commands, leave) {
  const byKey = new Map(commands.filter((command) => command.key).map((command) => [command.key, command]));
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      return byKey.get("Ctrl K")?.run();
    }
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, textarea, dialog[open]")) return;
    if (event.key === "Escape") return leave();
    const command = byKey.get(event.key);
    if (!command) return;
    event.preventDefault();
    command.run();
  });
  byId("open-commands").addEventListener("click", () => byKey.get("Ctrl K")?.run());
  byId("open-help").addEventListener("click", () => byKey.get("?")?.run());
}

/**
 * Show what a list of commands, an event number or a name leads to.
 * @param {Command[]} commands
 * @param {(text: string) => Command[]} findMore
 */
function openCommands(commands, findMore) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("commands"));
  const input = /** @type {HTMLInputElement} */ (byId("command-input"));
  const list = byId("command-list");
  /** @type {Command[]} */
  let matches = [];
  let at = 0;
  const draw = () => {
    list.replaceChildren(
      ...matches.map((command, index) =>
        make(
          "li",
          { role: "option", id: `command-${index}`, "aria-selected": String(index === at), onclick: () => run(index) },
          command.label,
          command.key ? make("kbd", {}, command.key) : null,
        ),
      ),
    );
    if (matches.length) input.setAttribute("aria-activedescendant", `command-${at}`);
    else input.removeAttribute("aria-activedescendant");
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  const find = () => {
    const text = input.value.trim().toLowerCase();
    matches = [...findMore(text), ...commands.filter((command) => command.label.toLowerCase().includes(text))].slice(
      0,
      40,
    );
    at = 0;
    draw();
  };
  const run = (/** @type {number} */ index) => {
    dialog.close();
    matches[index]?.run();
  };
  input.oninput = find;
  input.onkeydown = (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      run(at);
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !matches.length) return;
    event.preventDefault();
    at = (at + step + matches.length) % matches.length;
    draw();
  };
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  input.value = "";
  find();
  dialog.showModal();
}

/** @param {Page} page @param {string} text @returns {Command[]} */
function findEvents(page, text) {
  const { table } = page;
  /** @param {number} item @param {number} event */
  const command = (item, event) => ({
    key: `#${event}`,
    label: `Go to ${oneLine(textOf(table, table.component, item), 20)} ${labelOf(table, item)}`,
    run: () => selectItem(page, item, event),
  });
  const number = Number(text.replace("#", ""));
  if (text && Number.isInteger(number))
    return (table.itemOf[number] ?? -1) >= 0 ? [command(table.itemOf[number], number)] : [];
  const found = [];
  if (text.length > 1) {
    for (let row = 0; row < table.spans && found.length < 12; row++)
      if (searchable(table, row).includes(text)) found.push(command(row, table.number[row]));
  }
  return found;
}

/** @param {Command[]} commands @param {HTMLElement[]} more */
function openHelp(commands, more) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help"));
  dialog.replaceChildren(
    make(
      "div.help-head",
      {},
      make("h2", {}, "Keys"),
      make("button.quiet", { onclick: () => dialog.close() }, "Close ", make("kbd", {}, "Esc")),
    ),
    make(
      "dl.keys",
      {},
      ...commands
        .filter((command) => command.key)
        .map((command) => make("div", {}, make("dt", {}, make("kbd", {}, command.key)), make("dd", {}, command.label))),
    ),
    ...more,
  );
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  dialog.showModal();
}

/** Explain the timeline and the filter. @param {Page} page */
function helpOfTrace(page) {
  const filters = [
    ["lookup refund", "both words, in kind, name, text or error"],
    ["kind:tool", "also name, status, error, agent, process; = for the whole text"],
    ["ms>500", "also self, tokens, cost, n; < > <= >= ="],
    ["-status:failed", "without those"],
    ["inputs.arguments.city=Oslo", "a field of the payloads"],
    ["Enter", "searches the payloads for the words too"],
    ...(page.facts.live
      ? [["where cost > 0.01", "Enter finds the events for which an expression of --where holds"]]
      : []),
  ];
  return [
    make("h2", {}, "Timeline"),
    make(
      "p",
      {},
      "Wheel zooms, drag or Shift with the wheel pans, Alt with the wheel scrolls the tracks, a double click zooms to a span. Solid: the span itself worked. Hatched: it waited for spans inside it, or for a first token. A dense stroke: many short spans. ✕ and red: failed. ▲ and amber: a finding. ↻: retried.",
    ),
    make("h2", {}, "Filter"),
    make(
      "dl.keys.examples",
      {},
      ...filters.map(([example, meaning]) =>
        make("div", {}, make("dt", {}, make("code", {}, example)), make("dd", {}, meaning)),
      ),
    ),
  ];
}
