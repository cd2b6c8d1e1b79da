// Where a value came from and where it was used: outlines under the pointer, a path on a click.

/**
 * Let a value that is traced be hovered and clicked.
 * @template {HTMLElement} Shown
 * @param {Shown} shown
 * @param {string} path
 * @param {ValueContext} context
 * @returns {Shown}
 */
function trackValue(shown, path, { page, event }) {
  const values = page.provenanceOf.get(event) ?? [];
  const value = values.find((each) =>
    [each, ...each.sources, ...each.uses].some((place) => place.event === event && isSamePath(place.path, path)),
  );
  if (!value) return shown;
  shown.classList.add("traced");
  shown.tabIndex = 0;
  shown.setAttribute("role", "button");
  shown.title = `${countOf(value.sources.length, "source")}, ${countOf(value.uses.length, "use")}; click to draw the path`;
  const show = () => page.change({ hovered: value });
  const hide = () => page.change({ hovered: null });
  shown.addEventListener("mouseenter", show);
  shown.addEventListener("mouseleave", hide);
  shown.addEventListener("focus", show);
  shown.addEventListener("blur", hide);
  shown.addEventListener("click", () => page.change({ path: page.state.path === value ? null : value }));
  shown.addEventListener("keydown", (pressed) => {
    if (pressed.key !== "Enter" && pressed.key !== " ") return;
    pressed.preventDefault();
    page.change({ path: page.state.path === value ? null : value });
  });
  return shown;
}

/** @param {string} known @param {string} path */
function isSamePath(known, path) {
  const plain = known.replace(/^data\./, "").replace(/\[(\d+)\]/g, ".$1");
  return plain === path;
}

/**
 * Outline the rows of a list that the hovered or clicked value came from, and those that used it.
 * @param {Page} page
 * @param {HTMLElement} list
 */
function outlinePlaces(page, list) {
  for (const row of list.querySelectorAll("[data-item]")) if (row instanceof HTMLElement) outlinePlace(page, row);
}

/** Outline a row, if the hovered or clicked value came from it or was used there. @param {Page} page @param {HTMLElement} row */
function outlinePlace({ table, state }, row) {
  const value = state.path ?? state.hovered;
  const item = Number(row.dataset.item);
  /** @param {Place[]} [places] */
  const isAmong = (places) => item >= 0 && (places?.some((place) => table.itemOf[place.event] === item) ?? false);
  row.classList.toggle("is-source", isAmong(value?.sources));
  row.classList.toggle("is-use", isAmong(value?.uses));
}

/**
 * Show the path of a value as steps that can be followed.
 * @param {Page} page
 * @param {Provenance} value
 */
function showPath(page, value) {
  const { table } = page;
  /** @param {Place} place @param {string} word */
  const step = (place, word) =>
    make(
      "li",
      {},
      make("span.word", {}, word),
      linkTo(page, place.event),
      " ",
      oneLine(labelOf(table, Math.max(0, table.itemOf[place.event] ?? 0)), 60),
      " ",
      make("code.quiet", {}, oneLine(place.path.replace(/^data\./, ""), 80)),
      place.how ? ` ${oneLine(place.how, 80)}` : "",
    );
  return make(
    "section.path",
    { "aria-label": "Path of the value" },
    make("h3", {}, "Path of ", make("code", {}, oneLine(value.value, 80))),
    make(
      "ol",
      {},
      ...value.sources.map((place) => step(place, "from")),
      step(value, "here"),
      ...value.uses.map((place) => step(place, "used")),
    ),
  );
}

/**
 * Return a button that selects an event.
 * @param {Page} page
 * @param {number} event
 */
function linkTo(page, event) {
  return make("button.link", { onclick: () => selectEvent(page, event) }, `#${event}`);
}
