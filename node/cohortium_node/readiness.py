"""Everything the daemon needs, tried out: what is there, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from cohortium_node import workplace
from cohortium_node.channels.grpc import GrpcChannel
from cohortium_node.config import Config, read_study_key
from cohortium_node.data.source import FolderSource
from cohortium_node.ledger import Ledger
from cohortium_protocols.errors import CohortiumError
from cohortium_protocols.signing import SigningKey

_BEYOND = 2**62
"""A place in the mailbox after everything: asks whether the relay answers, and fetches nothing."""


def tried_out(config: Config) -> list[tuple[str, str, CohortiumError | None]]:
    """Returns for every part what it is, what to say of it, and what is wrong with it, if anything."""
    return [_tried(what, attempt) for what, attempt in _attempts(config)]


def relay_channel(config: Config) -> GrpcChannel:
    """Returns the way to the operator's relay."""
    relay = config.relay
    return GrpcChannel(relay.address, relay.authority, relay.certificate, relay.key)


def _attempts(config: Config) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "configuration", lambda: f"node '{config.name}', operator '{config.operator}'"
    yield "policy", lambda: _policy_words(config)
    yield "signing key", lambda: SigningKey.load(config.signing_key).public.fingerprint
    yield "study key", lambda: f"{len(read_study_key(config.study_key))} bytes"
    yield "records", lambda: _records_words(config)
    for study in _cohort_files(config):
        yield f"cohort {study}", lambda study=study: _cohort_words(config, study)  # type: ignore[misc]
    yield "ledger", lambda: _ledger_words(config)
    yield "relay", lambda: _relay_words(config)


def _policy_words(config: Config) -> str:
    policy = workplace.pinned_policy(config)
    return (
        f"pinned operators: {', '.join(policy.operators)}; pinned nodes: {', '.join(policy.peers) or 'none'} "
        "(a secure sum needs all of its nodes pinned)"
    )


def _records_words(config: Config) -> str:
    report = FolderSource(config.data.folder).check()
    columns = [f"{table}.{name}" for table, names in report.missing_columns.items() for name in names]
    words = [
        ", ".join(f"{table} {rows:,} rows" for table, rows in report.rows.items()),
        f"not there: {', '.join(absent)}" if (absent := [*report.missing_tables, *columns]) else "",
        f"{unusable:,} people without a valid NHS number" if (unusable := report.without_nhs_number) else "",
    ]
    return "; ".join(filter(None, words))


def _cohort_files(config: Config) -> list[str]:
    return sorted(path.stem for path in config.cohorts.folder.glob("*.csv"))


def _cohort_words(config: Config, study: str) -> str:
    return f"{workplace.source(config, workplace.pinned_policy(config)).cohort(study).rows:,} rows"


def _ledger_words(config: Config) -> str:
    if not config.ledger.exists():
        return "made when the daemon first runs"
    with closing(Ledger.read(config.ledger)) as ledger:
        return f"{ledger.verify()} entries, chain unbroken"


def _relay_words(config: Config) -> str:
    with relay_channel(config) as channel:
        channel.fetch(_BEYOND)
    return f"{config.relay.address} answers"


def _tried(what: str, attempt: Callable[[], str]) -> tuple[str, str, CohortiumError | None]:
    try:
        return what, attempt(), None
    except CohortiumError as error:
        return what, str(error), error
