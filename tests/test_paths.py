"""Path selectors: elements by the sequences they stand in. (CONTRACT 4)"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from deid_batch import Deidentifier
from deid_batch.config import load_config, read_config
from deid_batch.rules import RuleSet

NAME, ID, COMMENTS = 0x00100010, 0x00100020, 0x00104000
IMAGES, REQUESTS, STUDIES, PRIVATE = 0x00081140, 0x00400275, 0x00081110, 0x00091001
VRS = {NAME: "PN", ID: "LO", COMMENTS: "LT", 0x00090010: "LO"}
Elements = dict[int, Any]
Apply = Callable[..., Elements]
Path = tuple[bool, list[str], str]
"""(whether it begins at the top level, the sequences, the element)"""


@pytest.fixture(scope="module")
def apply(tmp_path_factory: pytest.TempPathFactory) -> Apply:
    path = tmp_path_factory.mktemp("paths") / "cfg.json"

    def deidentified(elements: Elements, *rules: dict[str, Any], change: Callable[[Dataset], None] = id) -> Elements:
        """What is left of these elements; a list is a sequence."""
        instance = data_set(elements)
        instance.SOPClassUID, instance.SOPInstanceUID = CTImageStorage, "1.2.3"
        change(instance)
        path.write_text(json.dumps({"dicomTagRules": list(rules)}))
        after = Deidentifier.from_config(str(path), first_day=date(2026, 7, 31)).apply(instance)
        del after.SOPClassUID, after.SOPInstanceUID
        return elements_of(after)

    return deidentified


def data_set(elements: Elements) -> Dataset:
    found = Dataset()
    for tag, value in elements.items():
        is_sequence = isinstance(value, list)
        found.add_new(tag, "SQ" if is_sequence else VRS[tag], [data_set(it) for it in value] if is_sequence else value)
    return found


def elements_of(found: Dataset) -> Elements:
    return {int(it.tag): [elements_of(item) for item in it.value] if it.VR == "SQ" else str(it.value) for it in found}


def remove(path: str) -> dict[str, Any]:
    return {"tag": {"path": path}, "method": "remove"}


TREE: Elements = {
    IMAGES: [{NAME: "image", ID: "1"}, {REQUESTS: [{NAME: "image/request", ID: "2"}]}],
    STUDIES: [{REQUESTS: [{IMAGES: [{NAME: "study/request/image"}]}]}],
    NAME: "top",
    ID: "0",
    REQUESTS: [{NAME: "request", ID: "3", IMAGES: [{NAME: "request/image"}]}, {NAME: "request"}],
}


def names_in(elements: Elements) -> set[str]:
    """The names in a tree; each says where it stands."""
    items = [item for value in elements.values() if isinstance(value, list) for item in value]
    return {elements[NAME] for _ in range(NAME in elements)}.union(*map(names_in, items))


ALL = {"top", "image", "image/request", "study/request/image", "request", "request/image"}


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("RequestAttributesSequence/PatientName", {"image/request", "request"}),
        ("(0040,0275)/(0010,0010)", {"image/request", "request"}),
        ("00400275/0010,0010", {"image/request", "request"}),
        (" requestattributessequence / PATIENTNAME ", {"image/request", "request"}),
        ("(0040,xxxx)/PatientName", {"image/request", "request"}),
        ("RequestAttributesSequence/PN", {"image/request", "request"}),
        ("RequestAttributesSequence/pn", {"image/request", "request"}),
        ("RequestAttributesSequence/(0010,xx10)", {"image/request", "request"}),
        ("ReferencedImageSequence/PatientName", {"image", "study/request/image", "request/image"}),
        ("RequestAttributesSequence/ReferencedImageSequence/PatientName", {"study/request/image", "request/image"}),
        ("ReferencedStudySequence/*/ReferencedImageSequence/PatientName", {"study/request/image"}),
        ("*/PatientName", ALL - {"top"}),
        ("*/*/PatientName", {"image/request", "study/request/image", "request/image"}),
        ("*/*/*/PN", {"study/request/image"}),
        ("*/RequestAttributesSequence/PN", {"image/request"}),
        ("RequestAttributesSequence/*/PN", {"study/request/image", "request/image"}),
        ("/PatientName", {"top"}),
        ("PatientName", ALL),
        ("PN", ALL),
        ("/PN", {"top"}),
        ("/*/PatientName", {"image", "request"}),
        ("/RequestAttributesSequence/PatientName", {"request"}),
        ("/ReferencedImageSequence/RequestAttributesSequence/PatientName", {"image/request"}),
        ("(xxxx,xxxx)/(xxxx,xxxx)/PN", {"image/request", "study/request/image", "request/image"}),
        ("ReferencedImageSequence/RequestAttributesSequence", {"image/request"}),
        ("ReferencedStudySequence/SQ", {"study/request/image"}),
        ("RequestAttributesSequence/PatientComments", set()),
        ("ReferencedStudySequence/PatientName", set()),
        ("ReferencedStudySequence/ReferencedImageSequence/PatientName", set()),
        ("/ReferencedImageSequence/ReferencedStudySequence/PN", set()),
        ("*/*/*/*/PN", set()),
    ],
)
def test_a_path_is_matched_from_its_end(apply: Apply, path: str, goes: set[str]) -> None:
    assert names_in(apply(TREE, remove(path))) == ALL - goes


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("is_undefined", [False, True])
def test_the_encoding_makes_no_difference(apply: Apply, syntax: str, is_undefined: bool) -> None:
    def encode(instance: Dataset) -> None:
        instance.file_meta = FileMetaDataset()
        instance.file_meta.TransferSyntaxUID = syntax
        for element in instance.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = is_undefined

    after = apply(TREE, remove("ReferencedStudySequence/*/*/PatientName"), change=encode)
    assert names_in(after) == ALL - {"study/request/image"}


def test_a_path_leads_through_a_sequence_hidden_as_un(tmp_path: Any) -> None:
    name, ident = bytes.fromhex("10001000 08000000") + b"request ", bytes.fromhex("10002000 08000000") + b"the id.."
    item = bytes.fromhex("feff00e0 20000000") + name + ident
    hidden = bytes.fromhex("40007502") + b"UN\0\0" + len(item).to_bytes(4, "little") + item
    instance, file = data_set({NAME: "top"}), BytesIO()
    instance.SOPClassUID, instance.SOPInstanceUID = CTImageStorage, "1.2.3"
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    instance.save_as(file, enforce_file_format=True)
    (tmp_path / "cfg.json").write_text(json.dumps({"dicomTagRules": [remove("RequestAttributesSequence/PN")]}))
    after = Deidentifier.from_config(str(tmp_path / "cfg.json")).apply_to_bytes(file.getvalue() + hidden)
    assert elements_of(dcmread(BytesIO(after)))[REQUESTS] == [{ID: "the id.."}]


def test_a_path_leads_through_a_private_sequence(apply: Apply) -> None:
    tree: Elements = {0x00090010: "ACME", PRIVATE: [{NAME: "goes", ID: "stays"}], NAME: "top"}
    after = apply(tree, remove("(0009,1001)/PatientName"))
    assert after == {0x00090010: "ACME", PRIVATE: [{ID: "stays"}], NAME: "top"}


def test_the_first_rule_decides_whether_it_has_a_path_or_not(apply: Apply) -> None:
    keep = {"tag": {"path": "ReferencedImageSequence/PatientName"}, "method": "keep"}
    everywhere = {"tag": {"keyword": "PatientName"}, "method": "remove"}
    assert names_in(apply(TREE, keep, everywhere)) == {"image", "study/request/image", "request/image"}
    assert names_in(apply(TREE, everywhere, keep)) == set()


def test_both_dialects_say_a_path_alike(tmp_path: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"dicomTagRules": [remove("*/PatientName")]}))
    (tmp_path / "b.json").write_text(json.dumps({"rules": [{"tag": "*/PatientName", "method": "remove"}]}))
    native, successor = (load_config(str(tmp_path / name)).rules for name in ("a.json", "b.json"))
    assert native[0].selector == successor[0].selector


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("PatientName/PatientID", "(0010,0010) PatientName is no sequence"),
        ("RequestAttributesSequenc/PN", "unknown keyword 'RequestAttributesSequenc', did you mean 'Reques"),
        ("RequestAttributesSequence/*", "unknown keyword '*'"),
        ("RequestAttributesSequence/", "unknown keyword ''"),
        ("RequestAttributesSequence//PN", "unknown keyword ''"),
        ("/", "unknown keyword ''"),
        ("PN/PatientName", "unknown keyword 'PN'"),
        ("**/PatientName", "unknown keyword '**'"),
        ("RequestAttributesSequence\\\\PatientName", "unknown keyword 'RequestAttributesSequence\\"),
        ('(0019,xx0C,"ACME")/PN', "unknown keyword '(0019,xx0C,\"ACME\")'"),
        ("RequestAttributesSequence[1]/PN", "unknown keyword 'RequestAttributesSequence[1]'"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_problem(tmp_path: Any, path: str, problem: str) -> None:
    file = tmp_path / "cfg.json"
    file.write_text(json.dumps({"dicomTagRules": [remove(path)]}))
    (line,) = read_config(str(file)).lines
    assert line.startswith(f"cfg.json:1:37 dicomTagRules[0].tag.path: {problem}")


@pytest.mark.parametrize(("path", "is_path"), [("PatientName", True), ("(0010,0010)", False)])
def test_only_rules_with_paths_make_decisions_depend_on_the_enclosing_sequences(
    tmp_path: Any, path: str, is_path: bool
) -> None:
    file = tmp_path / "cfg.json"
    tag = {"path": path} if is_path else {"value": path}
    file.write_text(json.dumps({"dicomTagRules": [{"tag": tag, "method": "remove"}]}))
    assert RuleSet(load_config(str(file)).rules).looks_at_paths is is_path


# any tree, any paths

TREES = st.recursive(
    st.fixed_dictionaries({}, optional={NAME: st.just("a"), ID: st.just("b"), COMMENTS: st.just("c")}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            IMAGES: st.lists(inner, max_size=2),
            STUDIES: st.lists(inner, max_size=2),
            NAME: st.just("a"),
            ID: st.just("b"),
            REQUESTS: st.lists(inner, max_size=2),
        },
    ),
    max_leaves=8,
)
STEPS = {"ReferencedImageSequence": IMAGES, "ReferencedStudySequence": STUDIES, "RequestAttributesSequence": REQUESTS}
LASTS = {"PatientName": NAME, "(0010,0020)": ID, "PatientComments": COMMENTS, **STEPS}
PATHS = st.tuples(st.booleans(), st.lists(st.sampled_from([*STEPS, "*"]), max_size=3), st.sampled_from([*LASTS]))


def left_of(elements: Elements, rules: list[tuple[Path, str]], here: list[int]) -> Elements:
    """A plain reading of the paths: the first that fits decides."""
    left: Elements = {}
    for tag, value in elements.items():
        if next((method for path, method in rules if fits(path, tag, here)), "keep") == "keep":
            is_sequence = isinstance(value, list)
            left[tag] = [left_of(item, rules, [*here, tag]) for item in value] if is_sequence else value
    return left


def fits(path: Path, tag: int, here: list[int]) -> bool:
    is_anchored, steps, last = path
    if LASTS[last] != tag or len(here) < len(steps) or (is_anchored and len(here) > len(steps)):
        return False
    return all(step == "*" or STEPS[step] == at for step, at in zip(steps[::-1], here[::-1], strict=False))


@settings(max_examples=150, deadline=None)
@given(TREES, st.lists(st.tuples(PATHS, st.sampled_from(["keep", "remove"])), min_size=1, max_size=4))
def test_any_paths_do_what_a_plain_reading_of_them_does(
    apply: Apply, tree: Elements, rules: list[tuple[Path, str]]
) -> None:
    written = [
        {"tag": {"path": "/" * is_anchored + "/".join([*steps, last])}, "method": method}
        for (is_anchored, steps, last), method in rules
    ]
    assert apply(tree, *written) == left_of(tree, rules, [])
