"""The files of one node: made once by ``init``, opened together by the daemon."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cohortium_node.anchors import Anchors
from cohortium_node.approvals import Desk
from cohortium_node.audit import Audit
from cohortium_node.cohorts import CohortFolder
from cohortium_node.config import ADDRESS, EXAMPLE_ADDRESS, Config, read_study_key
from cohortium_node.data.source import FolderSource
from cohortium_node.ledger import Ledger
from cohortium_node.policy import Policy, read_policy
from cohortium_node.service import Node
from cohortium_protocols.errors import InputError, StorageError, TrustError
from cohortium_protocols.new_file import write_new
from cohortium_protocols.signing import SigningKey, VerifyKey
from cohortium_protocols.tls import make_request

_FREEZE_KEY_BYTES = 32


@dataclass(frozen=True)
class Beginning:
    """What ``init`` is told.

    Attributes:
        folder: where the node's files are made.
        name: of the node, as on the roster of every plan.
        operator: name of the data lab.
        operator_key: the lab's public key, compared by telephone; None when it is not known yet.
        relay: the lab's relay, ``host:port``.
        data: folder of the custodian's records.
        cohorts: folder of the providers' cohort files.
        study_key: the custodians' common key; None to make one.
    """

    folder: Path
    name: str
    operator: str
    operator_key: VerifyKey | None
    relay: str
    data: Path
    cohorts: Path
    study_key: Path | None


def make(beginning: Beginning) -> Path:
    """Makes keys, certificate request, configuration and policy; returns the configuration file.

    Raises:
        StorageError: a file is there already, or cannot be written; no existing file is changed.
        InputError: the name cannot be a node's, the relay's address is none, or the study key is none.
    """
    folder, config = beginning.folder, beginning.folder / "node.toml"
    if config.exists():
        raise StorageError(f"{config} is there already.", do="choose another folder; nothing was changed")
    if not ADDRESS.fullmatch(beginning.relay):
        raise InputError(f"'{beginning.relay}' is not the address of a relay.", why="it is written HOST:PORT",
                         do=f"write, for example, {EXAMPLE_ADDRESS}; nothing was made")  # fmt: skip
    if beginning.study_key is not None:
        read_study_key(beginning.study_key)
    request = make_request(folder / "tls" / f"{beginning.name}.key", beginning.name)
    write_new(folder / "tls" / f"{beginning.name}.csr", request, private=True)
    SigningKey.generate().save(folder / "state" / "keys" / "signing.pem")
    write_new(folder / "state" / "keys" / "freeze.key", secrets.token_bytes(_FREEZE_KEY_BYTES), private=True)
    if beginning.study_key is None:
        write_new(folder / "study.key", secrets.token_hex(32).encode() + b"\n", private=True)
    for place in (beginning.data, beginning.cohorts):
        _directory(folder / place)
    write_new(folder / "policy.toml", _policy_text(beginning).encode(), private=True)
    write_new(config, _config_text(beginning).encode(), private=True)
    return config


@contextmanager
def opened(config: Config) -> Iterator[Node]:
    """The node's files, held by this process until the end.

    Raises:
        CohortiumError: one of them cannot be used; the message says which.
    """
    policy = pinned_policy(config)
    records = source(config, policy)
    key, freeze_key = SigningKey.load(config.signing_key), _freeze_key(config.freeze_key)
    with (
        closing(Ledger.open(config.ledger, policy.caps)) as ledger,
        closing(Desk(config.studies)) as desk,
        closing(Audit(config.audit)) as audit,
    ):
        anchors = Anchors(config.anchors, witness=config.operator)
        yield Node(config.name, key, freeze_key, policy, records, ledger, desk, audit, anchors)


def source(config: Config, policy: Policy) -> CohortFolder:
    """Returns the node's cohort files and records.

    Raises:
        InputError: the study key cannot be used.
    """
    records, key = FolderSource(config.data.folder), read_study_key(config.study_key)
    return CohortFolder(config.cohorts.folder, records, key, policy.minimum_rows)


def pinned_policy(config: Config) -> Policy:
    """Returns the custodian's policy.

    Raises:
        InputError: the file cannot be used.
        TrustError: it does not pin the operator of the configuration.
    """
    policy = read_policy(config.policy)
    if config.operator not in policy.operators:
        raise TrustError(
            f"The policy {config.policy} does not pin the operator '{config.operator}'.",
            why="messages of an operator that is not pinned are not read",
            do="compare the key's fingerprint by telephone, then add the key under [operators]",
        )
    return policy


def _freeze_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"The key {path} cannot be read.",
            why=error.strerror or "",
            do="check data_dir and its permissions",
        ) from error
    if len(key) != _FREEZE_KEY_BYTES:
        raise StorageError(f"The key {path} is damaged.", do="restore it from a copy: open studies need it")
    return key


def _directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {path} cannot be made.", why=error.strerror or "") from error


def _config_text(beginning: Beginning) -> str:
    study_key = beginning.study_key.absolute() if beginning.study_key else Path("study.key")
    return _CONFIG.format(
        name=beginning.name,
        operator=beginning.operator,
        relay=json.dumps(beginning.relay),
        data=json.dumps(str(beginning.data)),
        cohorts=json.dumps(str(beginning.cohorts)),
        study_key=json.dumps(str(study_key)),
    )


def _policy_text(beginning: Beginning) -> str:
    key = f'{beginning.operator} = "{beginning.operator_key.text}"' if beginning.operator_key else ""
    return _POLICY.format(
        operator=beginning.operator, pinned=key or f'# {beginning.operator} = "ed25519:..."'
    )


_CONFIG = """\
# The configuration of one node. Relative paths are relative to this file.

name = "{name}"                   # as on the roster of every plan
operator = "{operator}"                # the data lab; its key is pinned in the policy
data_dir = "state"                # keys, ledger, plans, audit log; back it up, never copy it to a second node
policy = "policy.toml"
study_key = {study_key}           # 64 hexadecimal digits, common to the custodians, unknown to the operator

[data]
folder = {data}                   # person.parquet (or .csv) and the other canonical tables; only read

[cohorts]
folder = {cohorts}                # the providers' files: <study>.csv

[relay]
address = {relay}
authority = "tls/ca.pem"          # from the operator
certificate = "tls/{name}.pem"    # from the operator, for tls/{name}.csr
key = "tls/{name}.key"            # never leaves this machine
poll = 5                          # seconds that one call waits for a message
"""

_POLICY = """\
# The custodian's policy. Only you write this file; the daemon reads it when it starts.

minimum_rows = 60                 # fewest rows in a cohort file, as the provider submitted it

[caps]                            # the most that may ever be spent on this node's data
per_study_epsilon = 1.0
total_epsilon = 4.0               # all studies together
# per_year_epsilon = 2.0          # studies approved in one calendar year
delta = 1e-6                      # at which these epsilons are meant

# [caps.operators]                # studies of one operator
# {operator} = 3.0

# Studies on the same dataset add up, and so do studies about the same people on whatever dataset: give a new extract a
# new dataset name and leave the people's name. Both can have a cap.
[dataset]
name = "records"
# epsilon = 4.0

[universe]
name = "people"
# epsilon = 4.0

[operators]                       # whose plans are read; compare fingerprints by telephone first
{pinned}

# Keys of the other nodes, as their custodians read them out to you: name = "ed25519:..."
# A plan with `aggregation: secure` is refused unless every other node of its roster stands here.
[peers]

# Plans that need no further question. Without any, every plan waits for `cohortium-node approve`.
# [[standing_approvals]]
# operator = "{operator}"
# study = "befriending-*"         # names of studies; * stands for anything
# epsilon = 1.0                   # at most
# methods = ["doubly_robust"]
# outcomes = ["ae_attendances", "emergency_admissions"]
# until = 2030-12-31
"""
