// The few DOM helpers of the agent's page.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | boolean | ((event: Event) => void)>;

/** Makes an element. A function is an event listener, true an empty attribute, false none. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child)));
  return element;
}

/** A decorative icon; style.css draws it in the colour of the text. */
export function icon(name: string): HTMLElement {
  return el("span", { class: `icon icon-${name}`, "aria-hidden": "true" });
}

/** Puts an icon and a text into a button, in place of what it had. */
export function label(button: HTMLElement, name: string, text: string): void {
  button.replaceChildren(icon(name), el("span", {}, text));
}

/** Seconds as "3:07", from one hour on as "1:03:07". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = two(whole % 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${rest}` : `${minutes}:${rest}`;
}
