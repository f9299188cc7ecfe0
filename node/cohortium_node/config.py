"""The node's configuration: one TOML file, parsed once, at the edge, into a frozen value.

Relative paths are relative to the file they are written in. Nothing else is read from the environment.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from cohortium_protocols.errors import InputError
from cohortium_protocols.plan_fault import suggestion
from cohortium_protocols.plan_types import Slug

M = TypeVar("M", bound=BaseModel)

_STUDY_KEY = re.compile(r"[0-9a-fA-F]{64}")


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    return Path(info.context or ".") / path.expanduser()


LocalPath = Annotated[Path, AfterValidator(_beside_the_file)]
ADDRESS = re.compile(r"[^\s/]+:[0-9]{1,5}")
"""How a relay's address is written."""
EXAMPLE_ADDRESS = "relay.example.org:8443"


def _host_and_port(address: str) -> str:
    if not ADDRESS.fullmatch(address):
        raise PydanticCustomError("address", f"must be HOST:PORT, for example {EXAMPLE_ADDRESS}")
    return address



class Settings(BaseModel):
    """One table of a TOML file: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """The custodian's records: a folder of the canonical tables, opened for reading only."""

    folder: LocalPath


class CohortSettings(Settings):
    """Where the providers' cohort files are: ``<study>.csv``."""

    folder: LocalPath


class RelaySettings(Settings):
    """The operator's relay, and the three files of mutual TLS."""

    address: Annotated[str, AfterValidator(_host_and_port)]
    authority: LocalPath
    certificate: LocalPath
    key: LocalPath
    poll: float = Field(default=5.0, gt=0, le=60)  # seconds that one call waits for a message


class Config(Settings):
    """Everything the daemon is told; everything it makes lies under ``data_dir``."""

    name: Slug
    operator: Slug  # whose relay this is; the policy must pin the key
    data_dir: LocalPath
    policy: LocalPath
    study_key: LocalPath  # 32 bytes in hexadecimal, common to the custodians, unknown to the operator
    data: DataSettings
    cohorts: CohortSettings
    relay: RelaySettings

    @property
    def signing_key(self) -> Path:
        """The key that signs this node's answers."""
        return self.data_dir / "keys" / "signing.pem"

    @property
    def freeze_key(self) -> Path:
        """The key of the digests of frozen study data; it never leaves."""
        return self.data_dir / "keys" / "freeze.key"

    @property
    def ledger(self) -> Path:
        """The privacy ledger with the stored answers."""
        return self.data_dir / "ledger.sqlite"

    @property
    def anchors(self) -> Path:
        """What witnesses hold of the ledger, and what this node holds of its peers'."""
        return self.data_dir / "anchors.json"

    @property
    def studies(self) -> Path:
        """Plans that arrived, and what the custodian decided about them."""
        return self.data_dir / "studies.sqlite"

    @property
    def audit(self) -> Path:
        """The local audit log."""
        return self.data_dir / "audit.jsonl"


def read_config(path: Path) -> Config:
    """Returns the configuration in a TOML file.

    Raises:
        InputError: the file cannot be read, or a key is unknown, missing or of the wrong kind; every fault is
            named.
    """
    return read_toml(path, Config)


def read_toml(path: Path, model: type[M]) -> M:
    """Returns a TOML file as a checked, frozen value.

    Raises:
        InputError: the file cannot be read or does not fit; every fault is named.
    """
    try:
        return model.model_validate(tomllib.loads(path.read_text(encoding="utf-8")), context=path.parent)
    except OSError as error:
        raise InputError(
            f"The file {path} cannot be read.",
            why=error.strerror or "",
            do="check the path (--config names the configuration), or make the file with `cohortium-node init`",
        ) from error
    except ValidationError as error:
        faults = [f"  {_fault(each, model)}" for each in error.errors(include_url=False)]
        raise InputError("\n".join([f"The file {path} cannot be used:", *faults]), do="correct it") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise InputError(f"The file {path} is not valid TOML.", why=str(error), do="correct it") from error


def read_study_key(path: Path) -> bytes:
    """Returns the custodians' common key, 32 bytes.

    Raises:
        InputError: the file cannot be read or holds something else.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if not _STUDY_KEY.fullmatch(text):
        raise InputError(
            f"The study key {path} cannot be used.",
            why="it must be a file of 64 hexadecimal digits that this account can read",
            do="ask the custodian who made it for a copy; never ask the operator, who must not know it",
        )
    return bytes.fromhex(text)


def _fault(error: ErrorDetails, model: type[BaseModel]) -> str:
    name = ".".join(str(step) for step in error["loc"])
    if error["type"] == "extra_forbidden":
        return (
            f"there is no key `{name}`. {suggestion(str(error['loc'][-1]), _known(model, error['loc'][:-1]))}"
        )
    if error["type"] == "missing":
        return f"`{name}` is missing."
    if error["type"] == "string_pattern_mismatch":
        return f"`{name}` must be small letters, digits and hyphens."
    if error["type"] == "path_type":
        return f"`{name}` must be a path, in quotes."
    return f"`{name}`: {error['msg'][:1].lower()}{error['msg'][1:]}."


def _known(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Returns the keys that can be written at a place."""
    found: Any = model
    for step in place:
        if isinstance(step, str):
            annotation = found.model_fields[step].annotation
            found = next(
                (part for part in getattr(annotation, "__args__", ()) if _is_table(part)), annotation
            )
    return list(found.model_fields)


def _is_table(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)
