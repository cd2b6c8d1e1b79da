// Filter items: by words, by fields of the table, and by paths into the payloads.

/**
 * @typedef {object} Term one condition of the filter
 * @property {(table: Table, item: number) => boolean} [test] over the table
 * @property {(event: TraceEvent, line: string) => boolean} [payload] over the events, read block by block
 * @property {boolean} not
 */

/** Fields that are compared as texts: name of the field, its text. @type {{[field: string]: (table: Table, item: number) => string}} */
const TEXT_FIELDS = {
  kind: (table, item) => textOf(table, table.component, item),
  name: (table, item) => textOf(table, table.name, item),
  status: statusOf,
  error: (table, item) => textOf(table, table.error, item),
  agent: (table, item) => (table.agent[item] >= 0 ? textOf(table, table.name, table.agent[item]) : ""),
  process: (table, item) => table.columns.processes?.[table.process[item]] ?? "",
};

/** Fields that are compared as numbers; -1 where a number is not known. @type {{[field: string]: (table: Table, item: number) => number}} */
const NUMBER_FIELDS = {
  n: (table, item) => table.number[item],
  ms: (table, item) => (table.duration[item] < 0 ? -1 : table.duration[item] / 1000),
  self: (table, item) => (table.self[item] < 0 ? -1 : table.self[item] / 1000),
  tokens: tokensOf,
  cost: (table, item) => table.cost[item],
};

/** @param {Table} table @param {number} item */
function tokensOf(table, item) {
  const { input, output } = table;
  return input[item] < 0 && output[item] < 0 ? -1 : Math.max(0, input[item]) + Math.max(0, output[item]);
}

/**
 * Read the text of the filter: words, `"several words"`, `kind:tool`, `-name:search`, `ms>500`, `inputs.arguments.city=Oslo`.
 * @param {string} query
 * @returns {Term[]}
 */
function parseFilter(query) {
  return [...query.matchAll(/(-?)((?:[\w.]+(?:>=|<=|[:=<>]))?)(?:"([^"]*)"?|(\S+))/g)].map(
    ([, minus, head, quoted, bare]) => {
      const word = (quoted ?? bare).toLowerCase();
      const not = minus === "-";
      const field = head.replace(/(>=|<=|[:=<>])$/, "");
      const sign = head.slice(field.length);
      if (Object.hasOwn(TEXT_FIELDS, field)) {
        const read = TEXT_FIELDS[field];
        return { not, test: (table, item) => matchesText(read(table, item).toLowerCase(), sign, word) };
      }
      if (Object.hasOwn(NUMBER_FIELDS, field) && !Number.isNaN(Number(word))) {
        const read = NUMBER_FIELDS[field];
        return { not, test: (table, item) => read(table, item) >= 0 && compare(read(table, item), sign, Number(word)) };
      }
      if (field.includes(".")) return { not, payload: (event) => matchesPayload(valueAt(event, field), sign, word) };
      const text = `${field}${sign}${word}`.toLowerCase();
      return {
        not,
        test: (table, item) => searchable(table, item).includes(text),
        payload: (_, line) => line.toLowerCase().includes(text),
      };
    },
  );
}

/** @param {string} text @param {string} sign @param {string} word */
function matchesText(text, sign, word) {
  return sign === "=" ? text === word : text.includes(word);
}

/** @param {number} value @param {string} sign @param {number} other */
function compare(value, sign, other) {
  if (sign === ">") return value > other;
  if (sign === "<") return value < other;
  if (sign === ">=") return value >= other;
  if (sign === "<=") return value <= other;
  return value === other;
}

/** @param {unknown} value @param {string} sign @param {string} word */
function matchesPayload(value, sign, word) {
  if (value === undefined) return false;
  if (sign.includes("<") || sign.includes(">")) return typeof value === "number" && compare(value, sign, Number(word));
  const text = (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).toLowerCase();
  return matchesText(text, sign, word);
}

/** @param {Table} table @param {number} item */
function searchable(table, item) {
  const { strings, component, name, gist, error } = table;
  return `${strings[component[item]]} ${strings[name[item]]} ${strings[gist[item]]} ${strings[error[item]]}`.toLowerCase();
}

/**
 * Return the expression in the filter, which the server of a live page evaluates; empty: there is none.
 * @param {Page} page
 */
function expressionOf({ facts, state }) {
  return (facts.live && /^where\s+(.+)/.exec(state.query)?.[1]) || "";
}

/**
 * Return which items pass the filter; null: all do.
 * @param {Page} page
 * @param {Set<number> | null} found events that a search found
 * @returns {Uint8Array | null}
 */
function filterItems(page, found) {
  const { table, state } = page;
  const isExpression = expressionOf(page) !== "";
  const terms = isExpression ? [] : parseFilter(state.query);
  if (!terms.length && !(isExpression && found) && !state.hiddenKinds.size && !state.failuresOnly) return null;
  const passes = new Uint8Array(table.items);
  for (let item = 0; item < table.items; item++) {
    if (state.hiddenKinds.has(table.component[item]) || (state.failuresOnly && !table.failed[item])) continue;
    const matches = isExpression ? !found : terms.every(({ test, not }) => (test ? test(table, item) !== not : false));
    passes[item] = matches || found?.has(table.number[item]) || found?.has(table.end[item]) ? 1 : 0;
  }
  return passes;
}

/**
 * Search the payloads of all events; it reads one block after the other, and lets the page draw between them.
 * @param {Page} page
 * @param {Term[]} terms
 * @param {(done: number) => boolean} progress returns whether to go on
 */
async function searchPayloads(page, terms, progress) {
  const { table, blocks, trace } = page;
  /** @type {Map<number, number>} terms that matched, as bits; a span has two events, and either may match */
  const matched = new Map();
  for (const [index, [first]] of trace.blocks.entries()) {
    const lines = await blocks.lines(index);
    for (const [offset, line] of lines.entries()) {
      const item = table.itemOf[first + offset] ?? -1;
      if (item < 0) continue;
      const event = terms.some((term) => !term.test) ? JSON.parse(line) : {};
      let bits = matched.get(item) ?? 0;
      for (const [bit, term] of terms.entries()) {
        if (term.payload?.(event, line) || (term.test && term.test(table, item))) bits |= 1 << bit;
      }
      matched.set(item, bits);
    }
    if (!progress((index + 1) / trace.blocks.length)) return null;
    await new Promise((resume) => setTimeout(resume));
  }
  const wanted = terms.reduce((bits, term, bit) => (term.not ? bits : bits | (1 << bit)), 0);
  return new Set([...matched].filter(([, bits]) => bits === wanted).map(([item]) => table.number[item]));
}

/**
 * Draw the filter above the tree, and filter when it changes.
 * @param {Page} page
 */
function startFilters(page) {
  const { table, state } = page;
  const input = /** @type {HTMLInputElement} */ (byId("search"));
  const note = byId("filter-note");
  let run = 0;
  /** @type {Set<number> | null} */
  let found = null;

  let problem = "";

  page.refilter = () => {
    page.change({ passes: filterItems(page, found) });
    describe();
  };
  const apply = () => {
    run++;
    found = null;
    problem = "";
    page.change({ query: input.value, passes: null });
    page.refilter();
    if (!expressionOf(page) && parseFilter(state.query).some((term) => !term.test)) void search();
  };
  const describe = () => {
    const total = page.state.passes?.reduce((sum, one) => sum + one, 0);
    const shown =
      total === undefined ? "" : total ? `${formatCount(total)} of ${countOf(table.items, "item")}` : "Nothing matches";
    const offer = state.query && !found && page.facts.content ? "; Enter searches the payloads too" : "";
    const ofExpression = found ? shown : "Enter finds the events for which this holds";
    note.textContent = problem || (expressionOf(page) ? ofExpression : shown && shown + offer);
    note.hidden = !note.textContent;
  };
  const search = async () => {
    const mine = ++run;
    const began = performance.now();
    const result = await searchPayloads(page, parseFilter(state.query), (done) => {
      if (performance.now() - began > 200) note.textContent = `Searching payloads: ${Math.round(done * 100)} %`;
      return mine === run;
    });
    if (!result) return;
    found = result;
    page.refilter();
  };
  const evaluate = async () => {
    const mine = ++run;
    const result = await findByExpression(expressionOf(page));
    if (mine !== run) return;
    problem = result.problem;
    found = result.found;
    page.refilter();
  };
  input.addEventListener("input", apply);
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && expressionOf(page)) void evaluate();
    else if (event.key === "Enter" && state.query && page.facts.content) void search();
    if (event.key !== "Escape") return;
    event.stopPropagation();
    if (input.value) {
      input.value = "";
      apply();
    } else byId("tree").focus();
  });
  drawChips(page);
  page.watch((changed) => {
    // A chip that has the focus, or is pressed, stays.
    if (changed.has("grown") && !byId("chips").contains(document.activeElement)) drawChips(page);
  });
  if (page.facts.live) input.placeholder = "Filter: text, kind:tool, where cost > 0.01";
  describe();
}

/**
 * Draw a switch for each kind, one for failures, and one for the events that belong to no span.
 * @param {Page} page
 */
function drawChips(page) {
  const { table, state } = page;
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (let row = 0; row < table.spans; row++)
    if (!table.quiet[row]) counts.set(table.component[row], (counts.get(table.component[row]) ?? 0) + 1);
  const failures = failuresOf(table).length;
  /** @param {Attributes} attributes @param {Child[]} label @param {boolean} isOn @param {(isOn: boolean) => void} turn */
  const chip = (attributes, label, isOn, turn) => {
    const button = make("button.chip", { ...attributes, "aria-pressed": String(isOn) }, ...label);
    button.addEventListener("click", () => {
      isOn = !isOn;
      button.setAttribute("aria-pressed", String(isOn));
      turn(isOn);
      page.refilter();
    });
    return button;
  };
  const kinds = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 6);
  byId("chips").replaceChildren(
    ...kinds.map(([component, count]) => {
      const name = oneLine(table.strings[component], 16);
      const turn = (/** @type {boolean} */ isOn) =>
        void (isOn ? state.hiddenKinds.delete(component) : state.hiddenKinds.add(component));
      const attributes = { "data-hue": hueOf(name), title: `Show or hide spans of the kind ${name}` };
      return chip(attributes, [`${name} ${formatCount(count)}`], !state.hiddenKinds.has(component), turn);
    }),
    chip(
      { id: "chip-failures", "data-hue": failures ? "failure" : null, title: "Show failures only" },
      [`✕ failed ${formatCount(failures)} `, make("kbd", {}, "x")],
      state.failuresOnly,
      (isOn) => void (state.failuresOnly = isOn),
    ),
    chip(
      { id: "chip-all", title: "Show work in the background too, and events that belong to no span, such as output" },
      ["all events ", make("kbd", {}, "a")],
      state.allEvents,
      (isOn) => page.change({ allEvents: isOn }),
    ),
  );
}
