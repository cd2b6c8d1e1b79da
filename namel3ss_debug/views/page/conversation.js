// A model call as a conversation: what the model had already read folds to one line, what is new stands out.

/**
 * Show the messages that a model read, and its answer.
 * @param {Page} page
 * @param {number} item
 * @param {TraceEvent} start
 * @param {TraceEvent | null} end
 * @returns {Promise<HTMLElement>}
 */
async function showConversation(page, item, start, end) {
  const messages = Array.isArray(start.inputs?.messages) ? start.inputs.messages : [];
  const context = { page, event: page.table.number[item] };
  const box = make("div.conversation");
  const { changes, before } = await readChanges(page, item);
  /** @type {Map<number, MessageChange>} */
  const changed = new Map(changes.filter(([, how]) => how !== "dropped").map((change) => [change[0], change]));
  const dropped = changes.filter(([, how]) => how === "dropped");
  let folded = 0;
  for (let index = 0; index <= messages.length; index++) {
    if (index < messages.length && changes.length && !changed.has(index)) {
      folded++;
      continue;
    }
    if (folded) box.append(foldMessages(messages, index - folded, index, context));
    folded = 0;
    if (index === messages.length) break;
    const change = changed.get(index);
    const was = change && change[1] !== "added" ? before[change[2] ?? index] : undefined;
    box.append(showMessage(messages[index], `inputs.messages.${index}`, context, change?.[1] ?? "", was));
  }
  for (const [index] of dropped) {
    if (before[index] !== undefined) box.append(showMessage(before[index], "", context, "dropped", undefined));
  }
  if (!messages.length && start.inputs)
    box.append(make("div.message", {}, make("span.role", {}, "reads"), showValue(start.inputs, "inputs", context, 2)));
  if (end?.outputs) box.append(showAnswer(end.outputs, { page, event: page.table.end[item] }));
  return box;
}

/**
 * Return what was new to a model in its request, and the messages of the request before.
 * @param {Page} page
 * @param {number} item
 * @returns {Promise<{changes: MessageChange[], before: any[]}>}
 */
async function readChanges(page, item) {
  const { table } = page;
  const known = table.columns.messages?.[String(item)];
  if (!known) return { changes: [], before: [] };
  const changes = Array.isArray(known) ? known : known.changes;
  if (changes.every(([, how]) => how === "added")) return { changes, before: [] };
  const against = Array.isArray(known) ? callBefore(table, item) : known.against;
  const event = against >= 0 ? await page.blocks.event(table.number[against]) : null;
  return { changes, before: event?.inputs?.messages ?? [] };
}

/** Return the model call before another of the same agent. @param {Table} table @param {number} item */
function callBefore(table, item) {
  for (let row = item - 1; row >= 0; row--)
    if (table.component[row] === table.component[item] && table.agent[row] === table.agent[item]) return row;
  return -1;
}

/**
 * @param {any[]} messages
 * @param {number} first
 * @param {number} stop
 * @param {ValueContext} context
 */
function foldMessages(messages, first, stop, context) {
  const fold = make(
    "details.fold.before",
    {},
    make("summary", {}, `${countOf(stop - first, "message")} that it had already read`),
  );
  fold.addEventListener("toggle", () => {
    if (fold.childElementCount > 1) return;
    for (let index = first; index < stop; index++)
      fold.append(showMessage(messages[index], `inputs.messages.${index}`, context, "", undefined));
  });
  return fold;
}

/**
 * @param {any} message
 * @param {string} path
 * @param {ValueContext} context
 * @param {string} how it changed; empty: it did not, or that is not known
 * @param {any} was the message before it changed
 */
function showMessage(message, path, context, how, was) {
  const role = oneLine(message?.role ?? "message", 20);
  const note =
    how && how !== "added"
      ? make("span.how", {}, how === "truncated" ? "cut" : how)
      : how === "added"
        ? make("span.how", { title: "not in the request before" }, "new")
        : null;
  const box = make("div.message", { "data-role": role, "data-how": how }, make("div.role", {}, role, note));
  const body = make("div.parts");
  if (was !== undefined && how !== "dropped") body.append(showWords(textOfMessage(was), textOfMessage(message)));
  else if (Array.isArray(message?.parts))
    message.parts.forEach((/** @type {any} */ part, /** @type {number} */ index) =>
      body.append(showPart(part, `${path}.parts.${index}`, context)),
    );
  else
    body.append(
      showValue(message?.content ?? message, message?.content === undefined ? path : `${path}.content`, context, 2),
    );
  box.append(body);
  return box;
}

/** @param {any} message @returns {string} */
function textOfMessage(message) {
  if (!Array.isArray(message?.parts))
    return typeof message?.content === "string" ? message.content : JSON.stringify(message, null, 1);
  return message.parts
    .map((/** @type {any} */ part) =>
      typeof part?.content === "string" ? part.content : JSON.stringify(part, null, 1),
    )
    .join("\n");
}

/**
 * @param {any} part
 * @param {string} path
 * @param {ValueContext} context
 * @returns {HTMLElement}
 */
function showPart(part, path, context) {
  if (part?.type === "text" && typeof part.content === "string")
    return showValue(part.content, `${path}.content`, context);
  if (part?.type === "reasoning")
    return make(
      "div.part.reasoning",
      {},
      make("span.quiet", {}, "thinks"),
      showValue(part.content ?? part, `${path}.content`, context, 1),
    );
  if (part?.type === "tool_call") return showCall(part, path, context);
  if (part?.type === "tool_call_response") {
    const key = "response" in part ? "response" : "result";
    return showValue(part[key], `${path}.${key}`, context, 1);
  }
  const picture = part?.type === "blob" ? showPicture(part.mime_type, part.content) : null;
  if (picture) return picture;
  if (part?.type === "blob")
    return make(
      "p.quiet",
      {},
      oneLine(`${part.mime_type ?? "data"}, ${formatCount(String(part.content ?? "").length)} characters of base64`),
    );
  return showValue(part, path, context, 1);
}

/**
 * @param {any} call
 * @param {string} path
 * @param {ValueContext} context
 */
function showCall(call, path, context) {
  return make(
    "div.part",
    {},
    make("span.call", { "data-hue": "tool" }, `calls ${oneLine(call?.name, 60)}`),
    showValue(call?.arguments, `${path}.arguments`, context, 1),
  );
}

/**
 * @param {any} outputs
 * @param {ValueContext} context
 */
function showAnswer(outputs, context) {
  const body = make("div.parts");
  if (typeof outputs.reasoning === "string")
    body.append(
      make(
        "div.part.reasoning",
        {},
        make("span.quiet", {}, "thinks"),
        showValue(outputs.reasoning, "outputs.reasoning", context),
      ),
    );
  if (outputs.text) body.append(showValue(outputs.text, "outputs.text", context));
  if (Array.isArray(outputs.tool_calls))
    outputs.tool_calls.forEach((/** @type {any} */ call, /** @type {number} */ index) =>
      body.append(showCall(call, `outputs.tool_calls.${index}`, context)),
    );
  const {
    text: _text,
    tool_calls: _calls,
    reasoning: _reasoning,
    finish_reason: reason,
    response_model: model,
    ...rest
  } = outputs;
  if (Object.keys(rest).length) body.append(showValue(rest, "outputs", context, 1));
  if (!body.childElementCount) body.append(make("span.quiet", {}, "(an empty answer)"));
  const note = [reason && `ended: ${oneLine(reason, 30)}`, model && `by ${oneLine(model, 60)}`]
    .filter(Boolean)
    .join(", ");
  if (note) body.append(make("p.quiet", {}, note));
  return make("div.message.answer", {}, make("div.role", {}, "answers"), body);
}
