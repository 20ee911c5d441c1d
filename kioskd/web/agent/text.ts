// The page's words, in the browser's language: French unless it is English.

import en from "./messages/en.json";
import fr from "./messages/fr.json";

const french: Record<string, string> = fr;
export const language = navigator.language.startsWith("en") ? "en" : "fr";
const texts: Record<string, string> = language === "en" ? en : fr;

/** The text of `key`, with "{place}" and the like replaced; the key itself when unknown. */
export function say(key: string, values: Record<string, string | number> = {}): string {
  const text = texts[key] ?? french[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** As `say` for one or for many: "key-one" is taken for one, where there is such a text. */
export function sayCount(key: string, count: number): string {
  const one = `${key}-one`;
  return say(count === 1 && one in french ? one : key, { count });
}

/** A figure with one decimal, as the page's language writes it. */
export function decimal(value: number): string {
  return value.toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

/** Says the reasons that are known to people; empty when there is none. */
export function sayReasons(reasons: unknown): string {
  const list = Array.isArray(reasons) ? reasons : [reasons];
  return list
    .filter((one): one is string => typeof one === "string" && `reason-${one}` in french)
    .map((one) => say(`reason-${one}`))
    .join(", ");
}

/** Why a kiosk takes no calls; empty for a reason that is not known to this page. */
export function sayUnavailable(reason: string): string {
  const key = `unavailable-${reason}`;
  return key in french ? say(key) : "";
}

/** The name of a BCP 47 language in the page's language; its tag when there is no name. */
export function sayLanguage(tag: string): string {
  try {
    return new Intl.DisplayNames([language], { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag; // the tag is not well formed
  }
}
