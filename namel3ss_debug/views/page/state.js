// One state that all panes draw from, and the only functions that change it.

/**
 * @typedef {object} State
 * @property {number} item the selected item of the table; -1: none
 * @property {number} event the selected event
 * @property {string} tab the pane that is shown where not all fit
 * @property {string} query the text of the filter
 * @property {Set<number>} hiddenKinds components (as indexes of strings) that are filtered out
 * @property {boolean} failuresOnly
 * @property {boolean} allEvents whether the tree shows the events that belong to no span
 * @property {Set<number>} collapsed items whose children are hidden
 * @property {number} grown how many times the table grew
 * @property {Uint8Array | null} passes which items pass the filter; null: all
 * @property {Provenance | null} hovered the value under the pointer, with its sources and uses
 * @property {Provenance | null} path the value whose path is drawn
 *
 * @typedef {object} Page
 * @property {Facts} facts
 * @property {TraceFacts} trace
 * @property {Table} table
 * @property {Blocks} blocks
 * @property {State} state
 * @property {Map<number, Finding[]>} findingsOf the findings of each item
 * @property {Map<number, Provenance[]>} provenanceOf the traced values of each event
 * @property {(change: Partial<State>) => void} change set fields of the state, and draw what shows them
 * @property {(draw: (changed: Set<string>) => void) => void} watch call a function in the frame after each change
 * @property {() => void} refilter filter again, with the result of the last search
 * @property {() => void} focusPane move the focus into the pane that is shown
 */

/**
 * Make the page's model of a trace.
 * @param {Facts} facts
 * @param {number} index
 * @param {Table} table
 * @returns {Page}
 */
function makePage(facts, index, table) {
  const trace = facts.traces[index];
  /** @type {((changed: Set<string>) => void)[]} */
  const watchers = [];
  /** @type {Set<string>} */
  let changed = new Set();
  /** @type {State} */
  const state = {
    item: -1,
    event: 0,
    tab: "event",
    query: "",
    hiddenKinds: new Set(),
    failuresOnly: false,
    allEvents: false,
    collapsed: new Set(),
    grown: 0,
    passes: null,
    hovered: null,
    path: null,
  };
  return {
    facts,
    trace,
    table,
    state,
    blocks: new Blocks(trace.blocks, (block) => readElement(`block-${index}-${block}`)),
    findingsOf: groupFindings(trace, table),
    provenanceOf: groupProvenance(table.columns.provenance ?? []),
    watch: (draw) => void watchers.push(draw),
    change(change) {
      Object.assign(state, change);
      // Many changes in one frame are drawn once; a held key would otherwise queue up draws.
      if (!changed.size) {
        requestAnimationFrame(() => {
          const now = changed;
          changed = new Set();
          for (const draw of watchers) draw(now);
        });
      }
      for (const name of Object.keys(change)) changed.add(name);
    },
    refilter() {},
    focusPane() {
      byId(`pane-${state.tab}`).focus();
    },
  };
}

/**
 * @param {TraceFacts} trace
 * @param {Table} table
 */
function groupFindings(trace, table) {
  /** @type {Map<number, Finding[]>} */
  const groups = new Map();
  for (const finding of trace.findings) {
    for (const item of new Set((finding.events ?? []).map((event) => table.itemOf[event] ?? -1))) {
      if (item >= 0) groups.set(item, [...(groups.get(item) ?? []), finding]);
    }
  }
  return groups;
}

/**
 * Find the traced values of each event: those that are explained, and those that they came from or went to.
 * @param {Provenance[]} provenance
 */
function groupProvenance(provenance) {
  /** @type {Map<number, Provenance[]>} */
  const groups = new Map();
  for (const value of provenance) {
    for (const place of [value, ...value.sources, ...value.uses]) {
      const group = groups.get(place.event) ?? [];
      if (!group.includes(value)) groups.set(place.event, [...group, value]);
    }
  }
  return groups;
}

/**
 * Select an event: the span that it begins or ends, or the event itself.
 * @param {Page} page
 * @param {number} event
 * @returns {boolean} whether the trace has it
 */
function selectEvent(page, event) {
  const item = page.table.itemOf[event] ?? -1;
  if (item < 0) return false;
  selectItem(page, item, event);
  return true;
}

/**
 * Select an item, and open the tree down to it.
 * @param {Page} page
 * @param {number} item
 * @param {number} [event]
 */
function selectItem(page, item, event = page.table.number[item]) {
  const { table, state } = page;
  const collapsed = new Set(state.collapsed);
  for (let above = table.parent[item]; above >= 0; above = table.parent[above]) collapsed.delete(above);
  page.change({ item, event, path: null, ...(collapsed.size < state.collapsed.size ? { collapsed } : {}) });
  // A link to this hash is a bug report; replacing it keeps the way back out of the page short.
  try {
    history.replaceState(null, "", `#${event}`);
  } catch {
    // Browsers refuse a page that changes its address too often, as a held key does; the next change succeeds.
  }
}

/**
 * Return the text of a string column.
 * @param {Table} table
 * @param {Int32Array} column
 * @param {number} row
 */
function textOf(table, column, row) {
  return table.strings[column[row]] ?? "";
}

/**
 * Return the word for the status of an item.
 * @param {Table} table
 * @param {number} item
 */
function statusOf(table, item) {
  if (table.failed[item]) return "failed";
  if (item >= table.spans) return "recorded";
  return table.end[item] ? "completed" : "open";
}

/**
 * Return the hue of a component: other kinds have none, so that three hues stay enough to learn.
 * @param {string} component
 */
function hueOf(component) {
  if (component === "llm" || component === "tool" || component === "agent") return component;
  return "other";
}

/**
 * Return the failed items in order of their events. A span that failed only because of what failed inside it counts too,
 * as it does in `analyze`.
 * @param {Table} table
 */
function failuresOf(table) {
  /** @type {number[]} */
  const items = [];
  for (let item = 0; item < table.items; item++) if (table.failed[item]) items.push(item);
  return items.sort((a, b) => table.number[a] - table.number[b]);
}
