import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { load } from "./load.mjs";

const { barPaths } = await load("../common/bars");
const { shown } = await load("quality");
const words = async (page) =>
  Promise.all(
    ["fr", "en"].map(async (language) => {
      const file = new URL(`../../${page}/messages/${language}.json`, import.meta.url);
      return JSON.parse(await readFile(file, "utf8"));
    }),
  );
const said = (bars, direction = null) => ({ bars, mos: 3, poor: bars <= 2, direction });

test("there are always four bars, as many of them full as are told", () => {
  const count = (path) => path.split("M").length - 1;
  for (let bars = 0; bars <= 4; bars++) {
    const { full, empty } = barPaths(bars);
    assert.equal(count(full), bars);
    assert.equal(count(empty), 4 - bars);
  }
});

test("the kiosk's word counts before what is measured here", () => {
  assert.deepEqual(shown(said(4), "poor", false), { bars: 4, level: "good", notes: [] });
  assert.deepEqual(shown(said(3), "poor", false), { bars: 3, level: "fair", notes: [] });
  assert.deepEqual(shown(said(1), "good", false).notes, ["line-weak"]);
  assert.deepEqual(shown(said(0, "to-kiosk"), "good", false).notes, ["line-weak", "speak-slowly"]);
});

test("a kiosk that says nothing, or knows nothing, leaves it to this side", () => {
  for (const told of [null, { ...said(4), bars: null }, { bars: "many" }]) {
    assert.equal(shown(told, "good", false).bars, 4);
    assert.equal(shown(told, "fair", false).level, "fair");
    assert.equal(shown(told, "poor", false).bars, 1);
  }
});

test("bars out of range are drawn as the nearest", () => {
  assert.equal(shown({ bars: 99, poor: false }, "good", false).bars, 4);
  assert.equal(shown({ bars: -9, poor: true }, "good", false).bars, 0);
});

test("an interruption has no bars, whatever was said before", () => {
  assert.deepEqual(shown(said(4), "good", true), { bars: 0, level: "lost", notes: [] });
});

test("both pages have words for all of it, in both languages", async () => {
  for (const texts of await words("agent")) {
    for (const key of ["good", "fair", "poor", "lost", "score", "detail"])
      assert.ok(texts[`quality-${key}`], key);
    for (const key of ["line-weak", "speak-slowly"]) assert.ok(texts[key], key);
  }
  for (const texts of await words("screen"))
    for (let bars = 0; bars <= 4; bars++)
      assert.match(texts[`bars-${bars}`], new RegExp(`${bars}`));
});
