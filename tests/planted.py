"""A corpus with planted identities in six scripts, wherever a file has room for them, and its answer key.

Persons are made by Faker from fixed seeds. Each file comes with what must be gone, and with the harmless words that
stand in the same texts and must stay.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from io import BytesIO
from typing import NamedTuple

from faker import Faker
from pydicom import Dataset
from pydicom.charset import encode_string, python_encoding
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from deid_batch.known.words import common_words

CT, SR, RTSTRUCT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.481.3"


class Person(NamedTuple):
    """Somebody with everything by which one is known; `latin` is the name in Latin letters, where it has another."""

    charset: str | list[str]
    family: str
    given: str
    latin: tuple[str, str]
    phonetic: tuple[str, str] | None
    identifier: str
    accession: str
    birth: str
    telephone: str
    email: str
    street: str
    city: str
    institution: str
    physician: str

    @property
    def name(self) -> str:
        """The value of Patient's Name: up to three component groups."""
        own, latin = f"{self.family}^{self.given}", "^".join(self.latin)
        if own == latin:
            return own
        return f"{latin}={own}={'^'.join(self.phonetic)}" if self.phonetic else f"{latin}={own}"

    @property
    def is_spaced(self) -> bool:
        """Whether names of this script stand between blanks."""
        return len(self.family) + len(self.given) > 6

    def secrets(self) -> set[str]:
        """What nothing of may be left. Single letters of a script without blanks identify together only."""
        names = [*self.latin, *(self.phonetic or ())]
        names += [self.family, self.given] if self.is_spaced else [self.family + self.given]
        numbers = [self.identifier, self.identifier.lstrip("P0"), self.accession, self.telephone]
        return {*names, *numbers, self.email, self.street, self.birth, *self.physician.split("^")}


class Planted(NamedTuple):
    """A file: its path, its bytes, what must be gone, and (keyword, words) that must stay in attributes of the name."""

    path: str
    data: bytes
    gone: frozenset[str]
    kept: tuple[tuple[str, tuple[str, ...]], ...]


class Text(NamedTuple):
    """A text with a place for what identifies, and the harmless words in it."""

    pattern: str
    words: tuple[str, ...]


def text(pattern: str, words: str) -> Text:
    return Text(pattern, tuple(words.split("|")))


SCRIPTS: dict[str, tuple[str, str | list[str], str]] = {
    "german": ("de_DE", "ISO_IR 100", ""),
    "polish": ("pl_PL", "ISO_IR 101", ""),
    "french": ("fr_FR", "ISO_IR 192", ""),
    "hungarian": ("hu_HU", "ISO_IR 101", ""),
    "russian": ("ru_RU", "ISO_IR 144", "en_GB"),
    "bulgarian": ("bg_BG", "ISO_IR 192", "en_GB"),
    "greek": ("el_GR", "ISO_IR 126", "en_GB"),
    "hebrew": ("he_IL", "ISO_IR 138", "en_GB"),
    "arabic": ("ar_AA", "ISO_IR 127", "en_GB"),
    "japanese": ("ja_JP", ["", "ISO 2022 IR 87"], "en_GB"),
    "korean": ("ko_KR", ["", "ISO 2022 IR 149"], "en_GB"),
    "chinese": ("zh_CN", "GB18030", "en_GB"),
}
"""By name: the locale, Specific Character Set, and the locale of the Latin form of names."""

DESCRIPTIONS = [
    text("T2 sag {} 3mm", "T2|sag|3mm"),
    text("CHEST {} routine", "CHEST|routine"),
    text("{} Head Big Bore", "Head|Big|Bore"),
    text("Knee left, {}", "Knee|left"),
    text("{}: t1_tse_cor 1.5 T", "t1_tse_cor|1.5|T"),
    text("Abdomen ({}) portal venous", "Abdomen|portal|venous"),
    text("ax FLAIR {} 5/5", "ax|FLAIR|5/5"),
    text("Thorax pa {} Long Axis", "Thorax|pa|Long|Axis"),
    text("Spine {} with contrast", "Spine|with|contrast"),
    text("{} brown fat, small vessels", "brown|fat|small|vessels"),
]
COMMENTS = [
    text("Seen on {day}, born {born}. No fracture of the left wrist.", "No|fracture|of|the|left|wrist."),
    text("Call {telephone} or {email} about the lesion in segment 4.", "about|the|lesion|in|segment|4."),
    text("Lives in {street}. Follow up in 6 months, kernel B30f.", "Follow|up|in|6|months,|kernel|B30f."),
    text("ID {number} / {accession}; young adult, grade 2 stenosis", "young|adult,|grade|2|stenosis"),
    text("Referred by Dr. {physician}: short inversion time 150 ms", "short|inversion|time|150|ms"),
]
OTHER_WORDS = "Philips Imaging ACME PLANTED Memorial Clinic Street Finding nodule lobe Summary Observer boost lung"
"""That no name may be part of, as it would be found in them."""


def people(turn: int = 0) -> Iterator[tuple[str, Person]]:
    """Patients, one for each script; other ones for another turn."""
    for number, (script, (locale, charset, latin)) in enumerate(SCRIPTS.items()):
        yield script, _person(number + 100 * turn, locale, charset, latin)


_faker = cache(Faker)


def _person(number: int, locale: str, charset: str | list[str], latin_locale: str) -> Person:
    fake, latin = _faker(locale), _faker(latin_locale or locale)
    for one in (fake, latin):
        one.seed_instance(4711 + number)
    family = _word(fake.last_name, charset, accented=not latin_locale)
    given = _word(fake.first_name, charset)
    latin_name = (_word(latin.last_name, "ISO_IR 6"), _word(latin.first_name, "ISO_IR 6")) if latin_locale else None
    phonetic = (
        (_word(fake.last_kana_name, charset), _word(fake.first_kana_name, charset)) if locale == "ja_JP" else None
    )
    plain = _faker("en_GB")
    plain.seed_instance(815 + number)
    return Person(
        charset,
        family,
        given,
        latin_name or (family, given),
        phonetic,
        f"P000{plain.random_int(100_000, 999_999)}",
        f"{plain.random_int(10_000_000, 99_999_999)}",
        f"19{plain.random_int(40, 90)}{plain.random_int(10, 12)}{plain.random_int(13, 28)}",
        f"0{plain.random_int(20, 99)} {plain.random_int(1_000_000, 9_999_999)}",
        f"{plain.user_name()}@example.org",
        f"{_word(plain.last_name, 'ISO_IR 6')} Street {plain.random_int(100, 999)}",
        plain.city(),
        f"{_word(plain.last_name, 'ISO_IR 6')} Memorial Clinic",
        f"{_word(plain.last_name, 'ISO_IR 6')}^{_word(plain.first_name, 'ISO_IR 6')}",
    )


def _word(made: Callable[[], str], charset: str | list[str], *, accented: bool = False) -> str:
    """The next name that is one word, fits the character set and is not a common word or part of our texts."""
    harmless = " ".join([*(each.pattern for each in (*DESCRIPTIONS, *COMMENTS)), OTHER_WORDS]).casefold()
    encodings = [python_encoding[term] for term in ([charset] if isinstance(charset, str) else charset)]
    for _ in range(5000):
        name = made()
        if accented and folded(name) == name.casefold():
            continue
        is_long = len(name) >= 5 or (name and ord(name[0]) > 0x0500)
        if not is_long or not name.isalpha() or folded(name) in common_words() or folded(name) in harmless:
            continue
        try:
            encode_string(name, encodings)
        except (UnicodeError, LookupError):
            continue
        return name
    raise AssertionError("no such name")


def folded(word: str) -> str:
    """Without case and diacritics."""
    letters = unicodedata.normalize("NFD", word.casefold())
    return unicodedata.normalize("NFC", "".join(it for it in letters if not unicodedata.combining(it)))


def spellings(person: Person) -> list[str]:
    """How a person is called in running text."""
    family, given = person.family, person.given
    if not person.is_spaced:
        latin = [
            f"{person.latin[0]} {person.latin[1]}",
            f"{person.latin[1]}_{person.latin[0]}",
            f"PT: {person.latin[0]}",
        ]
        phonetic = ["".join(person.phonetic), " ".join(person.phonetic)] if person.phonetic else []
        return [family + given, f"{family} {given}", f"{family}^{given}", *latin, *phonetic]
    common = [
        f"{family} {given}", f"{given} {family}", f"{family}, {given}", f"{family}^{given}", f"{given[0]}. {family}",
        f"{family}_{given}", f"{given}-{family}", f"PT: {family}", family.upper(), f"{family.upper()} {given.upper()}",
    ]  # fmt: skip
    if folded(family) != family.casefold() or folded(given) != given.casefold():
        german = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
        common += [f"{folded(family).title()} {folded(given).title()}", f"{family} {given}".translate(german).upper()]
    if family.isascii():
        common += [f"{family}'s", f"Mr. {family}", f"{family.lower()}{given.lower()}"]
    else:
        common += [f"{person.latin[0]} {person.latin[1]}", f"{person.latin[1]}_{person.latin[0]}".upper()]
    return common


# ---- files ----


def corpus(rounds: int = 1) -> Iterator[Planted]:
    """All files, ten for each person and round."""
    for number in range(rounds):
        for script, person in people(number):
            yield from _files(script, person, number)


def _files(script: str, person: Person, number: int) -> Iterator[Planted]:
    calls = spellings(person)
    folder = f"{'_'.join(person.latin)}/{script}{number}"
    for kind, make in KINDS.items():
        dataset, kept = (
            _base(person, f"{number + 1}.{len(kind)}.{sum(map(ord, kind + script))}"),
            list[tuple[str, tuple[str, ...]]](),
        )
        turn = number * 3 + sum(map(ord, kind))
        make(dataset, person, [calls[(turn + at) % len(calls)] for at in range(len(calls))], kept)
        path = f"{folder}/{person.accession}_{kind}" if kind == "nested" else f"{folder}/{kind}"
        yield Planted(path, _encoded(dataset, kind), frozenset(person.secrets()), tuple(kept))


Kept = list[tuple[str, tuple[str, ...]]]


def _base(person: Person, suffix: str) -> Dataset:
    """An instance of a person with what every file has."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = person.charset
    dataset.SOPClassUID = CT
    dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.9.77.{suffix}"
    dataset.StudyInstanceUID = f"1.2.826.0.1.3680043.9.78.{person.accession}"
    dataset.SeriesInstanceUID = f"1.2.826.0.1.3680043.9.79.{person.accession}.{len(suffix)}"
    dataset.Modality = "CT"
    dataset.PatientName, dataset.PatientID = person.name, person.identifier
    dataset.PatientBirthDate, dataset.StudyDate = person.birth, "20191105"
    dataset.AccessionNumber, dataset.PatientAddress = person.accession, person.street
    dataset.PatientTelephoneNumbers, dataset.PatientTelecomInformation = person.telephone, f"mailto:{person.email}"
    dataset.InstitutionName, dataset.ReferringPhysicianName = person.institution, person.physician
    dataset.StationName, dataset.OperatorsName = "CT01", person.physician
    return dataset


def _say(dataset: Dataset, keyword: str, said: Text, what: str, kept: Kept) -> None:
    """Put a text with what identifies into an attribute; cut to fit, with the words that are then in it."""
    whole = said.pattern.format(what)
    if len(whole) > 64:
        whole = what[:64]
        setattr(dataset, keyword, whole)
        return
    setattr(dataset, keyword, whole)
    kept.append((keyword, said.words))


def _top(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
    for at, keyword in enumerate(["StudyDescription", "SeriesDescription", "ProtocolName"]):
        _say(dataset, keyword, DESCRIPTIONS[at], calls[at % len(calls)], kept)


def _spelled(first: int) -> Callable[[Dataset, Person, list[str], Kept], None]:
    keywords = [
        "StudyDescription", "SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription",
        "RequestedProcedureDescription", "ContrastBolusAgent", "AdmittingDiagnosesDescription",
    ]  # fmt: skip

    def make(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
        for at, keyword in enumerate(keywords):
            said = DESCRIPTIONS[(first + at) % len(DESCRIPTIONS)]
            _say(dataset, keyword, said, calls[(first + at) % len(calls)], kept)

    return make


def _comments(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
    born = f"{person.birth[6:]}.{person.birth[4:6]}.{person.birth[:4]}"
    facts = {
        "day": "05.11.2019", "born": born, "telephone": person.telephone.replace(" ", "-"), "email": person.email,
        "street": person.street, "number": person.identifier.lstrip("P0"), "accession": person.accession,
        "physician": person.physician.partition("^")[0],
    }  # fmt: skip
    dataset.ImageComments = "\r\n".join(each.pattern.format(**facts) for each in COMMENTS)
    kept.append(("ImageComments", tuple(word for each in COMMENTS for word in each.words)))
    dataset.PatientComments = f"{calls[0]} says: {COMMENTS[1].pattern.format(**facts)}"


def _nested(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
    inner, middle, outer = Dataset(), Dataset(), Dataset()
    _say(inner, "StudyDescription", DESCRIPTIONS[3], calls[0], kept)
    inner.PatientName, inner.PatientID = person.name, person.identifier
    middle.AnatomicRegionModifierSequence = Sequence([inner])
    _say(outer, "ScheduledProcedureStepDescription", DESCRIPTIONS[4], calls[1 % len(calls)], kept)
    outer.AnatomicRegionSequence = Sequence([middle])
    dataset.RequestAttributesSequence = Sequence([outer])


def _private(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
    unknown = dataset.private_block(0x0041, "ACME PLANTED", create=True)
    unknown.add_new(1, "LO", calls[0][:64])
    unknown.add_new(2, "PN", person.name)
    unknown.add_new(3, "UN", person.email.encode())
    hidden = Dataset()
    hidden.PatientName = person.name
    unknown.add_new(4, "SQ", Sequence([hidden]))
    safe = dataset.private_block(0x2001, "Philips Imaging DD 001", create=True)
    safe.add_new(0x03, "FL", 1000.0)


def _content(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
    def item(kind: str, code: str, meaning: str, **values: object) -> Dataset:
        made, concept = Dataset(), Dataset()
        concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = code, "DCM", meaning
        made.RelationshipType, made.ValueType = "CONTAINS", kind
        made.ConceptNameCodeSequence = Sequence([concept])
        for keyword, value in values.items():
            setattr(made, keyword, value)
        return made

    dataset.SOPClassUID, dataset.Modality, dataset.ValueType = SR, "SR", "CONTAINER"
    finding = f"Finding in {calls[0]}: small nodule in the left upper lobe"
    dataset.ContentSequence = Sequence([
        item("TEXT", "121071", "Finding", TextValue=finding),
        item("PNAME", "121008", "Person Observer Name", PersonName=person.physician),
        item("TEXT", "121111", "Summary", TextValue=f"Sent to {person.physician.replace('^', ' ')} by {person.email}"),
    ])  # fmt: skip


def _hidden(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
    """A sequence written as UN. (PS3.5 6.2.2)"""
    inner = Dataset()
    inner.SpecificCharacterSet = person.charset
    inner.PatientName, inner.PatientComments = person.name, calls[0]
    buffer = BytesIO()
    inner.file_meta = FileMetaDataset()
    inner.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    inner.save_as(buffer, enforce_file_format=False, implicit_vr=True, little_endian=True)
    item = buffer.getvalue()
    item = item[item.index(b"\x08\0\x05\0") :]
    dataset.add_new(0x0032103F, "UN", b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item)
    _say(dataset, "StudyDescription", DESCRIPTIONS[5], calls[1 % len(calls)], kept)


def _labels(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
    dataset.SOPClassUID, dataset.Modality = RTSTRUCT, "RTSTRUCT"
    dataset.StructureSetLabel, dataset.StructureSetName = person.latin[0][:16], person.latin[0]
    region = Dataset()
    region.ROINumber, region.ROIName = 1, f"PTV_{person.latin[0]}"
    region.ROIDescription = f"boost {person.latin[0]} left lung"
    dataset.StructureSetROISequence = Sequence([region])


def _odd(dataset: Dataset, person: Person, calls: list[str], kept: Kept) -> None:
    """Names in overlays, in padding, and around the data set (see `_encoded`)."""
    dataset.add_new(0x60000022, "LO", calls[0][:64])
    dataset.add_new(0x60001500, "LO", person.latin[0])
    dataset.add_new(0xFFFCFFFC, "OB", person.latin[0].encode("utf-8").ljust(32, b"\0"))
    _say(dataset, "SeriesDescription", DESCRIPTIONS[8], calls[1 % len(calls)], kept)


KINDS: dict[str, Callable[[Dataset, Person, list[str], Kept], None]] = {
    "top": _top,
    "nested": _nested,
    "private": _private,
    "content": _content,
    "hidden": _hidden,
    "spelled": _spelled(0),
    "written": _spelled(5),
    "comments": _comments,
    "labels": _labels,
    "odd": _odd,
}


def _encoded(dataset: Dataset, kind: str) -> bytes:
    """The file; an odd one has names in preamble and File Meta Information too, and group lengths."""
    name = str(dataset.PatientName).partition("=")[0]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if kind == "odd":
        dataset.preamble = name.encode("utf-8")[:120].ljust(128, b"\0")
        dataset.file_meta.SourceApplicationEntityTitle = name.partition("^")[0].encode("ascii", "ignore").decode()[:16]
        dataset.file_meta.PrivateInformationCreatorUID = "1.2.3.4"
        dataset.file_meta.PrivateInformation = name.encode("utf-8")
        dataset.add_new(0x00100000, "UL", 4)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def with_comment(person: Person, comment: bytes) -> bytes:
    """An image of a person, with a comment in its JPEG stream."""
    dataset = _base(person, "99.1")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    stream = b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + b"\xff\xda\0\2\xff\xd9"
    stream += b"\0" * (len(stream) % 2)
    length = len(stream).to_bytes(4, "little")
    dataset.add_new(0x7FE00010, "OB", b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0" + length + stream)
    dataset["PixelData"].is_undefined_length = True
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
