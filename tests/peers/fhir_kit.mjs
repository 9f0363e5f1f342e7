// npm `fhir-kit-client` against the endpoint given as the first argument: one line for each thing that worked.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import assert from "node:assert";

const peers = createRequire(`${process.env.PEERS}/node_modules/`);
const entry = `${process.env.PEERS}/node_modules/fhir-kit-client/dist/index.js`;
const kit = await import(pathToFileURL(entry).href);
const Client = kit.default ?? kit.Client ?? kit.FhirKitClient;
const client = new Client({ baseUrl: process.argv[2] });
const done = (what) => console.log(what);
const fails = async (status, promise) => {
  try {
    await promise;
  } catch (error) {
    const got = error.response?.status ?? error.status;
    assert.equal(got, status, `${got} ${error.message}`);
    return;
  }
  assert.fail(`${status} was expected`);
};
void peers;

const statement = await client.capabilityStatement();
assert.equal(statement.fhirVersion, "4.0.1");
done("capabilities");

const patient = (family) => ({ resourceType: "Patient", name: [{ family }],
  identifier: [{ system: "urn:kit", value: family }] });
const made = await client.create({ resourceType: "Patient", body: patient("Kit") });
assert.ok(made.id);
done("create");
const again = await client.create({ resourceType: "Patient", body: patient("Kit"),
  options: { headers: { "If-None-Exist": "identifier=urn:kit|Kit" } } });
assert.equal(again.id, made.id);
done("conditional create");
assert.equal((await client.read({ resourceType: "Patient", id: made.id })).name[0].family, "Kit");
done("read");
const changed = await client.update({ resourceType: "Patient", id: made.id,
  body: { ...made, active: true }, options: { headers: { "If-Match": 'W/"1"' } } });
assert.equal(changed.meta.versionId, "2");
await fails(412, client.update({ resourceType: "Patient", id: made.id, body: { ...made, active: false },
  options: { headers: { "If-Match": 'W/"1"' } } }));
done("update");
const upserted = await client.update({ resourceType: "Patient",
  searchParams: { identifier: "urn:kit|Kit" }, body: patient("Kit") });
assert.equal(upserted.id, made.id);
done("conditional update");
const patched = await client.patch({ resourceType: "Patient", id: made.id,
  jsonPatch: [{ op: "add", path: "/gender", value: "female" }] });
assert.equal(patched.gender, "female");
done("patch");
assert.equal((await client.vread({ resourceType: "Patient", id: made.id, version: "1" })).meta.versionId, "1");
done("vread");
const history = await client.history({ resourceType: "Patient", id: made.id });
assert.ok(history.entry.length >= 3);
assert.ok((await client.history({ resourceType: "Patient" })).entry.length >= 3);
assert.ok((await client.history()).entry.length >= 3);
done("history");

for (const n of [1, 2, 3]) {
  await client.create({ resourceType: "Observation", body: { resourceType: "Observation", status: "final",
    code: { text: `v${n}` }, subject: { reference: `Patient/${made.id}` } } });
}
const page = await client.search({ resourceType: "Observation", searchParams: { subject: `Patient/${made.id}`,
  _count: "2", _include: "Observation:subject", _total: "accurate" } });
assert.equal(page.total, 3);
assert.equal(page.entry.filter((entry) => entry.search.mode === "include").length, 1);
const next = await client.nextPage({ bundle: page });
assert.equal(next.entry.filter((entry) => entry.search.mode === "match").length, 1);
done("search and pages");
const posted = await client.search({ resourceType: "Observation",
  searchParams: { "subject.name": "kit" }, options: { postSearch: true } });
assert.equal(posted.entry.length, 3);
done("posted search");

const answer = await client.transaction({ body: { resourceType: "Bundle", type: "transaction", entry: [
  { fullUrl: "urn:uuid:7d0b6a52-4d3f-4b0c-9d55-1e6a3ac4aa01", resource: patient("Tx"),
    request: { method: "POST", url: "Patient" } },
  { resource: { resourceType: "Observation", status: "final", code: { text: "t" },
    subject: { reference: "urn:uuid:7d0b6a52-4d3f-4b0c-9d55-1e6a3ac4aa01" } },
    request: { method: "POST", url: "Observation" } } ] } });
assert.deepEqual(answer.entry.map((entry) => entry.response.status.slice(0, 3)), ["201", "201"]);
const batch = await client.batch({ body: { resourceType: "Bundle", type: "batch", entry: [
  { request: { method: "GET", url: `Patient/${made.id}` } },
  { request: { method: "GET", url: "Patient/none" } } ] } });
assert.deepEqual(batch.entry.map((entry) => entry.response.status.slice(0, 3)), ["200", "404"]);
done("transaction and batch");
const outcome = await client.operation({ name: "validate", resourceType: "Patient",
  input: { resourceType: "Patient", gender: "zzz" } });
assert.equal(outcome.issue[0].severity, "error");
done("validate");
await client.delete({ resourceType: "Patient", id: made.id });
await fails(410, client.read({ resourceType: "Patient", id: made.id }));
await fails(404, client.read({ resourceType: "Patient", id: "none" }));
await fails(422, client.create({ resourceType: "Patient", body: { resourceType: "Patient", gender: "zzz" } }));
done("delete and refusals");
