"""The conformance statement of a config, as Markdown. (PS3.15 E.1.3, PS3.2 N.11.2.6)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from deid_batch import __version__
from deid_batch.config import Config
from deid_batch.errors import UsageError
from deid_batch.methods.base import Method
from deid_batch.methods.dummy import DUMMIES, TEXT_DUMMY
from deid_batch.profiles import tables
from deid_batch.profiles.actions import CLEAN_CONTENT, FULL_DATES, MODIFIED_DATES
from deid_batch.profiles.markers import Weaker, claims
from deid_batch.profiles.profile import KEYED, Profile, Treatment
from deid_batch.rules import Rule
from deid_batch.views import shown_condition, shown_settings

_ANYWHERE = (0,)


def statement(config: Config) -> str:
    """What a config with a profile does to which attributes, and how. One without a profile raises UsageError."""
    if config.profile is None:
        raise UsageError("only a config with a profile has a conformance statement")
    parts = [
        _head(config, config.profile),
        *([_own_rules(config.rules, config.profile)] if config.rules else []),
        _attributes(config.profile),
        _others(config.profile),
        _replacements(config.profile),
        *([_safe_private()] if "retain_safe_private" in config.profile.options else []),
        _added(config.profile),
        _restrictions(config.profile),
    ]
    return "\n\n".join(parts)


def _head(config: Config, profile: Profile) -> str:
    rows = [(code, meaning, "claimed") for code, meaning in claims(profile.options, Weaker())]
    doubt = ""
    if any(it.does for it in profile.weaker):
        doubt = "\n\nFiles for which a rule holds that leaves more than the profile claim none of them."
    return (
        f"# Conformance statement: {config.name}\n\n"
        f"deid_batch {__version__}, de-identification by PS3.15 Annex E, edition 2026d. "
        "Nothing is encrypted: there is no Encrypted Attributes Sequence, and one of another origin is removed.\n\n"
        f"{_table(('code', 'meaning (PS3.16 CID 7050)', ''), rows)}{doubt}"
    )


def _own_rules(rules: Sequence[Rule], profile: Profile) -> str:
    """The user's rules; those come first that are no default."""
    rows = [
        (
            rule.written.replace("|", "\\|"),
            f"{rule.method.name} {shown_settings(rule.method)}".strip(),
            " and ".join(map(shown_condition, rule.when)),
            "behind the profile" if rule.is_default else "leaves more than the profile" if weaker.does else "",
        )
        for rule, weaker in zip(rules, profile.weaker, strict=True)
    ]
    return f"## Rules before the profile\n\n{_table(('selects', 'method', 'where', ''), rows)}"


def _attributes(profile: Profile) -> str:
    rows = []
    for row in tables.rows():
        treatment = profile.treatment(row.tag, row.vr or "UN", None, _ANYWHERE)
        assert treatment is not None
        rows.append((row.name.partition(" ")[0], row.keyword, _code(row.basic, treatment), _method(treatment.method)))
    return (
        "## Attributes of Table E.1-1\n\n"
        "At the top level and in items at any depth. Where a code offers several actions and the SOP Class is known, "
        "an attribute of the top level is removed if it is of Type 3 there, emptied if of Type 2, replaced if of "
        "Type 1; the method in the table is for all other places.\n\n"
        + _table(("tag", "attribute", "action", "method"), rows)
    )


def _others(profile: Profile) -> str:
    texts = [
        "File Meta Information and the preamble are written anew.",
        "Groups 0000, 0002, 0004, 50xx and 60xx, group lengths, Data Set Trailing Padding, and attributes that the "
        "data dictionary does not know are removed.",
        "Private elements are removed"
        + (", but those listed below." if "retain_safe_private" in profile.options else "."),
        "UIDs in attributes that Table E.1-1 lacks are "
        + ("kept." if "retain_uids" in profile.options else "replaced, but for definitions.")
        + " Other URLs are removed, names of persons replaced.",
        "Content items are " + ("judged by Table E.3.4-1." if CLEAN_CONTENT in profile.options else "replaced by one."),
        f"Instances with likely burned-in text: {profile.gate.burned_in}. Encapsulated documents: "
        f"{profile.gate.documents}. Instances that are de-identified already: {profile.gate.deidentified}.",
    ]
    return "## What else is done\n\n" + _list(texts)


def _replacements(profile: Profile) -> str:
    dummies = ", ".join(f"{vr} `{dummy}`" for vr, dummy in DUMMIES.items())
    keyed = ", ".join(tables_name(tag) for tag in KEYED)
    texts = [
        f"Dummies: {dummies}, other text `{TEXT_DUMMY}`, numbers and bytes 0.",
        f"Patient ID and Patient's Name: the same text, `{profile.patient.prefix}` and {profile.patient.length} "
        "letters and digits, by HMAC-SHA256 from the key, Issuer of Patient ID and Patient ID.",
        f"By HMAC-SHA256 from the key and the value: {keyed}.",
        "UIDs: `2.25.` and 128 bits of HMAC-SHA256 from the key and the UID. Registered UIDs (PS3.6 Annex A) stay.",
        _dates(profile),
        _cleaning(profile),
    ]
    if profile.cap_ages:
        texts.append("Ages over 89 years, as they are said or follow from birth and study dates, become `090Y`.")
    scope = "References between instances hold among all files that were treated with the same key, in any run."
    return "## Replacements\n\n" + _list([*texts, scope])


def _dates(profile: Profile) -> str:
    if MODIFIED_DATES in profile.options:
        return (
            f"Dates: moved by whole days, by HMAC-SHA256 from the key ({shown_settings(profile.shift)}), the same for "
            "all files of the scope; intervals stay. Times of day and UTC offsets are not changed. Birth dates and "
            "dates more than 89 years old are removed."
        )
    return "Dates: kept, but for birth dates." if FULL_DATES in profile.options else "Dates: removed or replaced."


def _cleaning(profile: Profile) -> str:
    """How text is cleaned. (PS3.15 E.3.5)"""
    whole = "the whole value is removed" if profile.clean.clean_whole else f"`{profile.clean.clean_token}` is put there"
    return (
        "Free text (code C where the VR is text; also in attributes that no table names, and in safe private ones) is "
        "searched for what identifies the patient anywhere in the files of the same patient and study: names of "
        "persons, IDs, birth dates, addresses, telephone numbers, institutions and stations, in all spellings; and "
        f"for forms: {', '.join(profile.clean.clean_patterns)}. Where something is found, {whole}; dates are moved "
        "where dates are, ages over 89 become `90+`, UIDs become what they become elsewhere."
    )


def _safe_private() -> str:
    by_creator = sorted(tables.safe_private().values(), key=attrgetter("creator", "group", "element"))
    rows = [
        (creator.replace("|", "\\|"), ", ".join(f"({it.group:04X},xx{it.element:02X})" for it in group))
        for creator, group in groupby(by_creator, key=attrgetter("creator"))
    ]
    return f"## Safe private attributes\n\n{_table(('private creator', 'elements'), rows)}"


def _added(profile: Profile) -> str:
    names = ["(0012,0062) PatientIdentityRemoved", "(0012,0063) DeidentificationMethod"]
    names += ["(0012,0064) DeidentificationMethodCodeSequence"]
    names += ["(0028,0303) LongitudinalTemporalInformationModified"]
    names += ["(0018,A001) ContributingEquipmentSequence"] * profile.equipment
    return "## Attributes that are added\n\n" + _list(names)


def _restrictions(profile: Profile) -> str:
    texts = [
        "Pixel Data is not changed: text that is burned in, and recognizable faces, stay.",
        "Names that nothing in the files of a patient tells, and no title or form gives away, stay in cleaned text.",
        "Graphic and waveform annotations whose code is D are removed with their modules, which are conditional.",
    ]
    if CLEAN_CONTENT in profile.options:
        texts.append("References by position between content items may go astray where items are removed.")
    return "## Restrictions\n\n" + _list(texts)


def tables_name(tag: int) -> str:
    """The keyword of an attribute in Table E.1-1."""
    row = tables.row_of(tag)
    return row.keyword if row else ""


def _code(basic: str, treatment: Treatment) -> str:
    verdict = treatment.verdict
    return f"{verdict.action} ({verdict.option})" if verdict.option else basic


def _method(method: Method) -> str:
    settings = shown_settings(method) if method.name in ("dateshift", "redact") else ""
    return f"{method.name} ({settings})" if settings else method.name


def _list(texts: Sequence[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines([head, ["---"] * len(head), *rows]))


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |"
