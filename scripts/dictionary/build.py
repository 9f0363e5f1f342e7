"""Writes src/hl7/dictionary/definitions.tsv and tables.tsv from two openly licensed packages.

    python3 scripts/dictionary/build.py            fetch the packages with pip and npm, write the files
    python3 scripts/dictionary/build.py FOLDER     use FOLDER/hl7apy-1.3.5 and FOLDER/package, already unpacked

What is taken from where, and the terms:
  hl7apy 1.3.5 (MIT, (c) 2012-2018 CRS4)             segments, fields, data types, cardinalities, table numbers
  hl7-dictionary 1.0.1 (MIT, Fernando Serrano)       the spelling of the names, the values of the tables

A rule of thumb for every doubt: where the two differ about a cardinality, the more permissive one is
taken, since the dictionary is there to find typing errors in paths, not to judge messages.
"""

import importlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

VERSIONS = ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2"]
# hl7-dictionary ends at 2.7.1: the names of later versions are those of 2.7.1 where they are the same.
NAMES_OF = {"2.8": "2.7.1", "2.8.1": "2.7.1", "2.8.2": "2.7.1"}
TARGET = pathlib.Path(__file__).resolve().parents[2] / "src/hl7/dictionary"

# Names of segments that came after 2.7.1 and so stand in neither package.
LATER_SEGMENTS = {
    "ARV": "Access Restriction", "BUI": "Blood Unit Information", "CDO": "Cumulative Dosage",
    "CTR": "Contract Master Outbound", "DON": "Donation", "DPS": "Diagnosis and Procedure Code",
    "DST": "Transport Destination", "MCP": "Master File Coverage",
    "OMC": "Supporting Clinical Information", "PM1": "Payer Master File",
    "PRT": "Participation Information", "RXV": "Pharmacy/Treatment Infusion",
    "SGH": "Segment Group Header", "SGT": "Segment Group Trailer",
}
# Names of data types that stand in neither package.
LATER_TYPES = {
    "CM": "Composite", "varies": "Varies", "WD": "Withdrawn", "OG": "Observation Grouper", "IS": "Coded Value for User-Defined Tables",
    "ID": "Coded Value for HL7-Defined Tables", "ST": "String Data", "SI": "Sequence ID",
    "NM": "Numeric", "DT": "Date", "TM": "Time", "DTM": "Date/Time", "TX": "Text Data",
    "FT": "Formatted Text Data", "GTS": "General Timing Specification", "TN": "Telephone Number",
    "SNM": "String of Telephone Number Digits",
}
# Where both packages are wrong or silent: what the standard says.
CORRECTED_NAMES = {"SAD_1": "Street or Mailing Address", "MSA_5": "Delayed Acknowledgment Type",
                   "TX_CHALLENGE_1": "Time Delay Post Challenge", "TX_CHALLENGE_2": "Nature of Challenge"}
# Names that hl7apy has in German, as its own type names, or cut short.
RENAMED = {
    "Auftragsnummer Des Auftraggebers / Der Auftraggebenden Stelle": "Placer Order Number",
    "Wertebereich": "Value Range", "Klinik": "Clinic", "Zentrum": "Center", "Saal": "Room", "Tisch": "Table", "Stuhl": "Chair", "Etage": "Floor",
    "Last Data Code Calue": "Last Data Code Value", "Explicit Time Intevall": "Explicit Time Interval",
    "Bsolute Range for Ordinal and Continuous Observations": "Absolute Range for Ordinal and Continuous Observations",
    "Pre-certication Required": "Pre-certification Required", "HL7 Date Type": "HL7 Data Type", "Freetext": "Free Text",
    "State/other Qualifiying Info": "State/other Qualifying Info", "Practioner Group": "Practitioner Group",
    "Practioner Category": "Practitioner Category", "Facility Ei": "Facility", "Point of Care St": "Point Of Care", "Point of Care Is": "Point Of Care",
    "Military Non-Availabiltiy Code": "Military Non-Availability Code", 
    "Identity of Instrument Used to Perfrom this Study": "Identity of Instrument Used to Perform this Study",
    "Factors that may Affect Affect the Observation": "Factors that may Affect the Observation",
    "Factors that may Effect the Observation": "Factors that may Affect the Observation",
    "Type of ID Number Is": "Type Of ID Number", "Type of ID Number ID": "Type Of ID Number", "CM_CP": "Price", "CM_ELECTRODE": "Electrode", "CM_OS": "Order Sequence",
    "CM_RANGE_SIMPLE": "Range", "CN_SIMPLE": "ID Number and Name", "CQ_SIMPLE": "Quantity", "DR_SIMPLE": "Date Range",
    "TX_CHALLENGE": "Challenge Text", "Occurence": "Occurrence", "Occurence Span": "Occurrence Span",
    "Name of Second Alternate Unit of Measure Coding Sy": "Name of Second Alternate Unit of Measure Coding System",
    "Second Alternate Unit of Measure Coding System Ver": "Second Alternate Unit of Measure Coding System Version",
    "Familiy Name": "Family Name", "Charge To Practise": "Charge To Practice", "ID Number Nm": "ID Number",
    "ID Number St": "ID Number", "Text Tx": "Text", "Facility Hd": "Facility", "Total Occurences": "Total Occurrences",
    "Insured s Sex": "Insured's Sex", "Parent s Placer Order Number": "Parent's Placer Order Number",
    "Parent s Filler Order Number": "Parent's Filler Order Number", "Insurance Co. Contact Ppers": "Insurance Co Contact Person",
    "Rpt of Eigibility Code": "Report of Eligibility Code", "Rpt of Eligibility Date": "Report Of Eligibility Date",
}
# Withdrawn in 2.8; hl7apy repeats PID-3 there for the versions after it.
WITHDRAWN = {("2.8.1", "PID", 4): "Alternate Patient ID", ("2.8.2", "PID", 4): "Alternate Patient ID"}
# Codes the standard has and hl7-dictionary leaves out.
MISSING_VALUES = {"125": {"CE": "Coded Entry", "ID": "Coded Value for HL7-Defined Tables", "IS": "Coded Value for User-Defined Tables",
                          "NA": "Numeric Array", "NR": "Numeric Range", "TS": "Time Stamp (Date & Time)"}}
SPELLING = [
    (r"\b[Aa]c?knowledgement\b", "Acknowledgment"),
    (r"\bSpeciment\b", "Specimen"), (r"\bSational\b", "National"), (r"\bOccured\b", "Occurred"),
    (r"\bIdentifer\b", "Identifier"), (r"\bWindwow\b", "Window"), (r"_s\b", "'s"), (r" _ ", " - "), (r"Release 1\.5\.1", "Release 2.5.1"), (r"\s+", " "),
]
CAPITALS = {
    "id", "ssn", "ub", "mfn", "bp", "ae", "drg", "cds", "vfc", "hl7", "oid", "udi", "iv", "ot", "nk1", "pv1",
    "al1", "dg1", "gt1", "in1", "obr", "obx", "pid", "aig", "ail", "aip", "ais", "fac", "ft1", "iam",
    "lcc", "lch", "ldp", "loc", "lrl", "mfa", "mfe", "pra", "pr1", "rgs", "spm", "tq1", "tq2", "ntt",
    "cdm", "aff", "edu", "lan", "org", "stf", "cer", "ods", "odt", "cm0", "cm1", "cm2", "poa", "cms",
    "bpo", "bpx", "btx", "dsp", "vat", "nte", "db1", "eql", "vt", "ru", "arv", "rol", "oh", "con", "cpu",
}
SMALL = {"of", "and", "or", "to", "for", "the", "in", "on", "at", "by", "from", "with", "as", "per", "than"}


def fetch(folder):
    """Both packages, unpacked below `folder`."""
    run = lambda *command: subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    run(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "hl7apy==1.3.5")
    run("tar", "xf", "hl7apy-1.3.5.tar.gz")
    run("npm", "pack", "--silent", "hl7-dictionary@1.0.1")
    run("tar", "xf", "hl7-dictionary-1.0.1.tgz")


def javascript(path):
    """The object literal of a file `var x = {…}; module.exports = x`, which is written as JSON."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text[text.index("{"):text.rindex("}") + 1])


def same(name):
    """What two spellings of one name share."""
    name = name.lower().replace("acknowledgement", "acknowledgment").replace("occured", "occurred")
    return re.sub(r"[^a-z0-9]", "", name)


def tidy(name):
    for wrong, right in SPELLING:
        name = re.sub(wrong, right, name)
    return name.strip(" +*")


def spelled(upper):
    """`PATIENT_IDENTIFIER_LIST` as `Patient Identifier List`, for names nobody spelled."""
    words = []
    for word in upper.lower().split("_"):
        if word in CAPITALS:
            words.append(word.upper())
        elif word == "s" and words:
            words[-1] += "'s"
        elif word in SMALL and words:
            words.append(word)
        else:
            words.append(word.capitalize())
    return " ".join(words)


class Spellings:
    """The best spelling known for a name: the newest version's, for all versions."""

    def __init__(self, package):
        self.by_name, self.by_place = {}, {}
        self.segments, self.types, self.fields, self.components = {}, {}, {}, {}
        for version in [v for v in VERSIONS if v not in NAMES_OF] + ["2.7.1"]:
            segments = javascript(package / "lib" / version / "segments.js")
            types = javascript(package / "lib" / version / "fields.js")
            self.segments[version] = {key: tidy(item["desc"]) for key, item in segments.items()}
            self.fields[version] = segments
            self.types[version] = {key: tidy(item["desc"]) for key, item in types.items()}
            for item in segments.values():
                self.take(item["fields"])
            for item in types.values():
                self.take(item.get("subfields", []))

    def take(self, rows):
        for row in rows:
            if row and row.get("desc"):
                name = tidy(row["desc"])
                known = self.by_name.get(same(name))
                # 2.1 and 2.2 have names in lower case; a later version's spelling is better.
                if known is None or known == known.lower() or sum(map(str.isupper, name)) >= sum(map(str.isupper, known)):
                    self.by_name[same(name)] = name

    def of(self, upper, place):
        if place in CORRECTED_NAMES:
            return CORRECTED_NAMES[place]
        name = self.by_name.get(same(upper)) or tidy(spelled(upper))
        return RENAMED.get(name, name)


def number(table):
    found = re.fullmatch(r"HL7(\d{4})", table or "")
    return int(found[1]) if found and found[1] != "9999" else None


def place_number(place):
    found = re.fullmatch(r"[A-Z0-9_a-z]+_(\d+)", place) if isinstance(place, str) else None
    return int(found[1]) if found else None


def fields_of(version, spellings):
    """(segment, n) -> (type, max, required, table, name); max 0 means any number."""
    module = importlib.import_module("hl7apy.v" + version.replace(".", "_") + ".segments")
    named = spellings.fields[NAMES_OF.get(version, version)]
    found = {}
    for segment, content in module.SEGMENTS.items():
        if not re.fullmatch(r"[A-Z][A-Z0-9]{2}", segment) or len(content) < 2 or content[0] != "sequence":
            continue
        others = named.get(segment, {}).get("fields", [])
        for row in content[1]:
            n = place_number(row[0])
            if n is None:
                continue
            reference, (least, most) = row[1], row[2]
            other = others[n - 1] if n <= len(others) else None
            kind = reference[2] or (other or {}).get("datatype") or "ST"
            kind = {"wd": "WD", "VARIES": "varies"}.get(kind, kind)
            if version in NAMES_OF or same(reference[3]) != same((other or {}).get("desc", "")):
                other = None
            if other:
                least = least if other["opt"] == 2 else 0
                repeats = other.get("rep", 1)
                most = 0 if most == -1 or repeats == 0 else most
            found[segment, n] = (kind, max(most, 0), least >= 1, number(reference[4]),
                                 spellings.of(reference[3], row[0]))
    for (of, segment, n), name in WITHDRAWN.items():
        if of == version:
            found[segment, n] = ("WD", 0, False, None, name)
    return found


def components_of(version, spellings):
    """(type, n) -> (type, required, table, name)."""
    module = importlib.import_module("hl7apy.v" + version.replace(".", "_") + ".datatypes")
    found = {}
    for kind, rows in module.DATATYPES_STRUCTS.items():
        for row in rows:
            n = place_number(row[0])
            reference = row[1]
            if n is not None and reference[2]:
                # hl7apy's 2.4 has the type behind the name: `Check Digit (ST)`.
                name = reference[3].removesuffix("_" + reference[2]) if version == "2.4" else reference[3]
                found[kind, n] = (reference[2], row[2][0] >= 1, number(reference[4]),
                                  spellings.of(name, row[0]))
    return found


def runs(by_version):
    """{version index: row} as [(first, last, row)], one for each run of equal rows."""
    found = []
    for index in sorted(by_version):
        if found and found[-1][1] == index - 1 and found[-1][2] == by_version[index]:
            found[-1][1] = index
        else:
            found.append([index, index, by_version[index]])
    return found


def merge(maps):
    """[map by version] as {key: {version index: row}}."""
    merged = {}
    for index, rows in enumerate(maps):
        for key, row in rows.items():
            merged.setdefault(key, {})[index] = row
    return merged


def span(first, last):
    return f"{first:x}{last:x}"


def definitions(spellings):
    fields = merge([fields_of(version, spellings) for version in VERSIONS])
    components = merge([components_of(version, spellings) for version in VERSIONS])
    segment_names = dict(LATER_SEGMENTS)
    type_names = dict(LATER_TYPES)
    for version in spellings.segments:
        segment_names.update({k: v for k, v in spellings.segments[version].items() if k not in LATER_SEGMENTS})
        type_names.update({k: v for k, v in spellings.types[version].items() if k not in LATER_TYPES})
    lines = ["V\t" + "\t".join(VERSIONS)]
    for segment in sorted({key[0] for key in fields}):
        lines.append(f"S\t{segment}\t{segment_names.get(segment, segment)}")
        for key in sorted(k for k in fields if k[0] == segment):
            for first, last, (kind, most, required, table, name) in runs(fields[key]):
                lines.append(f"F\t{key[1]}\t{span(first, last)}\t{kind}\t{most}\t{'R' if required else ''}\t{table or ''}\t{name}")
    kinds = {key[0] for key in components} | {row[0] for rows in fields.values() for row in rows.values()}
    for kind in sorted(kinds | set(LATER_TYPES)):
        lines.append(f"T\t{kind}\t{type_names.get(kind, kind)}")
        for key in sorted(k for k in components if k[0] == kind):
            for first, last, (inner, required, table, name) in runs(components[key]):
                lines.append(f"C\t{key[1]}\t{span(first, last)}\t{inner}\t{'R' if required else ''}\t{table or ''}\t{name}")
    return lines


def tables(package):
    lines = []
    for table, content in sorted(javascript(package / "lib/tables.js").items(), key=lambda item: int(item[0])):
        values = {code.strip(): tidy(text or "") for code, text in content["values"].items()}
        # A row such as "..." or "see chapter 4" names no code.
        values = {code: text for code, text in values.items() if code and text and "..." not in code and "\t" not in code + text}
        values.update({k: v for k, v in MISSING_VALUES.get(table, {}).items() if k not in values})
        if values:
            lines.append(f"T\t{table}\t{tidy(content['desc'])}")
            lines += [f"{code}\t{text}" for code, text in values.items()]
    return lines


def write(name, about, lines):
    header = [f"# {about}", "# Made by scripts/dictionary/build.py; do not edit.",
              "# From hl7apy 1.3.5 (MIT, (c) 2012-2018 CRS4) and hl7-dictionary 1.0.1 (MIT, Fernando Serrano)."]
    (TARGET / name).write_text("\n".join(header + lines) + "\n", encoding="utf-8")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        if len(sys.argv) == 1:
            fetch(folder)
        sys.path.insert(0, str(folder / "hl7apy-1.3.5"))
        spellings = Spellings(folder / "package")
        write("definitions.tsv", "HL7 v2: segments (S), fields (F), data types (T), components (C), by version (V).",
              definitions(spellings))
        write("tables.tsv", "HL7 v2 tables: T number name, then code and meaning.", tables(folder / "package"))


main()
