"""PyPI `fhirclient` against the endpoint given as the first argument: one line for each thing that worked."""

import sys

from fhirclient import client
from fhirclient.models.bundle import Bundle, BundleEntry, BundleEntryRequest
from fhirclient.models.codeableconcept import CodeableConcept
from fhirclient.models.fhirreference import FHIRReference
from fhirclient.models.humanname import HumanName
from fhirclient.models.identifier import Identifier
from fhirclient.models.observation import Observation
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
