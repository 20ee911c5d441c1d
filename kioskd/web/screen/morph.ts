// Changes the page where it stands. A button that stays on the screen stays the same
// element, so that a slow press is not lost when something beside it changes.

/** What main.ts, levels.ts and keys.ts set by themselves. */
const OWN = ["style", "src", "data-shown", "aria-valuenow", "data-focus"];

/** Makes the children of `parent` like `fresh`. Children of a [data-slot] are left alone. */
export function morph(parent: Element, fresh: Node[]): void {
  const old: ChildNode[] = [...parent.childNodes];
  const children = fresh.map((node) => {
    const at = old.findIndex((one) => keyOf(one) === keyOf(node));
    const [kept] = at < 0 ? [] : old.splice(at, 1);
    if (kept) sync(kept, node);
    return kept ?? node;
  });
  for (const gone of old) gone.remove();
  children.forEach((node, index) => {
    const there = parent.childNodes[index];
    if (there !== node) parent.insertBefore(node, there ?? null);
  });
}

/** Two nodes with the same key are the same thing on the screen. */
function keyOf(node: Node): string {
  if (!(node instanceof Element)) return node.nodeName;
  const name = node.getAttribute("data-testid") ?? node.getAttribute("data-key") ?? "";
  return `${node.nodeName} ${name}`;
}

function sync(node: Node, fresh: Node): void {
  if (!(node instanceof Element && fresh instanceof Element)) {
    if (node.nodeValue !== fresh.nodeValue) node.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  for (const { name } of [...node.attributes]) {
    if (!fresh.hasAttribute(name) && !OWN.includes(name)) node.removeAttribute(name);
  }
  if (!node.hasAttribute("data-slot")) morph(node, [...fresh.childNodes]);
}
