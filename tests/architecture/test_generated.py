"""The gRPC stubs are those that `make proto` makes from the .proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_stubs_are_up_to_date(tmp_path: Path, packages: dict[str, Path]) -> None:
    folder = packages["cohortium_protocols"]
    sources = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.proto"))
    places = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I."]
    subprocess.run([*protoc, *places, *sources], cwd=folder, check=True)
    made = _stubs(tmp_path)
    assert made != {}
    assert made == _stubs(folder)


def _stubs(folder: Path) -> dict[Path, str]:
    stubs = [*folder.rglob("*_pb2.py"), *folder.rglob("*_pb2.pyi"), *folder.rglob("*_pb2_grpc.py")]
    return {path.relative_to(folder): path.read_text() for path in stubs}
