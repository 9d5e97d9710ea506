// What a model wrote, as elements: paragraphs, lists, code, emphasis. Text only ever becomes a text node, and
// links stay text, so nothing that a model says is markup, runs, or leads anywhere.

const INLINE = /(`[^`\n]+`|\*\*[^*\n]+\*\*|\*[^*\s][^*\n]*\*)/;
const ITEM = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$/;

export function render(text) {
  const result = document.createDocumentFragment();
  // A fence that is not closed yet, while an answer still arrives, is code to the end.
  text.split(/^```.*$/m).forEach((part, index) => {
    if (index % 2) result.append(element("pre", element("code", part.replace(/^\n|\n$/g, ""))));
    else part.split(/\n\s*\n/).filter((block) => block.trim()).forEach((block) => result.append(...blocks(block)));
  });
  return result;
}

function* blocks(text) {
  let list = null, paragraph = [];
  const ended = () => { const lines = paragraph; paragraph = []; return lines.length ? [element("p", ...spans(lines.join("\n")))] : []; };
  for (const line of text.trim().split("\n")) {
    const [, number, item] = line.match(ITEM) ?? [];
    if (item === undefined && !list) { paragraph.push(line.replace(/^#+\s+/, "")); continue; }
    if (item === undefined) { list.lastChild.append("\n", ...spans(line.trim())); continue; }
    yield* ended();
    const tag = number ? "ol" : "ul";
    if (list?.localName !== tag) { if (list) yield list; list = element(tag); if (number) list.start = number; }
    list.append(element("li", ...spans(item)));
  }
  yield* ended();
  if (list) yield list;
}

function spans(text) {
  return text.split(INLINE).filter(Boolean).map((span) => {
    if (!INLINE.test(span)) return span;
    if (span.startsWith("`")) return element("code", span.slice(1, -1));
    return span.startsWith("**") ? element("strong", span.slice(2, -2)) : element("em", span.slice(1, -1));
  });
}

export function element(tag, ...content) {
  const made = document.createElement(tag);
  made.append(...content);
  return made;
}
