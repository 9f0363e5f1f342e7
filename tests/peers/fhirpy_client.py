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
