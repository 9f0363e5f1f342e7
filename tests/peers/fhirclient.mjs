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
