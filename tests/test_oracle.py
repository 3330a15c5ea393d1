"""The engine against the oracle: real files and generated ones, rule set by rule set."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from datasets import Generated, body_of, files, rewritten
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import DEFLATED, LONG_VRS, TRAILING_PADDING, Opened, Oracle, raw_elements, read, rule_set
from pydicom import DataElement, dcmread
from pydicom.uid import ExplicitVRLittleEndian

from deid_batch.errors import FileError
from deid_batch.rules import RuleSet

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DATA = Path(pydicom.__file__).parent / "data"
SCANNERS = Path(__file__).parents[2] / "shared" / "data" / "scanners"
SEED_SAMPLE = Path(__file__).parents[1] / "configs" / "seed-sample.json"

CONFIGS = {
    "seed-sample": SEED_SAMPLE.read_text(encoding="utf-8"),
    "dates": """{"dicomTagRules": [
        {"tag": {"keyword": "StudyDate"}, "method": "redact"},
        {"tag": {"VR": "DA"}, "method": "dateshift", "dateShiftRange": 3000},
        {"tag": {"keyword": "AcquisitionDateTime"}, "method": "dateshift", "dateShiftScope": "Patient"},
        {"tag": {"VR": "DT"}, "method": "redact"},
        {"tag": {"VR": "AS"}, "method": "redact", "redactLeaves": "empty"},
        {"tag": {"VR": "TM"}, "method": "redact"},
        ], "parameters": {"dateShiftAlgorithm": "bkdr", "dateShiftKey": "123",
        "enablePartialAgesForRedact": true, "enablePartialDatesForRedact": true}}""",
    "every text VR": """{"dicomTagRules": [
        {"tag": {"keyword": "SpecificCharacterSet"}, "method": "keep"},
        {"tag": {"VR": "AE"}, "method": "substitute", "replaceWith": "AE"},
        {"tag": {"VR": "AS"}, "method": "remove"},
        {"tag": {"VR": "CS"}, "method": "cryptohash", "maxLength": 16},
        {"tag": {"VR": "DA"}, "method": "redact"},
        {"tag": {"VR": "DS"}, "method": "encrypt"},
        {"tag": {"VR": "DT"}, "method": "cryptohash"},
        {"tag": {"value": "(0020,001x)"}, "method": "refreshUID"},
        {"tag": {"VR": "LO"}, "method": "cryptohash"},
        {"tag": {"VR": "LT"}, "method": "encrypt"},
        {"tag": {"VR": "PN"}, "method": "cryptohash", "cryptoHashType": "Sha512"},
        {"tag": {"VR": "SH"}, "method": "encrypt"},
        {"tag": {"VR": "ST"}, "method": "cryptohash", "cryptoHashType": "Sha384"},
        {"tag": {"VR": "TM"}, "method": "redact", "redactLeaves": "empty"},
        {"tag": {"VR": "UC"}, "method": "encrypt"},
        {"tag": {"VR": "UI"}, "method": "refreshUID"},
        {"tag": {"VR": "UR"}, "method": "cryptohash"},
        {"tag": {"VR": "UT"}, "method": "encrypt"},
        {"tag": {"VR": "OB"}, "method": "cryptohash"},
        {"tag": {"VR": "UN"}, "method": "encrypt"}]}""",
    "sequences": """{"dicomTagRules": [
        {"tag": {"keyword": "RequestAttributesSequence"}, "method": "remove"},
        {"tag": {"keyword": "ReferencedStudySequence"}, "method": "redact", "redactLeaves": "empty"},
        {"tag": {"keyword": "ReferencedImageSequence"}, "method": "keep"},
        {"tag": {"value": "(3006,0x39)"}, "method": "cryptohash"},
        {"tag": {"keyword": "BeamSequence"}, "method": "redact"},
        {"tag": {"value": "(5200,xxxx)"}, "method": "keep"},
        {"tag": {"value": "(0029,xxxx)"}, "method": "keep"},
        {"tag": {"value": "(0019,xxxx)"}, "method": "remove"},
        {"tag": {"VR": "UI"}, "method": "refreshUID"},
        {"tag": {"VR": "LO"}, "method": "redact", "redactLeaves": "empty"},
        {"tag": {"value": "(7FE0,xxxx)"}, "method": "redact", "redactLeaves": "empty"}]}""",
    "perturb": """{"dicomTagRules": [
        {"tag": {"value": "(7FE0,0010)"}, "method": "keep"},
        {"tag": {"value": "(60xx,3000)"}, "method": "keep"},
        {"tag": {"VR": "AS"}, "method": "perturb", "span": 10},
        {"tag": {"VR": "DS"}, "method": "perturb", "span": "0.5", "rangeType": "Proportional"},
        {"tag": {"VR": "IS"}, "method": "perturb", "span": 7, "perturbScope": "StudyInstance"},
        {"tag": {"VR": "FL"}, "method": "perturb", "span": "0.25", "roundTo": 9},
        {"tag": {"VR": "FD"}, "method": "perturb", "rangeType": "proportional"},
        {"tag": {"VR": "OD"}, "method": "perturb"}, {"tag": {"VR": "OF"}, "method": "perturb"},
        {"tag": {"VR": "OL"}, "method": "perturb", "span": 1e9}, {"tag": {"VR": "OV"}, "method": "perturb", "span": 9},
        {"tag": {"VR": "OW"}, "method": "perturb", "span": 99}, {"tag": {"VR": "SL"}, "method": "perturb", "span": 50},
        {"tag": {"VR": "SS"}, "method": "perturb", "span": 60000}, {"tag": {"VR": "SV"}, "method": "perturb"},
        {"tag": {"VR": "UL"}, "method": "perturb", "span": 8}, {"tag": {"VR": "US"}, "method": "perturb", "span": 9},
        {"tag": {"VR": "UV"}, "method": "perturb", "span": 5}]}""",
    "substitute": """{"dicomTagRules": [
        {"tag": {"keyword": "PatientID"}, "method": "substitute"},
        {"tag": {"keyword": "ImageType"}, "method": "keep"},
        {"tag": {"value": "(7FE0,xxxx)"}, "method": "keep"},
        {"tag": {"keyword": "ReferringPhysicianName"}, "method": "substitute", "replaceWith": "홍^길동"},
        {"tag": {"VR": "PN"}, "method": "substitute", "replaceWith": "山田^太郎"},
        {"tag": {"VR": "LO"}, "method": "substitute", "replaceWith": "São José"},
        {"tag": {"VR": "LT"}, "method": "substitute", "replaceWith": "one\\\\two"},
        {"tag": {"VR": "DA"}, "method": "substitute", "replaceWith": "20000101"},
        {"tag": {"VR": "DS"}, "method": "substitute", "replaceWith": "0.125"},
        {"tag": {"VR": "IS"}, "method": "substitute", "replaceWith": "-7"},
        {"tag": {"VR": "FL"}, "method": "substitute", "replaceWith": "0.1"},
        {"tag": {"VR": "SS"}, "method": "substitute", "replaceWith": "-5"},
        {"tag": {"VR": "US"}, "method": "substitute", "replaceWith": "65535"},
        {"tag": {"VR": "SQ"}, "method": "keep"}]}""",
}  # fmt: skip

RULE_SETS = {name: rule_set(text) for name, text in CONFIGS.items()}
NOTHING = rule_set('{"dicomTagRules": [{"tag": {"value": "(7001,0001)"}, "method": "remove"}]}')

NO_SOP_UID = """charset_files/chrSQEncoding.dcm charset_files/chrSQEncoding1.dcm test_files/UN_sequence.dcm
    test_files/empty_charset_LEI.dcm test_files/meta_missing_tsyntax.dcm test_files/nested_priv_SQ.dcm
    test_files/no_meta_group_length.dcm test_files/priv_SQ.dcm"""
TRUNCATED = "test_files/MR_truncated.dcm test_files/rtplan_truncated.dcm"
NO_SERIES = """palettes/fall.dcm palettes/hotiron.dcm palettes/hotmetalblue.dcm palettes/pet.dcm palettes/pet20step.dcm
    palettes/spring.dcm palettes/summer.dcm palettes/winter.dcm test_files/JPEGLSNearLossless_08.dcm
    test_files/JPEGLSNearLossless_16.dcm test_files/SC_rgb_jls_lossy_line.dcm
    test_files/SC_rgb_jls_lossy_sample.dcm"""
FAILS = {
    **dict.fromkeys(NO_SOP_UID.split(), "no-sop-uid"),
    **dict.fromkeys(TRUNCATED.split(), "truncated"),
}
REENCODED = {"palettes/winter.dcm", "test_files/SC_rgb_jpeg.dcm"}
WITH_GROUP_LENGTHS_IN_ITEMS = {
    f"scanners/{name}.dcm" for name in ("ge_mr_epi_00", "ge_mr_epi_01", "phi_mr_dwi_00")
}  # fmt: skip


def bundled() -> Iterator[tuple[str, Path]]:
    """pydicom's files (of each series one) and, where they are at hand, those of real scanners, by name."""
    series = set()
    for folder in ("charset_files", "palettes", "test_files"):
        for path in sorted((DATA / folder).rglob("*")):
            is_one_more = path.parent in series and not path.suffix and "DICOMDIR" not in path.name
            if path.is_file() and path.suffix not in (".py", ".pyc") and not is_one_more:
                yield path.relative_to(DATA).as_posix(), path
                series |= {path.parent} if not path.suffix else set()
    for path in sorted(SCANNERS.glob("*.dcm")):
        yield f"scanners/{path.name}", path


FILES = dict(bundled())


def expected_reason(name: str, rules: RuleSet) -> str:
    """The reason for which a bundled file can't be written; "" where it can."""
    path = Path(name)
    if "DICOMDIR" in path.name:
        return "dicomdir"
    if path.suffix in (".dump", ".gz", ".icc", ".json", ".md", ".txt") or path.name in ("README", "no_meta.dcm"):
        return "not-dicom"
    return FAILS.get(name) or ("no-scope-uid" if rules.required_scopes and name in NO_SERIES.split() else "")


def encoded_elements(opened: Opened) -> dict[int, bytes]:
    """The encoded elements of the top level, cut out where pydicom found them."""
    starts = []
    for tag, element in raw_elements(opened.dataset):
        start = element.file_tell if isinstance(element, DataElement) else element.value_tell
        starts.append(start - (12 if opened.tree[tag].vr in LONG_VRS else 8))
    stops = [*starts[1:], len(opened.source)]
    return {tag: opened.source[start:stop] for tag, start, stop in zip(opened.tree, starts, stops, strict=True)}


def assert_is_what_the_oracle_makes(data: bytes, rules: RuleSet, readable: bytes = b"") -> None:
    """`readable` is the form that the file must have been brought into first, if it is oddly encoded."""
    out, account = rewritten(data, rules)
    assert account.detail == ("re-encoded" if readable else "")
    before, after = read(readable or data), read(out)
    oracle = Oracle(rules)
    expected = oracle.deidentify(before.tree, little=before.little)
    assert after.tree == expected
    assert account.counts == oracle.counts
    assert account.hits == oracle.hits
    encoded_before, encoded_after = encoded_elements(before), encoded_elements(after)
    last = max(encoded_before)
    for tag in expected.keys() - oracle.touched - {last}:
        assert encoded_after[tag] == encoded_before[tag], hex(tag)
    assert out[:128] == bytes(128)
    assert after.dataset.file_meta.MediaStorageSOPInstanceUID == after.dataset.SOPInstanceUID


def reencoded(path: Path) -> bytes:
    """What pydicom makes of an oddly encoded file."""
    dataset, out = dcmread(path), BytesIO()
    list(dataset.iterall())
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(out, implicit_vr=False, little_endian=True)
    return out.getvalue()


@pytest.mark.parametrize("rule_set_name", RULE_SETS)
@pytest.mark.parametrize("name", FILES)
def test_bundled_file_becomes_what_the_oracle_makes_of_it(name: str, rule_set_name: str) -> None:
    rules, path = RULE_SETS[rule_set_name], FILES[name]
    if reason := expected_reason(name, rules):
        with pytest.raises(FileError) as error:
            rewritten(path.read_bytes(), rules)
        assert error.value.reason == reason
    else:
        assert_is_what_the_oracle_makes(path.read_bytes(), rules, reencoded(path) if name in REENCODED else b"")


@pytest.mark.parametrize("name", [name for name in FILES if not expected_reason(name, NOTHING)])
def test_bundled_file_stays_bit_identical_where_no_rule_matches(name: str) -> None:
    path = FILES[name]
    assert_is_what_the_oracle_makes(path.read_bytes(), NOTHING, reencoded(path) if name in REENCODED else b"")
    if name in WITH_GROUP_LENGTHS_IN_ITEMS:
        return
    data = reencoded(path) if name in REENCODED else path.read_bytes()
    before = read(data)
    kept = [encoded for tag, encoded in encoded_elements(before).items() if tag & 0xFFFF and tag != TRAILING_PADDING]
    written, whole = data_set_of(rewritten(path.read_bytes(), NOTHING)[0]), b"".join(kept)
    assert written == whole[: len(written)]
    assert not whole[len(written) :].strip(b"\0")


def data_set_of(out: bytes) -> bytes:
    is_deflated = DEFLATED.encode() in out[:500]
    return zlib.decompress(body_of(out), -zlib.MAX_WBITS) if is_deflated else body_of(out)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(generated=files(), rule_set_name=st.sampled_from(sorted(RULE_SETS)))
def test_generated_file_becomes_what_the_oracle_makes_of_it(generated: Generated, rule_set_name: str) -> None:
    assert_is_what_the_oracle_makes(generated.data, RULE_SETS[rule_set_name])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(generated=files(group_lengths=False))
def test_generated_file_stays_bit_identical_where_no_rule_matches(generated: Generated) -> None:
    assert data_set_of(rewritten(generated.data, NOTHING)[0]) == generated.body


@settings(max_examples=80, deadline=None, derandomize=True)
@given(generated=files(), rule_set_name=st.sampled_from(sorted(RULE_SETS)), data=st.data())
def test_generated_file_becomes_the_same_however_much_is_read_at_once(
    generated: Generated, rule_set_name: str, data: st.DataObject
) -> None:
    rules = RULE_SETS[rule_set_name]
    begin = generated.data.find(generated.body)  # -1 where it is deflated
    windows = st.integers(begin + 64, begin + len(generated.body)) if begin >= 0 else st.just(1 << 16)
    expected = rewritten(generated.data, rules)
    assert rewritten(generated.data, rules, window=data.draw(windows)) == expected
