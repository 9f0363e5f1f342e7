"""PyPI `fhirclient` against the endpoint given as the first argument: one line for each thing that worked."""

import json
import sys

from fhirclient import client
from fhirclient.models.bundle import Bundle, BundleEntry, BundleEntryRequest
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.fhirdatetime import FHIRDateTime
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.humanname import HumanName
from fhirclient.models.identifier import Identifier
from fhirclient.models.observation import Observation
from fhirclient.models.operationoutcome import OperationOutcome
from fhirclient.models.patient import Patient

smart = client.FHIRClient(settings={"app_id": "medway-test", "api_base": sys.argv[1]})
smart.prepare()
server = smart.server


def done(what):
    print(what, flush=True)


assert server.capabilityStatement.fhirVersion == "4.0.1"
done("capabilities")
patient = Patient()
patient.name = [HumanName({"family": "Smith-Py"})]
patient.identifier = [Identifier({"system": "urn:smart-py", "value": "1"})]
made = Patient(patient.create(server))
made.origin_server = server
assert made.meta.versionId == "1"
done("create")
made.active = True
assert made.update(server)["meta"]["versionId"] == "2"
done("update")
assert Patient.read(made.id, server).active is True
done("read")
for number in range(3):
    observation = Observation()
    observation.status = "final"
    observation.code = CodeableConcept({"text": str(number)})
    observation.subject = FHIRReference({"reference": f"Patient/{made.id}"})
    observation.create(server)
search = Observation.where({"subject": f"Patient/{made.id}", "_count": "2"})
assert len(list(search.perform_resources(server))) >= 2
done("search")
bundle = Bundle()
bundle.type = "transaction"
entry = BundleEntry()
entry.request = BundleEntryRequest({"method": "POST", "url": "Patient"})
entry.resource = Patient({"name": [{"family": "Bundle-Py"}]})
bundle.entry = [entry]
answer = bundle.create(server)
assert answer["entry"][0]["response"]["status"].startswith("201")
done("transaction")
made.delete(server)
try:
    Patient.read(made.id, server)
    raise AssertionError("a deleted patient was read")
except Exception as error:  # the library has its own classes for some statuses only
    assert "410" in str(error) or getattr(getattr(error, "response", None), "status_code", 0) == 410, error
done("delete")


def url(path):
    return server.base_uri.rstrip("/") + "/" + path


def asked(method, path, status, body=None, **headers):
    """One request through the library's own session; what came back."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("Accept", "application/fhir+json")
    if body is not None:
        named.setdefault("Content-Type", "application/fhir+json")
    data = json.dumps(body) if isinstance(body, (dict, list)) else body
    got = server.session.request(method, url(path), data=data, headers=named)
    assert got.status_code == status, (method, path, got.status_code, got.text)
    if status >= 400:
        outcome = got.json()
        assert outcome["resourceType"] == "OperationOutcome" and outcome["issue"][0]["severity"] in ("error", "fatal")
    return got


def document(family):
    return {"resourceType": "Patient", "name": [{"family": family}], "identifier": [{"system": "urn:smart-py", "value": family}]}


first = asked("POST", "Patient", 201, document("Answers"), If_None_Exist="identifier=urn:smart-py|Answers")
person = Patient(first.json())
person.origin_server = server
again = asked("POST", "Patient", 200, document("Answers"), If_None_Exist="identifier=urn:smart-py|Answers")
assert again.json()["id"] == person.id
assert first.headers["ETag"] == 'W/"1"' and f"Patient/{person.id}/_history/1" in first.headers["Location"]
asked("PUT", "Patient?identifier=urn:smart-py|Answers", 200, {**document("Answers"), "active": True})
asked("PUT", f"Patient/{person.id}", 412, {**document("Answers"), "id": person.id}, If_Match='W/"1"')
assert not asked("GET", f"Patient/{person.id}", 304, If_None_Match='W/"2"').content
body = {**document("Answers"), "id": person.id, "birthDate": "1980-01-02"}
assert not asked("PUT", f"Patient/{person.id}", 200, body, Prefer="return=minimal").content
done("conditions and prefer")
assert Patient.read_from(f"Patient/{person.id}/_history/1", server).meta.versionId == "1"
history = Bundle(server.request_json(f"Patient/{person.id}/_history"))
assert [entry.request.method for entry in history.entry] == ["PUT", "PUT", "POST"]
assert Bundle(server.request_json("Patient/_history?_count=1")).link[1].relation == "next"
assert Bundle(server.request_json("_history?_count=1")).entry
done("vread and history")
operations = [{"op": "add", "path": "/gender", "value": "female"}]
asked("PATCH", f"Patient/{person.id}", 200, operations, Content_Type="application/json-patch+json")
parts = [
    {"name": "type", "valueCode": "replace"},
    {"name": "path", "valueString": "Patient.gender"},
    {"name": "value", "valueCode": "other"},
]
parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
assert Patient(asked("PATCH", f"Patient/{person.id}", 200, parameters).json()).gender == "other"
done("patches")
for number in (1, 2, 3):
    observation = Observation()
    observation.status = "final"
    observation.code = CodeableConcept({"coding": [{"system": "urn:c", "code": f"c{number}"}]})
    observation.effectiveDateTime = FHIRDateTime(f"2026-02-0{number}T08:00:00Z")
    observation.subject = FHIRReference({"reference": f"Patient/{person.id}"})
    observation.create(server)


def codes(struct):
    found = Observation.where(struct).perform_resources(server)
    return [one.code.coding[0].code for one in found]


mine = {"subject": f"Patient/{person.id}"}
assert codes({**mine, "_sort": "-date"}) == ["c3", "c2", "c1"]
assert codes({**mine, "date": {"$and": ["ge2026-02-02", "lt2026-02-03"]}}) == ["c2"]
assert codes({**mine, "code": {"$or": ["c1", "c3"]}, "_sort": "date"}) == ["c1", "c3"]
assert codes({"subject.identifier": "urn:smart-py|Answers", "code": "c2"}) == ["c2"]
pages = Observation.where({**mine, "_count": "1", "_sort": "date"})
assert [one.code.coding[0].code for one in pages.perform_resources_iter(server)] == ["c1", "c2", "c3"]
included = Observation.where(mine).include("subject").perform(server)
assert [entry.search.mode for entry in included.entry].count("include") == 1
around = Patient.where({"_id": person.id}).include("subject", Observation, reverse=True).perform(server)
assert [entry.search.mode for entry in around.entry].count("include") == 3
assert Observation.where({**mine, "_summary": "count"}).perform(server).total == 3
slim = Patient.where({"_id": person.id, "_elements": "birthDate"}).perform(server).entry[0].resource
assert slim.birthDate and not slim.name
done("search, include, revinclude, summary, elements, pages")
batch = Bundle({"type": "batch", "entry": [{"request": {"method": "GET", "url": f"Patient/{person.id}"}}]})
assert batch.create(server)["entry"][0]["resource"]["id"] == person.id
done("batch")
header = "5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9f01"
message = {
    "resourceType": "Bundle",
    "type": "message",
    "timestamp": "2026-01-02T03:04:05Z",
    "entry": [
        {
            "fullUrl": f"urn:uuid:{header}",
            "resource": {
                "resourceType": "MessageHeader",
                "id": header,
                "eventCoding": {"system": "urn:events", "code": "admit"},
                "source": {"endpoint": "http://smart-py.example/fhir"},
            },
        }
    ],
}
answer = Bundle(server.post_json("$process-message", message).json())
assert answer.entry[0].resource.response.code == "ok"
done("process-message")
outcome = OperationOutcome(server.post_json("Patient/$validate", {"resourceType": "Patient", "gender": "zzz"}).json())
assert outcome.issue[0].expression == ["Patient.gender"]
done("validate")
assert asked("GET", f"Patient/{person.id}?_format=json", 200, Accept="text/html").json()["id"] == person.id
asked("GET", f"Patient/{person.id}?_format=xml", 406)
asked("POST", "Patient", 415, "<Patient/>", Content_Type="application/fhir+xml")
asked("POST", "metadata", 405, {})
asked("POST", "Patient", 422, {"resourceType": "Patient", "gender": "zzz"})
asked("GET", "Patient?made-up=1", 400, Prefer="handling=strict")
asked("DELETE", "Observation?status=final", 412)
asked("DELETE", "Patient?identifier=urn:smart-py|Answers", 204)
asked("GET", f"Patient/{person.id}", 410)
done("formats and refusals")
