// Word differences of two texts.

/** More words than this on a side are compared by their common beginning and end only. */
const MOST_WORDS = 1500;

/**
 * Return the pieces of two texts: the same, removed or added.
 * @param {string} before
 * @param {string} after
 * @returns {["same" | "removed" | "added", string][]}
 */
function diffWords(before, after) {
  const old = before.match(/\s+|[\w'-]+|[^\s\w]/g) ?? [];
  const now = after.match(/\s+|[\w'-]+|[^\s\w]/g) ?? [];
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head++;
  let tail = 0;
  while (
    tail < old.length - head &&
    tail < now.length - head &&
    old[old.length - 1 - tail] === now[now.length - 1 - tail]
  )
    tail++;
  /** @type {["same" | "removed" | "added", string][]} */
  const pieces = [];
  /** @param {"same" | "removed" | "added"} how @param {string} text */
  const add = (how, text) => {
    if (!text) return;
    const last = pieces.at(-1);
    if (last?.[0] === how) last[1] += text;
    else pieces.push([how, text]);
  };
  add("same", old.slice(0, head).join(""));
  const left = old.slice(head, old.length - tail);
  const right = now.slice(head, now.length - tail);
  if (left.length > MOST_WORDS || right.length > MOST_WORDS) {
    add("removed", left.join(""));
    add("added", right.join(""));
  } else for (const [how, word] of alignWords(left, right)) add(how, word);
  add("same", now.slice(now.length - tail).join(""));
  return pieces;
}

/**
 * Align words by their longest common subsequence.
 * @param {string[]} left
 * @param {string[]} right
 * @returns {["same" | "removed" | "added", string][]}
 */
function alignWords(left, right) {
  const width = right.length + 1;
  const longest = new Uint16Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      longest[i * width + j] =
        left[i] === right[j]
          ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  /** @type {["same" | "removed" | "added", string][]} */
  const aligned = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    if (left[i] === right[j]) {
      aligned.push(["same", right[j++]]);
      i++;
    } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) aligned.push(["removed", left[i++]]);
    else aligned.push(["added", right[j++]]);
  }
  while (i < left.length) aligned.push(["removed", left[i++]]);
  while (j < right.length) aligned.push(["added", right[j++]]);
  return aligned;
}

/**
 * Show the difference of two texts. Long equal stretches are cut, for the change is what is looked for.
 * @param {string} before
 * @param {string} after
 */
function showWords(before, after) {
  const box = make("pre.text");
  for (const [how, text] of diffWords(before, after)) {
    const shown = how === "same" && text.length > 240 ? `${text.slice(0, 100)} … ${text.slice(-100)}` : text;
    box.append(how === "same" ? printable(shown) : make(how === "added" ? "ins" : "del", {}, printable(shown)));
  }
  return box;
}
