// The tree of spans on the left.

/** The rows of the tree that are shown: items in order, without those inside collapsed ones. */
class TreeRows {
  constructor() {
    /** @type {Int32Array} */
    this.items = new Int32Array(0);
    /** @type {Int32Array} the row of each item; -1: not shown */
    this.rowOf = new Int32Array(0);
  }

  /**
   * Find the rows that the state of the page shows.
   * @param {Page} page
   */
  update({ table, state }) {
    const kept = keepAncestors(table, state);
    const items = new Int32Array(table.items);
    this.rowOf = new Int32Array(table.items).fill(-1);
    let count = 0;
    for (let at = 0; at < table.order.length; ) {
      const item = table.order[at];
      if (kept[item]) {
        this.rowOf[item] = count;
        items[count++] = item;
      }
      at += !kept[item] || state.collapsed.has(item) ? table.size[item] : 1;
    }
    this.items = items.subarray(0, count);
  }
}

/**
 * Return which items the tree has: those that pass the filter, and all around them.
 * @param {Table} table
 * @param {State} state
 */
function keepAncestors(table, state) {
  const kept = new Uint8Array(table.items);
  for (let at = table.order.length - 1; at >= 0; at--) {
    const item = table.order[at];
    const isListed = state.allEvents || !table.quiet[item];
    if (isListed && (!state.passes || state.passes[item])) kept[item] = 1;
    if (kept[item] && table.parent[item] >= 0) kept[table.parent[item]] = 1;
  }
  return kept;
}

/**
 * Draw the tree, and keep it drawn.
 * @param {Page} page
 * @returns {TreeRows}
 */
function startTree(page) {
  const { table, state } = page;
  const scroller = byId("tree");
  const shown = new TreeRows();
  const rows = new Rows(scroller, 24, {
    draw: (index) => drawTreeRow(page, shown.items[index]),
    choose: (index) => selectItem(page, shown.items[index]),
    key: (index, key) => moveInTree(page, shown, index, key),
  });
  scroller.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const row = target.closest("[data-row]");
    if (target.classList.contains("twisty") && row instanceof HTMLElement)
      toggle(page, shown.items[Number(row.dataset.row)]);
  });
  const empty = make("p.empty", { hidden: true });
  scroller.append(empty);
  page.watch((changed) => {
    if (["passes", "collapsed", "allEvents"].some((name) => changed.has(name))) {
      shown.update(page);
      rows.set(shown.items.length, shown.rowOf[state.item] ?? -1, null, changed.has("grown"));
      empty.hidden = shown.items.length > 0;
      empty.textContent = table.spans
        ? "No span passes the filter. Esc in the filter clears it."
        : emptyText(page.trace, "No spans were recorded. In a terminal: namel3ss debug doctor");
    }
    if (changed.has("item")) rows.select(shown.rowOf[state.item] ?? -1);
    if (changed.has("hovered") || changed.has("path")) outlinePlaces(page, scroller);
  });
  return shown;
}

/**
 * @param {Page} page
 * @param {number} item
 */
function drawTreeRow(page, item) {
  const { table, state } = page;
  const component = textOf(table, table.component, item);
  const isSpan = item < table.spans;
  const hasChildren = table.size[item] > 1 && hasShownChild(page, item);
  const row = make("div.row.tree-row", { role: "treeitem", "aria-level": table.depth[item] + 1, "data-item": item });
  if (hasChildren) row.setAttribute("aria-expanded", String(!state.collapsed.has(item)));
  if (state.passes && !state.passes[item]) row.classList.add("dim");
  row.style.paddingLeft = `${4 + Math.min(table.depth[item], 12) * 12}px`;
  row.append(
    make("span.twisty", { "aria-hidden": "true" }, hasChildren ? (state.collapsed.has(item) ? "▸" : "▾") : ""),
    make("span.kind", { "data-hue": isSpan ? hueOf(component) : "other" }, oneLine(component, 14)),
    markOf(page, item),
    make("span.label", {}, labelOf(table, item)),
    make("span.figure", {}, isSpan ? (table.end[item] ? formatDuration(table.duration[item]) : "open") : ""),
  );
  outlinePlace(page, row);
  row.title = `#${table.number[item]} ${row.textContent}`;
  return row;
}

/**
 * Return the marks of a row: failed, a finding, or retried; its words are for readers who do not see it.
 * @param {Page} page
 * @param {number} item
 */
function markOf({ table, findingsOf }, item) {
  const mark = make("span.marks");
  if (table.failed[item]) mark.append(make("span.failure", { role: "img", "aria-label": "failed" }, "✕"));
  if (findingsOf.has(item)) mark.append(make("span.finding", { role: "img", "aria-label": "finding" }, "▲"));
  if (table.retried[item]) mark.append(make("span.retry", { role: "img", "aria-label": "retried" }, "↻"));
  return mark;
}

/** @param {Table} table @param {number} item */
function labelOf(table, item) {
  const name = textOf(table, table.name, item);
  const gist = textOf(table, table.gist, item);
  if (!gist) return oneLine(name, 120);
  // What a model answered tells its calls apart; what it read is the result of the row above.
  if (textOf(table, table.component, item) === "llm") {
    const answer = gist.indexOf(" → ") + 1;
    const error = answer || item >= table.spans ? "" : textOf(table, table.error, item);
    return oneLine(error || gist.slice(answer), 120);
  }
  return oneLine(gist.startsWith("(") ? name + gist : `${name} ${gist}`, 120);
}

/** @param {Page} page @param {number} item */
function hasShownChild({ table, state }, item) {
  const first = table.position[item] + 1;
  for (let at = first; at < first + table.size[item] - 1; at++)
    if (state.allEvents || !table.quiet[table.order[at]]) return true;
  return false;
}

/** @param {Page} page @param {number} item @param {boolean} [open] */
function toggle({ state, change }, item, open = state.collapsed.has(item)) {
  const collapsed = new Set(state.collapsed);
  if (open) collapsed.delete(item);
  else collapsed.add(item);
  change({ collapsed });
}

/**
 * Move as trees do: right opens and enters, left closes and leaves.
 * @param {Page} page
 * @param {TreeRows} shown
 * @param {number} index
 * @param {string} key
 */
function moveInTree(page, shown, index, key) {
  const { table, state } = page;
  const item = shown.items[index];
  if (item === undefined) return false;
  const isOpen = table.size[item] > 1 && !state.collapsed.has(item);
  if (key === "ArrowRight") {
    if (table.size[item] > 1 && !isOpen) toggle(page, item, true);
    else if (isOpen && index + 1 < shown.items.length) selectItem(page, shown.items[index + 1]);
  } else if (key === "ArrowLeft") {
    if (isOpen) toggle(page, item, false);
    else if (table.parent[item] >= 0) selectItem(page, table.parent[item]);
  } else if (key === "Enter") {
    page.change({ tab: "event" });
  } else return false;
  return true;
}
