import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { WaitingLine, parse } = await load("line");

const status = (epoch, online = true) => ({ v: 1, type: "status", id: "x", online, epoch });
const waiting = (kiosk, since, more = {}) => ({
  ...{ v: 1, type: "waiting", id: "y", epoch: "e1", call: `call-${kiosk}`, kiosk, since },
  ...{ name: "Mairie", town: "Exempleville", service: "caf", language: "fr", ...more },
});
const names = (line) => line.list().map((one) => one.kiosk);

function lineOf(...entries) {
  const line = new WaitingLine();
  for (const entry of entries) {
    line.setStatus(entry.kiosk, status("e1"));
    line.setEntry("caf", entry.kiosk, entry);
  }
  return line;
}

test("the longest waiting comes first, the smaller kiosk id among equals", () => {
  const line = lineOf(waiting("c", 20), waiting("b", 10), waiting("a", 20));
  assert.deepEqual(names(line), ["b", "a", "c"]);
});

test("an entry counts only while its kiosk is online in the same epoch", () => {
  const line = lineOf(waiting("a", 10));
  line.setStatus("a", status("e1", false));
  assert.deepEqual(names(line), []);
  line.setStatus("a", status("e2"));
  assert.deepEqual(names(line), []);
  line.setStatus("a", status("e1"));
  assert.deepEqual(names(line), ["a"]);
  line.setStatus("a", null);
  assert.deepEqual(names(line), []);
});

test("the entry may come before the status", () => {
  const line = new WaitingLine();
  line.setEntry("caf", "a", waiting("a", 10));
  assert.deepEqual(names(line), []);
  line.setStatus("a", status("e1"));
  assert.deepEqual(names(line), ["a"]);
});

test("a cleared entry leaves the line", () => {
  const line = lineOf(waiting("a", 10), waiting("b", 20));
  line.setEntry("caf", "a", null);
  assert.deepEqual(names(line), ["b"]);
});

test("what does not belong where it was found is not shown", () => {
  for (const more of [
    { service: "cpam" },
    { kiosk: "other" },
    { call: "a/b" },
    { since: "soon" },
    { town: 3 },
    { type: "status" },
  ]) {
    const line = lineOf(waiting("a", 10));
    line.setEntry("caf", "a", waiting("a", 10, more));
    assert.deepEqual(names(line), [], JSON.stringify(more));
  }
});

test("only messages of version 1 are read", () => {
  assert.equal(parse(""), null);
  assert.equal(parse("null"), null);
  assert.equal(parse('{"v":2,"type":"status"}'), null);
  assert.equal(parse('{"v":1,"type":"status"}').type, "status");
});

test("a kiosk in maintenance is told of until it is back or gone", () => {
  const line = new WaitingLine();
  const closed = { ...status("e1"), name: "Mairie", unavailable: "maintenance" };
  line.setStatus("b", { ...closed, town: "Bourg" });
  line.setStatus("a", { ...closed, town: "Ambert" });
  line.setStatus("c", { ...status("e1"), name: "Mairie", town: "Cusset", unavailable: null });
  const towns = () => line.unavailable().map((one) => one.town);
  assert.deepEqual(towns(), ["Ambert", "Bourg"]);
  line.setStatus("a", status("e1"));
  assert.deepEqual(towns(), ["Bourg"]);
  line.setStatus("b", { ...closed, town: "Bourg", online: false });
  assert.deepEqual(towns(), []);
  line.setStatus("b", { ...closed, town: 3 });
  assert.deepEqual(towns(), []);
});
