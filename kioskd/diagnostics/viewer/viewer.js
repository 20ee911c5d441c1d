"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const WORDS = {
  fr: {
    made: "établi le {made} par kioskd {kioskd}",
    healthy: "Tout va bien", degraded: "Dégradée", broken: "En panne",
    findings: "Ce qui ne va pas", none: "Rien à signaler.",
    means: "Usagers", cause: "Cause", detail: "Constaté", action: "À faire", also: "D'où aussi",
    glance: "La borne", dead: "kioskd n'a pas répondu : il n'y a pas d'état de la borne.",
    broker: "Serveur d'appels", screen: "Écran", visit: "Visite", up: "En marche depuis",
    lag: "Retard de la boucle", memory: "Mémoire", service: "Service",
    yes: "connecté", no: "NON CONNECTÉ", in: "en service", off: "en maintenance",
    after: "maintenance après la visite", choosing: "personne", closed: "service fermé",
    waiting: "attend", connecting: "connexion", talking: "en communication", ended: "finie",
    devices: "Appareils", device: "appareil", state: "état", reason: "raison", driver: "pilote",
    log: "Journal", all: "tout", least: "au moins", any: "tous les appareils",
    search: "Chercher dans le journal", troubles: "Seulement ce qui est expliqué",
    lines: "{shown} lignes sur {total}",
    left: "{left} lignes plus anciennes ont été omises pour la taille",
    more: "les {count} dernières sont ici ; log.jsonl a les {lines}",
    nolog: "Pas de journal : {from}", files: "Détails",
    masked: "Masqués : mots de passe, jetons, clés, adresses de courriel et adresses publiques, moitié des adresses matérielles.",
    camera: "caméra", microphone: "microphone", speaker: "haut-parleur", scanner: "scanner",
    printer: "imprimante", panel: "boutons",
    ready: "prêt", busy: "en usage", absent: "absent", failed: "en panne",
    state_degraded: "dégradé", unchecked: "Non vérifié",
  },
  en: {
    made: "made on {made} by kioskd {kioskd}",
    healthy: "All is well", degraded: "Degraded", broken: "Broken",
    findings: "What is wrong", none: "Nothing to report.",
    means: "Residents", cause: "Cause", detail: "Seen", action: "Do", also: "Therefore also",
    glance: "The kiosk", dead: "kioskd did not answer: there is no status of the kiosk.",
    broker: "Broker", screen: "Screen", visit: "Visit", up: "Up for",
    lag: "Loop lag", memory: "Memory", service: "Service",
    yes: "connected", no: "NOT CONNECTED", in: "in service", off: "in maintenance",
    after: "maintenance after the visit", choosing: "nobody", closed: "service closed",
    waiting: "waits", connecting: "connecting", talking: "talks", ended: "over",
    devices: "Devices", device: "device", state: "state", reason: "reason", driver: "driver",
    log: "Log", all: "all", least: "at least", any: "all devices",
    search: "Search in the log", troubles: "Only what is explained",
    lines: "{shown} lines of {total}",
    left: "{left} older lines were left out for the size",
    more: "the last {count} are here; log.jsonl has all {lines}",
    nolog: "No log: {from}", files: "Details",
    masked: "Masked: passwords, tokens, keys, e-mail and public addresses, half of hardware addresses.",
    camera: "camera", microphone: "microphone", speaker: "loudspeaker", scanner: "scanner",
    printer: "printer", panel: "buttons",
    ready: "ready", busy: "in use", absent: "absent", failed: "failed",
    state_degraded: "degraded", unchecked: "Not checked",
  },
};
const LEVELS = ["debug", "info", "warning", "error", "critical"];
const COLOURS = {
  healthy: "good", degraded: "warn", broken: "bad", note: "note",
  ready: "good", busy: "good", absent: "warn", failed: "bad",
};
const shown = { language: DATA.language, level: "debug", device: "", text: "", explained: false };

function say(key, values = {}) {
  return WORDS[shown.language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function el(tag, attributes, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") one.addEventListener(name, value);
    else if (value !== null && value !== false) one.setAttribute(name, value === true ? "" : value);
  }
  one.append(...children.filter((child) => child !== null && child !== undefined));
  return one;
}

function when(iso, seconds = true) {
  const style = seconds ? "medium" : "short";
  return new Date(iso).toLocaleString(shown.language, { dateStyle: "short", timeStyle: style });
}

function reason(code) {
  return code === null ? "" : (DATA.words[shown.language].reasons[code] ?? code);
}

function why(finding) {
  return `${finding}  ${DATA.words[shown.language].findings[finding] ?? ""}`;
}

function span(seconds) {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  const hours = Math.floor(seconds / 3600);
  return hours < 48 ? `${hours} h ${Math.floor((seconds % 3600) / 60)} min` : `${Math.floor(hours / 24)} d`;
}

function head() {
  const { manifest } = DATA;
  const verdict = DATA.doctor[shown.language].verdict;
  const speak = Object.keys(WORDS).map((code) =>
    el("button", {
      type: "button", lang: code, "aria-pressed": String(code === shown.language),
      click: () => { shown.language = code; draw(); },
    }, code.toUpperCase()),
  );
  return [
    el("h1", {}, manifest.kiosk ?? "kioskd"),
    el("span", { class: `chip ${COLOURS[verdict]}`, id: "verdict" }, say(verdict)),
    el("span", { class: "made" }, say("made", { made: when(manifest.made), kioskd: manifest.kioskd })),
    ...speak,
  ];
}

function findings() {
  const report = DATA.doctor[shown.language];
  const cards = report.findings.map((one) => {
    const rows = ["means", "cause", "detail", "action"].filter((key) => one[key]).flatMap((key) => [
      el("dt", {}, say(key)), el("dd", { class: key }, one[key]),
    ]);
    for (const effect of one.consequences) {
      rows.push(el("dt", {}, say("also")), el("dd", {}, `${effect.id} ${effect.title}`));
    }
    return el("article", { class: `finding ${COLOURS[one.severity]}` },
      el("h3", {}, el("span", { class: "id" }, one.id), one.title), el("dl", {}, ...rows));
  });
  const left = report.checks.filter((one) => one.left_out !== null);
  const unchecked = left.map((one) => `${one.name} (${one.left_out})`).join(", ");
  return el("section", { id: "findings" }, el("h2", {}, say("findings")),
    ...(cards.length > 0 ? cards : [el("p", {}, say("none"))]),
    left.length > 0 ? el("p", { class: "count" }, `${say("unchecked")} : ${unchecked}`) : null);
}

function tile(name, value, kind) {
  return el("div", { class: `tile ${kind ?? ""}` }, el("span", {}, say(name)), el("b", {}, value));
}

function glance() {
  const one = DATA.status;
  const title = el("h2", {}, say("glance"));
  if (one === null) return el("section", { id: "glance" }, title, el("p", {}, say("dead")));
  const wired = (name, well) => tile(name, say(well ? "yes" : "no"), well ? "" : "bad");
  const stage = { off: "in", on: "off", "after-visit": "after" }[one.maintenance.stage];
  const call = [say(one.call.scene), one.call.service].filter(Boolean).join(", ");
  const rows = one.devices.map((device) => {
    const word = device.state === "degraded" ? say("state_degraded") : say(device.state);
    return el("tr", {},
      el("td", {}, say(device.kind)),
      el("td", {}, el("span", { class: `chip ${device.reason === "not-configured" ? "" : COLOURS[device.state]}` }, word)),
      el("td", {}, [reason(device.reason), device.detail].filter(Boolean).join(" : ")),
      el("td", {}, device.driver));
  });
  const names = ["device", "state", "reason", "driver"].map((name) => el("th", {}, say(name)));
  return el("section", { id: "glance" }, title,
    el("div", { class: "tiles" },
      tile("service", say(stage), stage === "in" ? "" : "note"),
      wired("broker", one.broker_online), wired("screen", one.screen_connected),
      tile("visit", call), tile("up", span(one.uptime_s)),
      tile("lag", `${Math.round(one.loop_lag_p99_ms)} ms`),
      tile("memory", `${Math.round(one.process.rss_kb / 1024)} MB`)),
    el("table", {}, el("thead", {}, el("tr", {}, ...names)), el("tbody", {}, ...rows)));
}

function wanted(line) {
  if (LEVELS.indexOf(line.level ?? "debug") < LEVELS.indexOf(shown.level)) return false;
  if (shown.explained && !line.finding) return false;
  if (shown.device && !JSON.stringify([line.device, line.worker, line.event]).includes(shown.device)) return false;
  return !shown.text || JSON.stringify(line).toLowerCase().includes(shown.text.toLowerCase());
}

function logLine(line) {
  const { event, level, timestamp, finding, ...fields } = line;
  const text = Object.entries(fields).filter(([, value]) => value !== "")
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
  return el("div", { class: `line ${level ?? ""}` },
    el("span", { class: "when" }, timestamp ? when(timestamp) : ""),
    el("span", {}, level ?? ""),
    el("span", {}, el("b", {}, event), ` ${text}`, finding ? el("span", { class: "why" }, why(finding)) : null));
}

function fillLog() {
  const lines = DATA.log.filter(wanted);
  document.getElementById("lines").replaceChildren(...lines.map(logLine));
  document.getElementById("count").textContent = say("lines", { shown: lines.length, total: DATA.log.length });
}

function log() {
  const told = DATA.manifest.log;
  const title = el("h2", {}, say("log"));
  if (told.lines === 0) return el("section", { id: "log" }, title, el("p", {}, say("nolog", told)));
  const pick = (key, label, options) => el("select", {
    "aria-label": label, change: (event) => { shown[key] = event.target.value; fillLog(); },
  }, ...options.map(([value, text]) => el("option", { value, selected: value === shown[key] }, text)));
  const kinds = ["camera", "microphone", "speaker", "scanner", "printer", "panel"];
  const only = el("button", {
    type: "button", "aria-pressed": String(shown.explained),
    click: (event) => {
      shown.explained = !shown.explained;
      event.target.setAttribute("aria-pressed", String(shown.explained));
      fillLog();
    },
  }, say("troubles"));
  const search = el("input", {
    type: "search", placeholder: say("search"), "aria-label": say("search"), value: shown.text,
    input: (event) => { shown.text = event.target.value; fillLog(); },
  });
  const notes = [
    told.left_out > 0 ? say("left", { left: told.left_out }) : null,
    told.shown < told.lines ? say("more", { count: told.shown, lines: told.lines }) : null,
  ].filter(Boolean);
  return el("section", { id: "log" }, title,
    el("div", { class: "filters" },
      pick("level", say("least"), LEVELS.map((one) => [one, one === "debug" ? say("all") : one])),
      pick("device", say("device"), [["", say("any")], ...kinds.map((one) => [one, say(one)])]),
      only, search, el("span", { class: "count", id: "count" })),
    el("div", { class: "log", id: "lines", tabindex: "0" }),
    notes.length > 0 ? el("p", { class: "count" }, notes.join(" ; ")) : null);
}

function files() {
  const names = Object.keys(DATA.parts).sort();
  return names.map((name) =>
    el("details", {},
      el("summary", {}, name, el("span", {}, `${(DATA.parts[name].length / 1000).toFixed(1)} kB`)),
      el("pre", {}, DATA.parts[name])));
}

function draw() {
  document.documentElement.lang = shown.language;
  document.title = `${DATA.manifest.kiosk ?? "kioskd"} - kioskd`;
  document.getElementById("head").replaceChildren(...head());
  document.getElementById("main").replaceChildren(
    findings(), glance(), log(), el("h2", {}, say("files")), ...files(),
    el("p", { class: "count" }, say("masked")));
  if (DATA.manifest.log.lines > 0) fillLog();
}

draw();
