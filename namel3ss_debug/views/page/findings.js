// The failure view: what stands out in the run, and everything that failed.

const MOST_FAILURES = 100;

/**
 * Draw the findings and the failures.
 * @param {Page} page
 */
function startFindings(page) {
  const { trace, table } = page;
  const failures = failuresOf(table);
  byId("pane-findings").replaceChildren(
    make("h2", {}, outcomeText(trace)),
    trace.findings.length
      ? make("div", {}, ...trace.findings.map((finding) => showFinding(page, finding)))
      : make(
          "p.empty",
          {},
          "Nothing stands out. In a terminal: ",
          make("code", {}, `namel3ss debug analyze ${trace.reference}`),
        ),
    failures.length
      ? make("section", {}, make("h3", {}, countOf(failures.length, "failure")), listFailures(page, failures))
      : "",
  );
}

/** @param {Page} page @param {number[]} failures */
function listFailures(page, failures) {
  const { table } = page;
  const list = make("ul.plain");
  for (const item of failures.slice(0, MOST_FAILURES)) {
    const error = item < table.spans ? textOf(table, table.error, item) : textOf(table, table.gist, item);
    list.append(
      make(
        "li",
        {},
        make("span.failure", { "aria-hidden": "true" }, "✕ "),
        linkTo(page, table.number[item]),
        " ",
        make(
          "span.kind",
          { "data-hue": hueOf(textOf(table, table.component, item)) },
          oneLine(textOf(table, table.component, item), 20),
        ),
        " ",
        oneLine(textOf(table, table.name, item), 60),
        " ",
        make("span.quiet", {}, oneLine(error, 160)),
      ),
    );
  }
  if (failures.length > MOST_FAILURES)
    list.append(
      make("li.quiet", {}, `and ${formatCount(failures.length - MOST_FAILURES)} more; the filter shows them all`),
    );
  return list;
}

/** Return the sentence on how the run ended. @param {TraceFacts} trace */
function outcomeText(trace) {
  return oneLine(trace.outcome_text || trace.outcome, 160);
}
