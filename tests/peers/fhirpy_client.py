"""PyPI `fhirpy` against the endpoint given as the first argument: one line for each thing that worked."""

import sys

from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

client = SyncFHIRClient(sys.argv[1])


def done(what):
    print(what, flush=True)


def fails(error, act):
    try:
        act()
    except error:
        return
    raise AssertionError(f"{error} was expected")


patients = client.resources("Patient")
patient = client.resource(
    "Patient", name=[{"family": "Py"}], identifier=[{"system": "urn:py", "value": "1"}]
)
patient.save()
assert patient.id
done("create")
patient["active"] = True
patient.save()
assert patient["meta"]["versionId"] == "2"
done("update")
patient.patch(gender="female")
assert patient["gender"] == "female"
done("patch")
found, created = patients.search(identifier="urn:py|1").get_or_create(
    client.resource("Patient", name=[{"family": "Py"}])
)
assert found.id == patient.id and not created
done("conditional create")
changed, created = patients.search(identifier="urn:py|1").update(
    client.resource("Patient", name=[{"family": "Py2"}], identifier=[{"system": "urn:py", "value": "1"}])
)
assert changed.id == patient.id and not created
done("conditional update")
for number in range(3):
    client.resource(
        "Observation", status="final", code={"text": str(number)}, subject=patient.to_reference()
    ).save()
observations = client.resources("Observation").search(subject=f"Patient/{patient.id}")
assert observations.count() == 3
assert len(observations.limit(1).fetch_all()) == 3
assert observations.first().resource_type == "Observation"
done("search and pages")
bundle = observations.include("Observation", "subject").fetch_raw()
assert any(entry["search"]["mode"] == "include" for entry in bundle["entry"])
assert observations.sort("-_lastUpdated").fetch()
done("include and sort")
assert patients.search(identifier="urn:py|1").get().id == patient.id
assert patient.to_reference().to_resource()["name"][0]["family"] == "Py2"
done("get")
outcome = client.execute("Patient/$validate", method="post", data={"resourceType": "Patient", "gender": "zzz"})
assert outcome["issue"][0]["severity"] == "error"
done("validate")
fails(OperationOutcome, lambda: client.resource("Patient", gender="zzz").save())
fails(MultipleResourcesFound, lambda: client.resources("Observation").search(status="final").delete())
patient.delete()
fails(ResourceNotFound, lambda: patients.search(_id=patient.id).get())
fails(ResourceNotFound, lambda: client.reference("Patient", patient.id).to_resource())
done("delete and refusals")


def asked(path, method="get", data=None, params=None, status=200, **headers):
    """What the library gives of an answer; headers as Python spells them."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body, got = client._do_request(method, path, data=data, params=params, extra_headers=named, returning_status=True)
    assert got == status, (path, got)
    return body


def refused(code, path, method="get", data=None, params=None, **headers):
    """A refusal is an OperationOutcome with this code of its issue."""
    try:
        asked(path, method, data, params, **headers)
    except OperationOutcome as outcome:
        assert outcome.resource["resourceType"] == "OperationOutcome"
        assert outcome.resource["issue"][0]["code"] == code, outcome.resource["issue"]
        return outcome.resource
    raise AssertionError(f"{code} was expected")


def family(resource):
    return resource["name"][0]["family"]


person = client.resource(
    "Patient",
    name=[{"family": "Answers"}],
    birthDate="1980-01-02",
    text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Answers</div>'},
    identifier=[{"system": "urn:py", "value": "Answers"}],
)
person.create(identifier="urn:py|Answers")
assert asked(f"Patient/{person.id}", If_None_Match='W/"1"', status=304) is None
assert person.refresh().id
assert family(asked(f"Patient/{person.id}/_history/1")) == "Answers"
assert not asked(f"Patient/{person.id}", "put", {**person, "active": True}, Prefer="return=minimal")
told = asked(f"Patient/{person.id}", "put", {**person, "active": False}, Prefer="return=OperationOutcome")
assert told["resourceType"] == "OperationOutcome"
fails(MultipleResourcesFound, lambda: asked(f"Patient/{person.id}", "put", {**person}, If_Match='W/"1"'))
asked("Patient", "post", {**person, "id": None} | {"id": "x"}, If_None_Exist="identifier=urn:py|Answers")
assert patients.search(identifier="urn:py|Answers").count() == 1
done("conditional read, vread, prefer, If-Match")
versions = asked(f"Patient/{person.id}/_history", params={"_count": "2"})
assert versions["type"] == "history" and len(versions["entry"]) == 2
assert any(link["relation"] == "next" for link in versions["link"])
assert asked("Patient/_history")["entry"] and asked("_history")["entry"]
done("history")
operations = [{"op": "replace", "path": "/name/0/family", "value": "Patched"}]
patched = asked(f"Patient/{person.id}", "patch", operations, Content_Type="application/json-patch+json")
assert family(patched) == "Patched"
parameters = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "insert"},
                {"name": "path", "valueString": "Patient.name"},
                {"name": "index", "valueInteger": 0},
                {"name": "value", "valueHumanName": {"family": "Answers"}},
            ],
        }
    ],
}
patched = asked(f"Patient/{person.id}", "patch", parameters, Content_Type="application/fhir+json")
assert [name["family"] for name in patched["name"]] == ["Answers", "Patched"]
patched, created = patients.search(identifier="urn:py|Answers").patch(active=True), False
assert patched["active"] is True
done("JSON Patch, FHIRPath Patch, merge patch")
for number in (1, 2, 3):
    client.resource(
        "Observation",
        status="final" if number < 3 else "amended",
        code={"coding": [{"system": "urn:c", "code": f"c{number}"}]},
        effectiveDateTime=f"2026-02-0{number}",
        subject=person.to_reference(),
    ).save()
observations = client.resources("Observation")


def days(found):
    return "".join(one["effectiveDateTime"][-1] for one in found)


mine = observations.search(subject=f"Patient/{person.id}")
assert days(mine.sort("-date").fetch_all()) == "321"
assert days(observations.search(patient__Patient__family="answers", date__ge="2026-02-02").sort("date").fetch()) == "23"
assert days(observations.search(subject__identifier="urn:py|Answers", status__not="final").fetch()) == "3"
assert patients.search(family__exact="Answers", birthdate__lt=1990).count() == 1
assert days(mine.search(code="c1,c2").sort("date").limit(1).fetch_all()) == "12"
around = patients.search(_id=person.id).revinclude("Observation", "subject").fetch_raw()
assert [entry["search"]["mode"] for entry in around["entry"]] == ["match"] + ["include"] * 3
assert "name" not in patients.search(_id=person.id).elements("birthDate").first()
assert "text" not in patients.search(_id=person.id, _summary="data").first()
assert "birthDate" not in patients.search(_id=person.id, _summary="text").first()
assert "text" not in patients.search(_id=person.id, _summary="true").first()
assert patients.has("Observation", "patient", code="c1").search(_id=person.id).count() == 1
assert patients.has("Observation", "patient", code="c1", status="amended").count() == 1
done("chaining, revinclude, elements, summary, sort")
entries = [
    {"request": {"method": "GET", "url": f"Patient/{person.id}"}},
    {"request": {"method": "GET", "url": "Patient/none"}},
]
answer = asked("", "post", {"resourceType": "Bundle", "type": "batch", "entry": entries})
assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["200", "404"]
uuid = "urn:uuid:7d0b6a52-4d3f-4b0c-9d55-1e6a3ac4aa06"
entries = [
    {
        "fullUrl": uuid,
        "resource": {"resourceType": "Patient", "name": [{"family": "PyTx"}]},
        "request": {"method": "POST", "url": "Patient"},
    },
    {
        "resource": {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "t"},
            "subject": {"reference": uuid},
        },
        "request": {"method": "POST", "url": "Observation"},
    },
]
answer = asked("", "post", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
assert [entry["response"]["status"][:3] for entry in answer["entry"]] == ["201", "201"]
assert observations.search(subject__Patient__family="pytx").count() == 1
done("batch and transaction")
header = "5a9e5a2e-3f0c-4c4e-8f65-2b6a8f0d9e01"
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
                "source": {"endpoint": "http://py.example/fhir"},
            },
        }
    ],
}
answer = client.execute("$process-message", data=message)
assert answer["entry"][0]["resource"]["response"]["code"] == "ok"
assert client.execute("$process-message", data=message) == answer
done("process-message")
assert client.resource("Patient", gender="female").is_valid()
assert not client.resource("Patient", gender="zzz").is_valid()
assert asked(f"Patient/{person.id}", params={"_format": "json"}, Accept="text/html")["id"] == person.id
refused("not-supported", f"Patient/{person.id}", params={"_format": "xml"})
refused("not-supported", "Patient", "post", {}, Content_Type="text/plain")
refused("not-supported", "metadata", "delete")
refused("value", "Patient", params={"birthdate": "yesterday"})
refused("not-supported", "Patient", params={"made-up": "1"}, Prefer="handling=strict")
wrong = refused("code-invalid", "Patient", "post", {"resourceType": "Patient", "gender": "zzz"})
assert wrong["issue"][0]["expression"] == ["Patient.gender"]
done("validation, formats, refusals")
asked("Patient", "delete", params={"identifier": "urn:py|Answers"}, status=204)
fails(ResourceNotFound, lambda: asked(f"Patient/{person.id}"))
done("conditional delete")
