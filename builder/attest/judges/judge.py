"""Lets outside validators read SBOMs and provenance: one line per judge and file, exit 1 on any no.

usage: judge.py FILE...     judges files; what a file is, its content says
       judge.py --self-test  damages the golden documents and demands that some judge notices

A schema alone accepts dangling references and digests of the wrong length, so that every format has
a second judge that follows references, and a third, `kiln rules`, for what kiln itself promises.
"""

import copy
import json
import logging
import re
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import google.protobuf.json_format as protobuf_json
import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as provenance_pb2
import in_toto_attestation.v1.resource_descriptor_pb2 as resource_pb2
import in_toto_attestation.v1.statement_pb2 as statement_pb2
import jsonschema_rs
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
from ntia_conformance_checker import NTIAChecker
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

SCHEMAS = files("lib4sbom") / "schemas"
GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
DIGITS = {"SHA-256": 64, "SHA-512": 128, "SHA256": 64, "SHA512": 128, "sha256": 64, "sha512": 128}


def demand(condition, complaint):
    if not condition:
        raise ValueError(complaint)


def walk(value):
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from walk(item)


def once_each(pairs):
    keys = [key for key, _ in pairs]
    demand(len(keys) == len(set(keys)), f"a key stands twice among {keys}")
    return dict(pairs)


def check_digest(algorithm, digits):
    fits = re.fullmatch("[0-9a-f]*", digits) and len(digits) == DIGITS.get(algorithm)
    demand(fits, f"not a {algorithm}: {digits}")


def check_purl(text):
    purl = PackageURL.from_string(text)
    demand(PackageURL.from_string(purl.to_string()) == purl, f"purl changes when read: {text}")


# --- CycloneDX ---


def cyclonedx_schema(path, text):
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text, all_errors=True)
    demand(not errors, "; ".join(str(error)[:300] for error in errors or []))


def cyclonedx_model(path, text):
    demand(Bom.from_json(json.loads(text)).validate(), "the model is not valid")


def cyclonedx_second_schema(path, text):
    folder = SCHEMAS / "cyclonedx"

    def retrieve(uri):
        return json.loads((folder / uri.rsplit("/", 1)[-1]).read_text())

    schema = retrieve("bom-1.6.schema.json")
    validator = jsonschema_rs.validator_for(schema, retriever=retrieve, validate_formats=True)
    errors = [str(error)[:300] for error in validator.iter_errors(json.loads(text))]
    demand(not errors, "; ".join(errors))


def cyclonedx_rules(path, text):
    bom = json.loads(text, object_pairs_hook=once_each)
    demand("vulnerabilities" not in bom, "an SBOM holds no vulnerability data")
    refs = [item["bom-ref"] for item in walk(bom) if "bom-ref" in item]
    demand(len(refs) == len(set(refs)), "a bom-ref stands twice")
    known = set(refs)
    nodes = [node["ref"] for node in bom["dependencies"]]
    demand(sorted(nodes) == sorted(known), "not every bom-ref has one entry in dependencies")
    named = [ref for node in bom["dependencies"] for ref in node["dependsOn"]]
    grouped = []
    for composition in bom["compositions"]:
        named += composition["assemblies"] + composition["dependencies"]
        grouped += composition["assemblies"]
    demand(set(named) <= known, f"dangling: {sorted(set(named) - known)}")
    demand(sorted(grouped) == sorted(known), "completeness is not stated for every bom-ref")
    reached, waiting = set(), [bom["metadata"]["component"]["bom-ref"]]
    below = {node["ref"]: node["dependsOn"] for node in bom["dependencies"]}
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += below[ref]
    demand(reached == known, f"not reached from the product: {sorted(known - reached)}")
    for item in walk(bom):
        if "alg" in item:
            check_digest(item["alg"], item["content"])
        if "purl" in item:
            check_purl(item["purl"])


# --- SPDX ---


def spdx_tools(path, text):
    with tempfile.TemporaryDirectory() as folder:  # the parser goes by the name's ending
        copied = Path(folder) / "document.spdx.json"
        copied.write_text(text)
        document = parse_file(str(copied))
    messages = validate_full_spdx_document(document, document.creation_info.spdx_version)
    demand(not messages, "; ".join(message.validation_message for message in messages))


def spdx_schema(path, text):
    schema = str(SCHEMAS / "spdx" / "2.3-schema.json")
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    demand(done.returncode == 0, " ".join((done.stdout + done.stderr).split()))


def spdx_ntia(path, text):
    checker = NTIAChecker(str(path))
    demand(not checker.floating_component_ids, f"floating: {checker.floating_component_ids}")
    demand(checker.compliant, "the NTIA minimum elements are not all there")


def spdx_rules(path, text):
    document = json.loads(text, object_pairs_hook=once_each)
    ids = [package["SPDXID"] for package in document["packages"]]
    demand(len(ids) == len(set(ids)), "an SPDXID stands twice")
    known = {*ids, document["SPDXID"]}
    for edge in document["relationships"]:
        ends = {edge["spdxElementId"], edge["relatedSpdxElement"]}
        demand(ends <= known, f"dangling: {sorted(ends - known)}")
    for item in walk(document):
        if "checksumValue" in item:
            check_digest(item["algorithm"], item["checksumValue"])
        if item.get("referenceType") == "purl":
            check_purl(item["referenceLocator"])


# --- provenance ---


def in_toto_statement(path, text):
    Statement.copy_from_pb(protobuf_json.Parse(text, statement_pb2.Statement())).validate()


def slsa_provenance(path, text):
    statement = json.loads(text)
    demand(statement["predicateType"] == "https://slsa.dev/provenance/v1", "another predicate")
    provenance = protobuf_json.ParseDict(statement["predicate"], provenance_pb2.Provenance())
    definition = provenance.build_definition
    demand(re.match("[a-z][a-z0-9+.-]*:.", definition.build_type), "buildType is not a URI")
    demand(definition.external_parameters, "no external parameters")
    demand(
        re.match("[a-z][a-z0-9+.-]*:.", provenance.run_details.builder.id),
        "builder.id is not a URI",
    )
    for resource in definition.resolved_dependencies:
        ResourceDescriptor.copy_from_pb(resource).validate()


def provenance_rules(path, text):
    statement = json.loads(text, object_pairs_hook=once_each)
    run = statement["predicate"]["runDetails"]
    demand("metadata" not in run, "times and run ids belong into the run record")
    definition = statement["predicate"]["buildDefinition"]
    for resource in [
        *statement["subject"],
        *definition["resolvedDependencies"],
        *run.get("byproducts", []),
    ]:
        protobuf_json.ParseDict(resource, resource_pb2.ResourceDescriptor())
        demand("sha256" in resource["digest"], f"no sha256 of {resource['name']}")
        for algorithm, digits in resource["digest"].items():
            check_digest(algorithm, digits)


# --- run record: kiln's own format, so that there is no outside judge ---


def run_record_rules(path, text):
    record = json.loads(text, object_pairs_hook=once_each)
    demand(record["run-record"] == 1, "another version of the format")
    check_digest(*record["provenance"].split(":"))
    demand(record["started"] <= record["finished"], "the run ended before it began")


JUDGES = {
    "CycloneDX": {
        "cyclonedx-python-lib schema 1.6": cyclonedx_schema,
        "cyclonedx-python-lib model": cyclonedx_model,
        "jsonschema-rs, lib4sbom's schema": cyclonedx_second_schema,
        "kiln rules": cyclonedx_rules,
    },
    "SPDX": {
        "spdx-tools": spdx_tools,
        "check-jsonschema, schema 2.3": spdx_schema,
        "sbomcheck ntia": spdx_ntia,
        "kiln rules": spdx_rules,
    },
    "in-toto": {
        "in-toto-attestation statement": in_toto_statement,
        "in-toto-attestation SLSA v1": slsa_provenance,
        "kiln rules": provenance_rules,
    },
    "run record": {"kiln rules": run_record_rules},
}


def kind_of(text):
    """What a document is; a family of judges, or nothing that any judge knows."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    if document.get("bomFormat") == "CycloneDX":
        return "CycloneDX"
    if str(document.get("spdxVersion", "")).startswith("SPDX-2"):
        return "SPDX"
    if str(document.get("_type", "")).startswith("https://in-toto.io/Statement/"):
        return "in-toto"
    return "run record" if "run-record" in document else None


def verdicts(path):
    """Yields (judge, complaint); no complaint means that the judge is content."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        yield "kiln rules", f"can not be read: {error}"
        return
    kind = kind_of(text)
    if kind is None:
        yield "kiln rules", "no judge knows this kind of document"
    for name, judge in JUDGES.get(kind, {}).items():
        try:
            judge(path, text)
            yield name, None
        except Exception as error:  # whatever a validator raises is its complaint
            yield name, f"{type(error).__name__}: {error}".replace("\n", " ")[:500]


def judge_files(paths):
    is_content = bool(paths)
    if not paths:
        print("FAIL  no file to judge")
    for path in paths:
        for name, complaint in verdicts(path):
            print(f"{'ok  ' if complaint is None else 'FAIL'}  {name:34}{path}")
            if complaint is not None:
                print(f"      {complaint}")
                is_content = False
    return is_content


# --- the judges themselves are judged: what was damaged must be noticed ---


def _cut(holder, key):
    holder[key] = holder[key][:-2]


def _first(document, key):
    return next(item for item in walk(document) if key in item)


DAMAGES = [
    (
        "a reference to nothing",
        "curl.cdx.json",
        lambda d: d["dependencies"][0]["dependsOn"].append("rpm:ghost"),
    ),
    ("a digest cut short", "curl.cdx.json", lambda d: _cut(_first(d, "alg"), "content")),
    (
        "a digest of another length",
        "curl.cdx.json",
        lambda d: _first(d, "alg").update(alg="SHA-512"),
    ),
    ("an unknown key", "curl.cdx.json", lambda d: d["metadata"].update(colour="blue")),
    (
        "a licence on no list",
        "curl.cdx.json",
        lambda d: d["metadata"]["licenses"][0]["license"].update(id="CC-0"),
    ),
    (
        "an expression beside an id",
        "curl.cdx.json",
        lambda d: d["components"][0]["licenses"].append({"expression": "MIT OR Zlib"}),
    ),
    (
        "two components of one name",
        "curl.cdx.json",
        lambda d: d["components"].append(copy.deepcopy(d["components"][0])),
    ),
    ("a component without dependencies entry", "curl.cdx.json", lambda d: d["dependencies"].pop(0)),
    (
        "a damaged purl",
        "curl.cdx.json",
        lambda d: d["metadata"]["component"].update(purl="curl@7.88.1"),
    ),
    ("an impossible time", "curl.cdx.json", lambda d: d["metadata"].update(timestamp="yesterday")),
    (
        "vulnerability data",
        "curl.cdx.json",
        lambda d: d.update(vulnerabilities=[{"id": "CVE-2023-27533"}]),
    ),
    ("a serial number that is none", "zlib.cdx.json", lambda d: d.update(serialNumber="1234")),
    (
        "a relationship to nothing",
        "curl.spdx.json",
        lambda d: d["relationships"][0].update(relatedSpdxElement="SPDXRef-ghost"),
    ),
    (
        "a floating package",
        "curl.spdx.json",
        lambda d: d.update(
            relationships=[
                r for r in d["relationships"] if r["relatedSpdxElement"] != "SPDXRef-RPM-curl"
            ]
        ),
    ),
    (
        "a digest cut short",
        "curl.spdx.json",
        lambda d: _cut(_first(d, "checksumValue"), "checksumValue"),
    ),
    (
        "an unknown relationship",
        "curl.spdx.json",
        lambda d: d["relationships"][0].update(relationshipType="LIKES"),
    ),
    ("no version", "curl.spdx.json", lambda d: d["packages"][0].pop("versionInfo")),
    ("no supplier", "curl.spdx.json", lambda d: d["packages"][0].pop("supplier")),
    ("an unexplained licence", "zlib.spdx.json", lambda d: d.pop("hasExtractedLicensingInfos")),
    (
        "a damaged CPE",
        "curl.spdx.json",
        lambda d: next(i for i in walk(d) if i.get("referenceType") == "cpe23Type").update(
            referenceLocator="cpe:2.3:a:haxx:curl"
        ),
    ),
    (
        "an id that is none",
        "curl.spdx.json",
        lambda d: d["packages"][0].update(SPDXID="SPDXRef-a_b"),
    ),
    ("no subject", "curl.provenance.json", lambda d: d.update(subject=[])),
    ("a subject without digest", "curl.provenance.json", lambda d: d["subject"][0].pop("digest")),
    (
        "a digest cut short",
        "curl.provenance.json",
        lambda d: _cut(d["subject"][0]["digest"], "sha256"),
    ),
    (
        "an unknown key",
        "curl.provenance.json",
        lambda d: d["predicate"]["buildDefinition"].update(mood="good"),
    ),
    (
        "another statement",
        "curl.provenance.json",
        lambda d: d.update(_type="https://in-toto.io/Statement/v0.1"),
    ),
    ("no builder", "curl.provenance.json", lambda d: d["predicate"]["runDetails"].pop("builder")),
    (
        "a start time",
        "curl.provenance.json",
        lambda d: d["predicate"]["runDetails"].update(
            metadata={"startedOn": "2026-11-22T21:00:00Z"}
        ),
    ),
    ("a digest cut short", "curl.run.json", lambda d: _cut(d, "provenance")),
    ("nothing in it", "curl.run.json", lambda d: d.clear()),
]


def self_test():
    is_content = judge_files(sorted(GOLDEN.glob("*.json")))
    idle = {(kind, judge) for kind, judges in JUDGES.items() for judge in judges}
    for name, file, damage in DAMAGES:
        document = json.loads((GOLDEN / file).read_text())
        damage(document)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            path.write_text(json.dumps(document))
            noticed = [judge for judge, complaint in verdicts(path) if complaint is not None]
        idle -= {(kind_of(json.dumps(document)), judge) for judge in noticed}
        print(
            f"{'ok  ' if noticed else 'FAIL'}  {file}: {name}: "
            f"noticed by {', '.join(noticed) or 'nobody'}"
        )
        is_content = is_content and bool(noticed)
    for kind, judge in sorted(idle):
        print(f"FAIL  {kind}: {judge}: noticed nothing at all")
    return is_content and not idle


def main(arguments):
    logging.disable(logging.CRITICAL)  # complaints come back as values
    if arguments == ["--self-test"]:
        return 0 if self_test() else 1
    return 0 if judge_files([Path(argument) for argument in arguments]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
