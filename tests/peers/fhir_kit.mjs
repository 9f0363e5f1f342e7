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

// The answers themselves: status and headers, which the library keeps beside each body.
const answer_of = (body) => Client.httpFor(body).response;
const header = (body, name) => answer_of(body).headers.get(name);
const refusal = async (status, promise) => {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.response?.status ?? error.status, status, error.message);
    const told = error.response?.data ?? error.data;
    assert.equal(told.resourceType, "OperationOutcome");
    assert.ok(told.issue[0].severity && told.issue[0].code && told.issue[0].diagnostics, JSON.stringify(told));
    return told;
  }
  assert.fail(`${status} was expected`);
};
const ask = (url, method = "GET", headers = {}, body = undefined) =>
  client.request(url, { method, body,
    options: { headers: body === undefined ? headers : { "Content-Type": "application/fhir+json", ...headers } } });

const person = await client.create({ resourceType: "Patient", body: { ...patient("Answers"), birthDate: "1980-01-02",
  text: { status: "generated", div: '<div xmlns="http://www.w3.org/1999/xhtml">Answers</div>' } } });
assert.equal(answer_of(person).status, 201);
assert.ok(header(person, "location").endsWith(`/Patient/${person.id}/_history/1`));
assert.equal(header(person, "etag"), 'W/"1"');
assert.ok(Date.parse(header(person, "last-modified")));
done("headers of a create");
const kept = await ask(`Patient/${person.id}`, "GET", { "If-None-Match": 'W/"1"' }).catch((error) => error.response);
assert.equal((kept.status ?? answer_of(kept).status), 304);
const since = new Date(Date.now() + 60_000).toUTCString();
const unchanged = await ask(`Patient/${person.id}`, "GET", { "If-Modified-Since": since }).catch((error) => error.response);
assert.equal((unchanged.status ?? answer_of(unchanged).status), 304);
assert.equal((await ask(`Patient/${person.id}`, "GET", { "If-None-Match": 'W/"9"' })).id, person.id);
done("conditional read");
const minimal = await ask(`Patient/${person.id}`, "PUT", { Prefer: "return=minimal" }, { ...person, active: true });
assert.equal(answer_of(minimal).status, 200);
assert.equal(minimal.resourceType, undefined);
assert.equal(header(minimal, "etag"), 'W/"2"');
const told = await ask(`Patient/${person.id}`, "PUT", { Prefer: "return=OperationOutcome" }, { ...person, active: false });
assert.equal(told.resourceType, "OperationOutcome");
const whole = await ask(`Patient/${person.id}`, "PUT", { Prefer: "return=representation" }, { ...person, active: true });
assert.equal(whole.active, true);
done("prefer");
const operations = { resourceType: "Parameters", parameter: [{ name: "operation", part: [
  { name: "type", valueCode: "replace" }, { name: "path", valueString: "Patient.name[0].family" },
  { name: "value", valueString: "Path" }] }, { name: "operation", part: [
  { name: "type", valueCode: "add" }, { name: "path", valueString: "Patient" },
  { name: "name", valueString: "gender" }, { name: "value", valueCode: "other" }] }] };
const byPath = await ask(`Patient/${person.id}`, "PATCH", {}, operations);
assert.equal(byPath.name[0].family, "Path");
assert.equal(byPath.gender, "other");
const byMerge = await ask(`Patient/${person.id}`, "PATCH", { "Content-Type": "application/merge-patch+json" }, { gender: null });
assert.equal(byMerge.gender, undefined);
const byQuery = await ask("Patient?identifier=urn:kit|Answers", "PATCH", { "Content-Type": "application/json-patch+json" },
  [{ op: "test", path: "/name/0/family", value: "Path" }, { op: "replace", path: "/name/0/family", value: "Answers" }]);
assert.equal(byQuery.name[0].family, "Answers");
await refusal(404, ask("Patient?identifier=urn:kit|Nobody", "PATCH", { "Content-Type": "application/json-patch+json" }, []));
await refusal(412, client.patch({ resourceType: "Patient", id: person.id, options: { headers: { "If-Match": 'W/"1"' } },
  jsonPatch: [{ op: "remove", path: "/active" }] }));
await refusal(422, client.patch({ resourceType: "Patient", id: person.id,
  jsonPatch: [{ op: "test", path: "/active", value: "yes" }] }));
done("FHIRPath patch, merge patch, patch by search");
await refusal(412, client.create({ resourceType: "Observation", body: { resourceType: "Observation", status: "final",
  code: { text: "x" } }, options: { headers: { "If-None-Exist": "status=final" } } }));
const put = await client.update({ resourceType: "Patient", searchParams: { identifier: "urn:kit|Fresh" }, body: patient("Fresh") });
assert.equal(answer_of(put).status, 201);
const chosen = await client.update({ resourceType: "Patient", id: "chosen-1", body: { ...patient("Chosen"), id: "chosen-1" } });
assert.equal(answer_of(chosen).status, 201);
await refusal(400, client.update({ resourceType: "Patient", id: "chosen-1", body: { ...patient("Chosen"), id: "chosen-2" } }));
done("conditions and chosen ids");
const gone = await ask("Patient?identifier=urn:kit|Fresh", "DELETE");
assert.equal(answer_of(gone).status, 204);
await refusal(410, client.read({ resourceType: "Patient", id: put.id }));
await refusal(412, ask("Observation?status=final", "DELETE"));
assert.equal(answer_of(await ask("Patient?identifier=urn:kit|Fresh", "DELETE")).status, 204);
assert.equal(answer_of(await client.delete({ resourceType: "Patient", id: "never-there" })).status, 204);
done("conditional delete");
const versions = await client.history({ resourceType: "Patient", id: put.id });
assert.deepEqual(versions.entry.map((entry) => entry.request.method), ["DELETE", "POST"]);
const firstPage = await ask(`Patient/${person.id}/_history?_count=2`);
assert.equal(firstPage.type, "history");
assert.equal(firstPage.entry.length, 2);
let seen = 2;
for (let page = await client.nextPage({ bundle: firstPage }); page; page = await client.nextPage({ bundle: page })) {
  seen += page.entry.length;
}
assert.equal(seen, firstPage.total ?? seen);
assert.equal((await client.read({ resourceType: "Patient", id: person.id })).meta.versionId, String(seen));
const recent = await ask(`_history?_since=${encodeURIComponent(byPath.meta.lastUpdated)}`);
assert.ok(recent.entry.length >= 3 && recent.entry.every((entry) => entry.request && entry.response));
await refusal(404, client.vread({ resourceType: "Patient", id: person.id, version: "99" }));
await refusal(410, client.vread({ resourceType: "Patient", id: put.id, version: "2" }));
done("history pages and deleted versions");

const organization = await client.create({ resourceType: "Organization", body: { resourceType: "Organization", name: "Ward" } });
await client.patch({ resourceType: "Patient", id: person.id, jsonPatch: [{ op: "add", path: "/managingOrganization",
  value: { reference: `Organization/${organization.id}` } }] });
for (const [n, code] of [[1, "8867-4"], [2, "8310-5"], [3, "8867-4"], [4, "8867-4"]]) {
  await client.create({ resourceType: "Observation", body: { resourceType: "Observation", status: n === 4 ? "amended" : "final",
    code: { coding: [{ system: "http://loinc.org", code }] }, subject: { reference: `Patient/${person.id}` },
    effectiveDateTime: `2026-03-0${n}`, valueQuantity: { value: n * 1.5, unit: "x", system: "http://unitsofmeasure.org", code: "1" } } });
}
const find = async (resourceType, searchParams) =>
  (await client.search({ resourceType, searchParams })).entry?.filter((entry) => entry.search.mode === "match")
    .map((entry) => entry.resource) ?? [];
const count = async (resourceType, searchParams) => (await find(resourceType, searchParams)).length;
const mine = { subject: `Patient/${person.id}` };
assert.equal(await count("Observation", { ...mine, code: "http://loinc.org|8867-4" }), 3);
assert.equal(await count("Observation", { ...mine, code: "8310-5,8867-4", status: "final" }), 3);
assert.equal(await count("Observation", { ...mine, "status:not": "final" }), 1);
assert.equal(await count("Observation", { ...mine, date: ["ge2026-03-02", "lt2026-03-04"] }), 2);
assert.equal(await count("Observation", { ...mine, "value-quantity": "gt3" }), 2);
assert.equal(await count("Observation", { ...mine, "value-quantity": "1.5|http://unitsofmeasure.org|1" }), 1);
assert.equal(await count("Patient", { "family:exact": "Answers" }), 1);
assert.equal(await count("Patient", { "family:contains": "NSWE" }), 1);
assert.equal(await count("Patient", { "family:exact": "answers" }), 0);
assert.equal(await count("Patient", { birthdate: "1980", identifier: "urn:kit|" }), 1);
assert.equal(await count("Patient", { _id: person.id, "gender:missing": "true" }), 1);
assert.equal(await count("Patient", { _lastUpdated: "lt2020" }), 0);
done("modifiers and prefixes");
assert.equal(await count("Observation", { "subject:Patient.family": "answers" }), 4);
assert.equal(await count("Observation", { "patient.identifier": "urn:kit|Answers", code: "8310-5" }), 1);
assert.equal(await count("Patient", { "organization.name": "ward" }), 1);
assert.equal(await count("Patient", { "_has:Observation:patient:code": "8310-5", identifier: "urn:kit|Answers" }), 1);
assert.equal(await count("Patient", { "_has:Observation:patient:code": "none" }), 0);
assert.equal(await count("Observation", { ...mine, "code-value-quantity": "http://loinc.org|8867-4$gt4" }), 2);
assert.equal(await count("Observation", { "code:text": "V1" }), 1);
const everywhere = await client.search({ searchParams: { _type: "Patient,Organization", _id: `${person.id},${organization.id}` } });
assert.deepEqual(everywhere.entry.map((entry) => entry.resource.resourceType).sort(), ["Organization", "Patient"]);
done("chains");
const around = await client.search({ resourceType: "Patient", searchParams: { _id: person.id,
  _revinclude: "Observation:subject", _include: "Patient:organization" } });
assert.deepEqual(around.entry.map((entry) => [entry.search.mode, entry.resource.resourceType]).sort(), [
  ["include", "Observation"], ["include", "Observation"], ["include", "Observation"], ["include", "Observation"],
  ["include", "Organization"], ["match", "Patient"]]);
done("include and revinclude");
const dates = (resources) => resources.map((resource) => resource.effectiveDateTime.slice(-1)).join("");
assert.equal(dates(await find("Observation", { ...mine, _sort: "-date" })), "4321");
assert.equal(dates(await find("Observation", { ...mine, _sort: "code,-date" })), "2431");
done("sort");
const [summary] = await find("Patient", { _id: person.id, _summary: "true" });
assert.ok(summary.name && summary.meta.tag.some((tag) => tag.code === "SUBSETTED"));
assert.equal(summary.text, undefined);
assert.equal((await find("Patient", { _id: person.id, _summary: "text" }))[0].name, undefined);
assert.equal((await find("Patient", { _id: person.id, _summary: "data" }))[0].text, undefined);
const counted = await client.search({ resourceType: "Observation", searchParams: { ...mine, _summary: "count" } });
assert.equal(counted.total, 4);
assert.equal(counted.entry, undefined);
const [some] = await find("Patient", { _id: person.id, _elements: "birthDate" });
// `active` changes what the rest means: it stays.
assert.deepEqual(Object.keys(some).sort(), ["active", "birthDate", "id", "meta", "resourceType"]);
const read = await ask(`Patient/${person.id}?_summary=true`);
assert.equal(read.text, undefined);
done("summary and elements");
let bundle = await client.search({ resourceType: "Observation", searchParams: { ...mine, _count: "1", _sort: "date", _total: "accurate" } });
let order = "";
while (bundle) {
  assert.equal(bundle.total, 4);
  order += dates(bundle.entry.map((entry) => entry.resource));
  bundle = await client.nextPage({ bundle });
}
assert.equal(order, "1234");
await refusal(400, ask("Observation?_page=made-up"));
done("paging");
assert.equal((await find("Patient", { "made-up": "1", _id: person.id })).length, 1);
await refusal(400, ask("Patient?made-up=1", "GET", { Prefer: "handling=strict" }));
await refusal(400, ask("Patient?birthdate=yesterday"));
await refusal(400, ask("Observation?subject.organization.made.up=1"));
done("parameters nobody knows");

const mixed = await client.batch({ body: { resourceType: "Bundle", type: "batch", entry: [
  { resource: patient("Batch"), request: { method: "POST", url: "Patient", ifNoneExist: "identifier=urn:kit|Batch" } },
  { resource: patient("Batch"), request: { method: "POST", url: "Patient", ifNoneExist: "identifier=urn:kit|Answers" } },
  { resource: { resourceType: "Patient", gender: "zzz" }, request: { method: "POST", url: "Patient" } },
  { request: { method: "GET", url: `Observation?subject=Patient/${person.id}&_summary=count` } },
  { request: { method: "GET", url: `Patient/${person.id}`, ifNoneMatch: 'W/"99"' } },
  { request: { method: "DELETE", url: "Patient/never-there" } }] } });
assert.deepEqual(mixed.entry.map((entry) => entry.response.status.slice(0, 3)), ["201", "200", "422", "200", "200", "204"]);
assert.equal(mixed.entry[2].response.outcome.resourceType, "OperationOutcome");
assert.equal(mixed.entry[3].resource.total, 4);
done("batch");
const uuid = "urn:uuid:7d0b6a52-4d3f-4b0c-9d55-1e6a3ac4aa02";
const written = await client.transaction({ options: { headers: { Prefer: "return=representation" } },
  body: { resourceType: "Bundle", type: "transaction", entry: [
  { resource: { resourceType: "Observation", status: "final", code: { text: "c" },
    subject: { reference: "Patient?identifier=urn:kit|Answers" }, encounter: { reference: uuid } },
    request: { method: "POST", url: "Observation" } },
  { fullUrl: uuid, resource: { resourceType: "Encounter", status: "in-progress",
    class: { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "IMP" },
    subject: { reference: `Patient/${person.id}` } }, request: { method: "POST", url: "Encounter" } },
  { resource: { ...patient("Put"), id: "put-1" }, request: { method: "PUT", url: "Patient/put-1" } },
  { request: { method: "GET", url: "Patient/put-1" } }] } });
assert.deepEqual(written.entry.map((entry) => entry.response.status.slice(0, 3)), ["201", "201", "201", "200"]);
assert.equal(written.entry[0].resource.subject.reference, `Patient/${person.id}`);
assert.equal(written.entry[0].resource.encounter.reference, `Encounter/${written.entry[1].resource.id}`);
await refusal(422, client.transaction({ body: { resourceType: "Bundle", type: "transaction", entry: [
  { resource: patient("Half"), request: { method: "POST", url: "Patient" } },
  { resource: { resourceType: "Patient", gender: "zzz" }, request: { method: "POST", url: "Patient" } }] } }));
assert.equal(await count("Patient", { identifier: "urn:kit|Half" }), 0);
await refusal(412, client.transaction({ body: { resourceType: "Bundle", type: "transaction", entry: [
  { resource: { ...patient("Put"), id: "put-1", active: true }, request: { method: "PUT", url: "Patient/put-1", ifMatch: 'W/"7"' } }] } }));
done("transaction");

const message = (id, family) => ({ resourceType: "Bundle", type: "message", timestamp: "2026-01-02T03:04:05Z", entry: [
  { fullUrl: `urn:uuid:${id}`, resource: { resourceType: "MessageHeader", id, eventCoding: { system: "urn:events", code: "admit" },
    source: { name: "Kit", endpoint: "http://kit.example/fhir" }, focus: [{ reference: uuid }] } },
  { fullUrl: uuid, resource: patient(family) }] });
const id = "5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9c01";
const first = await client.operation({ name: "process-message", input: message(id, "Message") });
assert.equal(first.entry[0].resource.response.code, "ok");
assert.equal(first.entry[0].resource.response.identifier, id);
assert.deepEqual(await client.operation({ name: "process-message", input: message(id, "Message") }), first);
const other = await client.operation({ name: "process-message", input: message(id, "Other") }).catch((error) => error.response);
assert.equal(other.status, 422);
assert.equal(other.data.entry[0].resource.response.code, "fatal-error");
const late = await ask("$process-message?async=true&response-url=http://kit.example/in", "POST", {},
  message("5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9c02", "Later"));
assert.equal(answer_of(late).status, 202);
done("process-message");
const valid = await client.operation({ name: "validate", resourceType: "Patient", id: person.id, method: "GET" });
assert.deepEqual(valid.issue.map((issue) => issue.severity), ["information"]);
const checked = await client.operation({ name: "validate", resourceType: "Patient", input: { resourceType: "Parameters", parameter: [
  { name: "resource", resource: { resourceType: "Patient", birthDate: "yesterday" } }, { name: "mode", valueCode: "create" }] } });
assert.deepEqual(checked.issue[0].expression, ["Patient.birthDate"]);
done("validate with parameters");
for (const format of ["json", "application/fhir%2Bjson", "application/json"]) {
  assert.equal((await ask(`Patient/${person.id}?_format=${format}`, "GET", { Accept: "text/html" })).id, person.id);
}
await refusal(406, ask(`Patient/${person.id}?_format=xml`));
await refusal(406, ask(`Patient/${person.id}`, "GET", { Accept: "application/fhir+xml" }));
await refusal(415, ask("Patient", "POST", { "Content-Type": "application/fhir+xml" }, "<Patient/>"));
await refusal(405, ask(`Patient/${person.id}/_history/1`, "PUT", {}, person));
await refusal(404, ask("Made/1"));
await refusal(404, ask(`Patient/${person.id}/$made-up`, "POST", {}, {}));
await refusal(400, ask("Patient", "POST", { "Content-Type": "application/fhir+json" }, "{"));
const wrong = await refusal(422, client.create({ resourceType: "Patient", body: { resourceType: "Patient", gender: "zzz" } }));
assert.deepEqual(wrong.issue[0].expression, ["Patient.gender"]);
assert.ok(header(await ask("metadata", "GET", { "X-Request-Id": "kit-1" }), "x-request-id") === "kit-1");
done("formats and refusals");
