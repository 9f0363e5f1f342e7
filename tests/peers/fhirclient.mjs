// npm `fhirclient` against the endpoint given as the first argument: one line for each thing that worked.
import { createRequire } from "node:module";
import assert from "node:assert";

const peers = createRequire(`${process.env.PEERS}/node_modules/`);
const smart = peers("fhirclient");
const client = smart({ headers: {}, url: "/" }, {}, {}).client(process.argv[2]);
const done = (what) => console.log(what);

assert.equal(await client.getFhirVersion(), "4.0.1");
done("version");
const made = await client.create({ resourceType: "Patient", name: [{ family: "Smart" }],
  identifier: [{ system: "urn:smart", value: "1" }] });
assert.ok(made.id);
done("create");
const changed = await client.update({ ...made, active: true });
assert.equal(changed.meta.versionId, "2");
done("update");
const patched = await client.patch(`Patient/${made.id}`,
  [{ op: "replace", path: "/active", value: false }]);
assert.equal(patched.active, false);
done("patch");
assert.equal((await client.request(`Patient/${made.id}`)).meta.versionId, "3");
done("read");
for (const n of [1, 2, 3]) {
  await client.create({ resourceType: "Observation", status: "final", code: { text: `s${n}` },
    subject: { reference: `Patient/${made.id}` } });
}
const pages = await client.request(`Observation?subject=Patient/${made.id}&_count=1`,
  { pageLimit: 0, flat: true });
assert.equal(pages.length, 3);
done("all pages");
const resolved = await client.request(`Observation?subject=Patient/${made.id}`,
  { resolveReferences: ["subject"], graph: true });
assert.equal(resolved.entry[0].resource.subject.name[0].family, "Smart");
done("references");
await client.delete(`Patient/${made.id}`);
await assert.rejects(client.request(`Patient/${made.id}`), (error) => error.status === 410);
done("delete");

// Answers with status and headers, and refusals.
const ask = (url, method = "GET", headers = {}, body = undefined) => client.request({ url, method, includeResponse: true,
  headers: body === undefined ? headers : { "Content-Type": "application/fhir+json", ...headers },
  body: body === undefined ? undefined : JSON.stringify(body) });
const refused = async (status, url, ...rest) => {
  await assert.rejects(ask(url, ...rest), (error) => {
    assert.equal(error.status, status, error.message);
    return true;
  });
};
const patient = (family) => ({ resourceType: "Patient", name: [{ family }], identifier: [{ system: "urn:smart", value: family }] });
const person = await client.create(patient("Answers"));
const once = await ask("Patient", "POST", { "If-None-Exist": "identifier=urn:smart|Answers" }, patient("Answers"));
assert.equal(once.response.status, 200);
assert.equal(once.body.id, person.id);
assert.equal((await ask("Patient?identifier=urn:smart|Answers", "PUT", {}, { ...patient("Answers"), active: true })).body.id, person.id);
await refused(412, `Patient/${person.id}`, "PUT", { "If-Match": 'W/"1"' }, { ...person, active: false });
const empty = await ask(`Patient/${person.id}`, "PUT", { Prefer: "return=minimal" }, { ...person, gender: "other" });
assert.ok(empty.response.ok && !empty.body);
assert.equal((await ask(`Patient/${person.id}`, "PUT", { Prefer: "return=OperationOutcome" }, { ...person, gender: "female" }))
  .body.resourceType, "OperationOutcome");
done("conditions and prefer");
const kept = await ask(`Patient/${person.id}`, "GET", { "If-None-Match": 'W/"4"' }).catch((error) => error);
assert.equal(kept.status ?? kept.response.status, 304);
assert.equal((await client.request(`Patient/${person.id}/_history/1`)).meta.versionId, "1");
assert.equal((await client.request(`Patient/${person.id}/_history`)).entry.length, 4);
assert.ok((await client.request("Patient/_history?_count=2")).link.some((link) => link.relation === "next"));
assert.ok((await client.request("_history?_count=1")).entry.length === 1);
done("versions and history");
const byPath = await ask(`Patient/${person.id}`, "PATCH", {}, { resourceType: "Parameters", parameter: [{ name: "operation", part: [
  { name: "type", valueCode: "delete" }, { name: "path", valueString: "Patient.gender" }] }] });
assert.equal(byPath.body.gender, undefined);
await client.patch(`Patient/${person.id}`, [{ op: "add", path: "/birthDate", value: "1980-01-02" },
  { op: "copy", from: "/name/0", path: "/name/-" }]);
assert.equal((await client.request(`Patient/${person.id}`)).name.length, 2);
done("patches");
for (const n of [1, 2, 3]) {
  await client.create({ resourceType: "Observation", status: "final", code: { coding: [{ system: "urn:c", code: `c${n}` }] },
    effectiveDateTime: `2026-02-0${n}`, subject: { reference: `Patient/${person.id}` } });
}
const search = (query, type = "Observation") => client.request(`${type}?${query}`);
const order = (bundle) => bundle.entry.map((entry) => entry.resource.effectiveDateTime?.slice(-1)).join("");
assert.equal(order(await search("subject.identifier=urn:smart|Answers&_sort=-date")), "321");
assert.equal(order(await search("subject:Patient.family=answers&date=ge2026-02-02&_sort=date")), "23");
const around = await search(`_id=${person.id}&_revinclude=Observation:subject`, "Patient");
assert.deepEqual(around.entry.map((entry) => entry.search.mode), ["match", "include", "include", "include"]);
assert.equal((await search(`subject=${person.id}&_include=Observation:subject`)).entry.length, 4);
assert.equal((await search(`subject=${person.id}&_summary=count`)).total, 3);
const slim = (await search(`_id=${person.id}&_elements=birthDate`, "Patient")).entry[0].resource;
assert.ok(slim.birthDate && !slim.name && slim.meta.tag[0].code === "SUBSETTED");
assert.ok(!(await search(`_id=${person.id}&_summary=text`, "Patient")).entry[0].resource.birthDate);
const posted = await client.request({ url: "Observation/_search", method: "POST",
  headers: { "Content-Type": "application/x-www-form-urlencoded" }, body: `subject=${person.id}&code=urn:c|c2` });
assert.equal(posted.total, 1);
let turned = 0;
await client.request(`Observation?subject=${person.id}&_count=1&_sort=date`, { pageLimit: 0, onPage: () => { turned += 1; } });
assert.equal(turned, 3);
done("search");
const batch = await ask("", "POST", {}, { resourceType: "Bundle", type: "batch", entry: [
  { request: { method: "GET", url: `Patient/${person.id}` } }, { request: { method: "GET", url: "Patient/none" } }] });
assert.deepEqual(batch.body.entry.map((entry) => entry.response.status.slice(0, 3)), ["200", "404"]);
const uuid = "urn:uuid:7d0b6a52-4d3f-4b0c-9d55-1e6a3ac4aa05";
const transaction = await ask("", "POST", {}, { resourceType: "Bundle", type: "transaction", entry: [
  { fullUrl: uuid, resource: patient("Tx"), request: { method: "POST", url: "Patient", ifNoneExist: "identifier=urn:smart|Tx" } },
  { resource: { resourceType: "Observation", status: "final", code: { text: "t" }, subject: { reference: uuid } },
    request: { method: "POST", url: "Observation" } }] });
assert.deepEqual(transaction.body.entry.map((entry) => entry.response.status.slice(0, 3)), ["201", "201"]);
assert.equal((await search("subject.family=tx")).total, 1);
done("batch and transaction");
const id = "5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9d01";
const answer = await ask("$process-message", "POST", {}, { resourceType: "Bundle", type: "message", timestamp: "2026-01-02T03:04:05Z",
  entry: [{ fullUrl: `urn:uuid:${id}`, resource: { resourceType: "MessageHeader", id, source: { endpoint: "http://smart.example/fhir" },
    eventCoding: { system: "urn:events", code: "admit" } } }] });
assert.equal(answer.body.entry[0].resource.response.code, "ok");
done("process-message");
const outcome = await ask("Patient/$validate", "POST", {}, { resourceType: "Patient", gender: "zzz" });
assert.deepEqual(outcome.body.issue[0].expression, ["Patient.gender"]);
done("validate");
assert.equal((await ask(`Patient/${person.id}?_format=json`, "GET", { Accept: "text/html" })).body.id, person.id);
await refused(406, `Patient/${person.id}?_format=xml`);
await refused(415, "Patient", "POST", { "Content-Type": "text/plain" }, patient("Plain"));
await refused(405, "metadata", "DELETE");
await refused(422, "Patient", "POST", {}, { resourceType: "Patient", gender: "zzz" });
await refused(412, "Observation?status=final", "DELETE");
assert.equal((await ask("Patient?identifier=urn:smart|Answers", "DELETE")).response.status, 204);
await refused(410, `Patient/${person.id}`);
await refused(404, "Patient/none");
done("formats and refusals");
