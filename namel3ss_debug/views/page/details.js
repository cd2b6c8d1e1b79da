// The selected event: its error and findings first, then what it read and returned, then its figures.

/**
 * Draw the selected event, and keep it drawn.
 * @param {Page} page
 */
function startDetails(page) {
  const pane = byId("pane-event");
  let run = 0;
  let end = 0;
  const draw = async () => {
    const mine = ++run;
    const { item } = page.state;
    end = page.table.end[item];
    if (item < 0)
      return pane.replaceChildren(make("p.empty", {}, "Select an event in the tree, the timeline or the transcript."));
    const head = [showHead(page, item), ...showFindingsOf(page, item)];
    const body = make("div.payload");
    // Text of a payload takes a few milliseconds; a word of waiting would only flicker.
    const slow = setTimeout(() => body.append(make("p.quiet", {}, "Reading the payload")), 200);
    pane.replaceChildren(...head, body);
    pane.scrollTop = 0;
    try {
      const shown = await showPayload(page, item);
      if (mine === run) body.replaceChildren(...shown);
    } catch (error) {
      if (mine === run)
        body.replaceChildren(
          make("p.empty", {}, `The payload cannot be read: ${printable(error)}. In a terminal: ${commandFor(page)}`),
        );
    } finally {
      clearTimeout(slow);
    }
  };
  page.watch((changed) => {
    if (changed.has("item") || (changed.has("grown") && end !== page.table.end[page.state.item])) void draw();
    if (changed.has("path")) {
      pane.querySelector(".path")?.remove();
      const { path } = page.state;
      if (path) pane.querySelector(".payload")?.before(showPath(page, path));
    }
  });
}

/** Return the command that goes to the selected event in a terminal. @param {Page} page */
function commandFor({ trace, state }) {
  return `namel3ss debug inspect --event ${state.event} ${trace.reference}`.trim();
}

/**
 * @param {Page} page
 * @param {number} item
 */
function showHead(page, item) {
  const { table } = page;
  const component = textOf(table, table.component, item);
  const ancestors = [];
  for (let above = table.parent[item]; above >= 0 && ancestors.length < 12; above = table.parent[above]) {
    const target = above;
    ancestors.unshift(
      make(
        "button.link",
        { onclick: () => selectItem(page, target) },
        oneLine(textOf(table, table.name, above) || textOf(table, table.component, above), 40),
      ),
      " › ",
    );
  }
  return make(
    "header.event-head",
    {},
    ancestors.length ? make("nav.ancestors", { "aria-label": "Spans around" }, ...ancestors) : null,
    make(
      "h2",
      {},
      make("span.number", {}, `#${table.number[item]}`),
      " ",
      make("span.kind", { "data-hue": hueOf(component) }, oneLine(component, 30)),
      " ",
      oneLine(textOf(table, table.name, item), 120),
    ),
    showFigures(table, item),
    make(
      "div.actions",
      {},
      make(
        "button.quiet",
        { onclick: (event) => void copyEvent(page, event.currentTarget) },
        "Copy as JSON ",
        make("kbd", {}, "c"),
      ),
      make(
        "button.quiet",
        { onclick: (event) => void copyText(commandFor(page), event.currentTarget) },
        "Copy command ",
        make("kbd", {}, "y"),
      ),
    ),
  );
}

/** @param {Table} table @param {number} item */
function showFigures(table, item) {
  const list = make("dl.figures");
  /** @param {string} name @param {string} value @param {string} [className] */
  const add = (name, value, className = "") => {
    if (value) list.append(make("div", { class: className || null }, make("dt", {}, name), make("dd", {}, value)));
  };
  const status = statusOf(table, item);
  add(
    "status",
    status === "failed" ? "✕ failed" : status === "open" ? "open: it never ended" : status,
    status === "failed" ? "failure" : "",
  );
  if (table.began[item] >= 0) add("at", table.began[item] === 0 ? "0 s" : formatDuration(table.began[item]));
  if (item < table.spans) {
    add("took", table.end[item] ? formatDuration(table.duration[item]) : "");
    if (table.size[item] > 1) add("self", formatDuration(table.self[item]));
    add("first token", table.firstToken[item] >= 0 ? `after ${formatDuration(table.firstToken[item])}` : "");
    if (tokensOf(table, item) >= 0) {
      const cached = table.cached[item] > 0 ? `, ${formatCount(table.cached[item])} cached` : "";
      add(
        "tokens",
        `${formatCount(Math.max(0, table.input[item]))} in${cached}, ${formatCount(Math.max(0, table.output[item]))} out`,
      );
    }
    if (table.cost[item] >= 0) add("cost", formatMoney(table.cost[item]));
    if (table.retried[item]) add("retry", "↻ of an earlier attempt");
    add("events", table.end[item] ? `${table.number[item]} to ${table.end[item]}` : "");
  }
  return list;
}

/** @param {Page} page @param {number} item */
function showFindingsOf(page, item) {
  return (page.findingsOf.get(item) ?? []).map((finding) => showFinding(page, finding));
}

/**
 * @param {Page} page
 * @param {Finding} finding
 */
function showFinding(page, finding) {
  const events = finding.events ?? [];
  const isFailure = finding.severity === "error";
  const reference = page.trace.reference ? ` ${page.trace.reference}` : "";
  const suggestion = finding.suggestion ? finding.suggestion + reference : "";
  return make(
    "section.finding-box",
    { "data-severity": finding.severity },
    make(
      "p",
      {},
      make("strong", {}, isFailure ? "✕ " : "▲ ", oneLine(finding.id.replaceAll("_", " "), 60)),
      " ",
      printable(finding.text || finding.evidence, 600),
    ),
    make(
      "p.evidence",
      {},
      events.length ? "Events " : "",
      ...events.slice(0, 12).flatMap((event) => [linkTo(page, event), " "]),
      finding.file ? make("span.quiet", {}, oneLine(`${finding.file}:${finding.line}`, 120)) : null,
    ),
    suggestion
      ? make(
          "p.suggestion",
          {},
          make("code", {}, printable(suggestion, 300)),
          " ",
          make("button.quiet", { onclick: (event) => void copyText(suggestion, event.currentTarget) }, "Copy"),
        )
      : null,
  );
}

/** @param {Page} page @param {HTMLElement | null} button */
async function copyEvent(page, button) {
  const { table, state } = page;
  const numbers = [table.number[state.item], table.end[state.item]].filter(Boolean);
  const events = await Promise.all(numbers.map((number) => page.blocks.event(number)));
  await copyText(JSON.stringify(events.length === 1 ? events[0] : events, null, 2), button);
}

/**
 * Show the payload of an item: the error first, then by its kind.
 * @param {Page} page
 * @param {number} item
 * @returns {Promise<HTMLElement[]>}
 */
async function showPayload(page, item) {
  const { table } = page;
  if (!page.facts.content) {
    const error = item < table.spans ? textOf(table, table.error, item) : "";
    return [
      error ? make("pre.error", {}, printable(error)) : "",
      make(
        "p.empty",
        {},
        "This page was written without payloads. In a terminal: ",
        make("code", {}, commandFor(page)),
      ),
    ].filter((each) => each instanceof HTMLElement);
  }
  const start = await page.blocks.event(table.number[item]);
  const end = table.end[item] ? await page.blocks.event(table.end[item]) : null;
  if (!start)
    return [make("p.empty", {}, "This event is not in the page. In a terminal: ", make("code", {}, commandFor(page)))];
  /** @type {HTMLElement[]} */
  const shown = [...showError(end?.error || end?.stack_trace ? end : start)];
  if (textOf(table, table.component, item) === "llm" && item < table.spans) {
    shown.push(await showConversation(page, item, start, end), ...showOffer(page, item, start));
  } else shown.push(...showTransfer(page, item, start, end));
  shown.push(...showSource(page, start), showFields(page, item, start, end));
  return shown;
}

/** @param {TraceEvent} event */
function showError(event) {
  if (!event.error && !event.stack_trace) return [];
  const kind = event.error_type ? `${event.error_type}: ` : "";
  const error = kind + (event.error ?? "");
  const box = [make("pre.error", {}, `✕ ${printable(error, LONG_TEXT)}`)];
  if (event.stack_trace && String(event.stack_trace).trim() !== error.trim()) {
    const fold = make(
      "details.fold.traceback",
      { open: true },
      make("summary", {}, "Traceback"),
      showTraceback(String(event.stack_trace)),
    );
    return [...box, fold];
  }
  return box;
}

/** Show a traceback; lines of installed packages are dim, for the reader's own code is looked for. @param {string} text */
function showTraceback(text) {
  const box = make("pre.text");
  let isOwn = true;
  for (const line of text.slice(-20_000).trimEnd().split("\n")) {
    const file = /^\s*File "(.*?)"/.exec(line)?.[1];
    if (file !== undefined) isOwn = !/site-packages|dist-packages|\/lib\/python|^<frozen/.test(file);
    box.append(make(isOwn || !/^\s/.test(line) ? "span" : "span.quiet", {}, `${printable(line, LONG_TEXT)}\n`));
  }
  return box;
}

/**
 * Show what went in and what came out.
 * @param {Page} page
 * @param {number} item
 * @param {TraceEvent} start
 * @param {TraceEvent | null} end
 */
function showTransfer(page, item, start, end) {
  const shown = [];
  const inputs = start.inputs;
  const outputs = end?.outputs ?? start.outputs;
  const outputEvent = end?.outputs ? page.table.end[item] : page.table.number[item];
  /** @param {string} title @param {unknown} value @param {string} path @param {number} event */
  const add = (title, value, path, event) =>
    shown.push(make("section.transfer", {}, make("h3", {}, title), showValue(value, path, { page, event }, 3)));
  if (inputs && "arguments" in inputs) add("Arguments", inputs.arguments, "inputs.arguments", page.table.number[item]);
  else if (inputs && Object.keys(inputs).length) add("Input", inputs, "inputs", page.table.number[item]);
  if (outputs && "result" in outputs) add("Result", outputs.result, "outputs.result", outputEvent);
  else if (outputs && Object.keys(outputs).length) add("Output", outputs, "outputs", outputEvent);
  else if (end && !end.error) shown.push(make("p.quiet", {}, "It returned nothing."));
  if (item >= page.table.spans && start.metadata) add("Content", start.metadata, "metadata", page.table.number[item]);
  return shown;
}

/** @param {Page} page @param {number} item @param {TraceEvent} start */
function showOffer(page, item, start) {
  const { tools, params } = start.inputs ?? {};
  const context = { page, event: page.table.number[item] };
  const shown = [];
  if (Array.isArray(tools) && tools.length) {
    const names = oneLine(tools.map((tool) => tool?.name ?? "?").join(", "), 200);
    shown.push(
      make(
        "section.transfer",
        {},
        make("h3", {}, `${countOf(tools.length, "tool")} offered`),
        make("p.quiet", {}, names),
        showValue(tools, "inputs.tools", context, 0),
      ),
    );
  }
  if (params && Object.keys(params).length)
    shown.push(
      make("section.transfer", {}, make("h3", {}, "Parameters"), showValue(params, "inputs.params", context, 1)),
    );
  return shown;
}

/** Show the lines of the user's code that made the call, where they were recorded. @param {Page} page @param {TraceEvent} start */
function showSource({ table }, start) {
  const site = typeof start.call_site === "string" ? start.call_site : "";
  const lines = site && table.columns.source?.[site];
  if (!site) return [];
  return [
    make(
      "section.transfer",
      {},
      make("h3", {}, "Called at ", make("code", {}, oneLine(site, 200))),
      lines ? make("pre.text", {}, printable(lines.join("\n"), LONG_TEXT)) : null,
    ),
  ];
}

/** @param {Page} page @param {number} item @param {TraceEvent} start @param {TraceEvent | null} end */
function showFields(page, item, start, end) {
  const fold = make("details.fold", {}, make("summary", {}, "All recorded fields"));
  fold.addEventListener("toggle", () => {
    if (fold.childElementCount > 1) return;
    fold.append(
      make(
        "div.entries",
        {},
        make(
          "div.entry",
          {},
          make("span.key", {}, `#${page.table.number[item]}`),
          showValue(start, "", { page, event: 0 }, 1),
        ),
        end
          ? make(
              "div.entry",
              {},
              make("span.key", {}, `#${page.table.end[item]}`),
              showValue(end, "", { page, event: 0 }, 1),
            )
          : null,
      ),
    );
  });
  return fold;
}
