// The panes: their tabs, and the borders between them, which drag and are kept.

/** The tabs in their order; which of them are shown depends on the width. @type {[string, string][]} */
const TABS = [
  ["tree", "Tree"],
  ["timeline", "Timeline"],
  ["transcript", "Transcript"],
  ["event", "Event"],
  ["findings", "Findings"],
  ["summary", "Summary"],
];

/** Which panes are always in view, by layout. @type {{[layout: string]: string[]}} */
const ALWAYS = { wide: ["tree", "timeline", "transcript"], medium: ["tree", "timeline"], narrow: [] };

/** @param {number} width */
function layoutFor(width) {
  return width >= 1000 ? "wide" : width > 640 ? "medium" : "narrow";
}

/**
 * Return the usual height of the timeline: three tenths of the panes, less where it has few tracks.
 * @param {Timeline} timeline
 */
function usualHeight(timeline) {
  const needed = RULER + MINIMAP + 24 + timeline.layout.tracks.length * TRACK;
  return Math.round(Math.min((innerHeight - 40) * 0.3, timeline.page.facts.live ? Infinity : Math.max(needed, 110)));
}

/**
 * Draw the tabs, and follow the width of the window.
 * @param {Page} page
 * @param {Timeline} timeline
 */
function startPanes(page, timeline) {
  const list = byId("tabs");
  const body = document.body;
  const problems = page.trace.findings.length;
  const buttons = TABS.map(([name, label], index) =>
    make(
      "button.tab",
      {
        role: "tab",
        id: `tab-${name}`,
        "aria-controls": `pane-${name}`,
        "data-tab": name,
        onclick: () => page.change({ tab: name }),
      },
      label,
      name === "findings" ? make("span.badge", { id: "problems" }, problems ? ` ${problems}` : "") : null,
      " ",
      make("kbd", {}, index + 1),
    ),
  );
  list.replaceChildren(...buttons);
  list.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const shown = buttons.filter((button) => !button.hidden);
    const at = shown.findIndex((button) => button === document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    const next = shown[(at + step + shown.length) % shown.length];
    next.focus();
    page.change({ tab: next.dataset.tab ?? "event" });
  });
  const draw = () => {
    const layout = layoutFor(innerWidth);
    const always = ALWAYS[layout];
    if (always.includes(page.state.tab)) page.state.tab = layout === "medium" ? "transcript" : "event";
    body.dataset.layout = layout;
    body.dataset.tab = page.state.tab;
    for (const button of buttons) {
      const isSelected = button.dataset.tab === page.state.tab;
      button.hidden = always.includes(button.dataset.tab ?? "");
      button.setAttribute("aria-selected", String(isSelected));
      button.tabIndex = isSelected ? 0 : -1;
    }
  };
  addEventListener("resize", draw);
  // A click on a row or a link shows the event; keys select and leave the tab, so that arrows move on in a list.
  byId("panes").addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("[data-row], .link") && !target.closest(".twisty")) page.change({ tab: "event" });
  });
  page.watch((changed) => {
    if (changed.has("tab")) draw();
  });
  draw();
  startBorder(
    "tree",
    "--tree-width",
    280,
    160,
    (event) => event.clientX,
    () => innerWidth * 0.6,
  );
  startBorder(
    "timeline",
    "--timeline-height",
    usualHeight(timeline),
    90,
    (event) => event.clientY - byId("panes").getBoundingClientRect().top,
    () => (innerHeight - 40) * 0.8,
  );
  startBorder(
    "details",
    "--transcript-width",
    Math.round((innerWidth - 280) * 0.5),
    240,
    (event) => event.clientX - byId("pane-transcript").getBoundingClientRect().left,
    () => innerWidth - 560,
  );
}

/**
 * Let a border be dragged, moved by the arrow keys, and reset by a double click.
 * @param {string} name
 * @param {string} property the property of the style sheet that has its size
 * @param {number} usual
 * @param {number} least
 * @param {(event: PointerEvent) => number} measure
 * @param {() => number} most
 */
function startBorder(name, property, usual, least, measure, most) {
  const border = byId(`split-${name}`);
  let size = Number(loadSetting(`size.${name}`)) || usual;
  /** @param {number} wanted @param {boolean} keep */
  const set = (wanted, keep) => {
    size = Math.round(Math.max(least, Math.min(wanted, most())));
    document.documentElement.style.setProperty(property, `${size}px`);
    border.setAttribute("aria-valuenow", String(size));
    border.setAttribute("aria-valuemin", String(least));
    border.setAttribute("aria-valuemax", String(Math.round(Math.max(least, most()))));
    if (keep) saveSetting(`size.${name}`, String(size));
  };
  border.addEventListener("pointerdown", (event) => border.setPointerCapture(event.pointerId));
  border.addEventListener(
    "pointermove",
    (event) => border.hasPointerCapture(event.pointerId) && set(measure(event), true),
  );
  border.addEventListener("dblclick", () => set(usual, true));
  border.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -16, ArrowUp: -16, ArrowRight: 16, ArrowDown: 16 }[event.key];
    if (step) set(size + step, true);
    if (step) event.preventDefault();
  });
  set(size, false);
}
