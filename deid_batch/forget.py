"""Forgetting a patient: nothing of theirs stays in OUT, in the books or in the crosswalk, and no run does it again."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import NamedTuple

from deid_batch import crosswalk, dicomfile, workspace
from deid_batch.audit import AuditLog
from deid_batch.batch import group_key, machine_heeded, take_back_unnoted
from deid_batch.errors import FileError, StoppedEarly, UsageError
from deid_batch.fileset import FileSet
from deid_batch.identity import groups_of, person_of, stand_in_of
from deid_batch.ledger import Ledger
from deid_batch.methods import Instance


class Forgotten(NamedTuple):
    """How many rows and outputs went, and lists of the crosswalk that could not be written anew and went as well."""

    files: int
    outputs: int
    sealed: int


def forget(patient: str, issuer: str | None, out: str, work: str, audit: str, reports: tuple[str, ...]) -> Forgotten:
    """Forget a patient by original or new Patient ID. One that nobody knows raises UsageError.

    May be repeated until it is done. `reports` are files that go because they may tell of the patient's files.
    """
    patient = patient.strip("\0 \r\n")
    path = os.path.join(work, workspace.LEDGER_NAME)
    if not os.path.exists(path):
        raise UsageError("no run is known for this OUT: its work directory holds no ledger")
    if not patient:
        raise UsageError("the Patient ID is empty")
    with machine_heeded(), ExitStack() as stack:
        stack.enter_context(workspace.locked(work))
        if not os.path.isdir(out):
            raise StoppedEarly("OUT is not there")
        stack.enter_context(workspace.out_locked(out))
        ledger = Ledger(path)
        stack.callback(ledger.close)
        ledger.mark_forgotten(_people(ledger, patient, issuer, out))
        take_back_unnoted(work, out, ledger)
        with workspace.temporary_area(work, out):
            pass  # which takes away the one of a killed run
        workspace.unlink_in(os.fsencode(out), ledger.outputs_to_forget(), prune=True)
        files, outputs = ledger.forget()
        FileSet(os.fsencode(os.path.abspath(out)), ledger).withdraw_stale()
        AuditLog(audit).rewrite(ledger.rows())
        for report in reports:
            with suppress(FileNotFoundError):
                os.unlink(report)
        return Forgotten(files, outputs, _forget_in_crosswalk(ledger))


def _people(ledger: Ledger, patient: str, issuer: str | None, out: str) -> set[str]:
    """What a patient is called in the ledger: by the original ID, of any issuer if none is said, or the new one."""
    key = group_key(ledger)
    original = person_of(patient, key)
    if issuer is not None:
        original = groups_of(Instance(patient=f"{issuer.strip()}\0{patient}"), key).patient
    if ledger.has_patient(original) or original in ledger.forgotten():
        return {original}
    stand_in = stand_in_of(patient, key)
    groups = _written_as(ledger, patient, out) if issuer is None else set()
    if not groups and stand_in not in ledger.forgotten():
        raise UsageError("no patient of this ID is known here")
    return {stand_in, *groups}


def _written_as(ledger: Ledger, patient: str, out: str) -> set[str]:
    """The groups of patients in whose outputs this Patient ID stands."""
    found = set()
    for path, name, _ in ledger.written():
        with suppress(OSError, FileError):
            instance = dicomfile.identity_of(os.path.join(os.fsencode(out), name))
            if instance.patient.partition("\0")[2] == patient and (group := ledger.patient_of(path)):
                found.add(group)
    return found


def _forget_in_crosswalk(ledger: Ledger) -> int:
    """Write the lists anew, where there are any; how many went because they are sealed."""
    place = os.fsdecode(ledger.remembered(crosswalk.STATE) or b"")
    if not place or not os.path.isdir(place):
        return 0
    sealed = 0
    for kind, name in crosswalk.FILES.items():
        if os.path.exists(os.path.join(place, name)):
            crosswalk.write(place, kind, ledger.crosswalk(kind))
        stem = name.removesuffix(".csv")
        for other in os.listdir(place):
            if other.startswith(stem) and other.endswith(crosswalk.SEALED):
                os.unlink(os.path.join(place, other))
                sealed += 1
    return sealed
