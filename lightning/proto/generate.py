"""The generated Python beside the .proto files: written anew, or compared (`--check`)."""

from __future__ import annotations

import sys
from filecmp import cmpfiles
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Where .proto files are; what is generated stands beside each.
FOLDERS = (HERE, ROOT / "simulator")


def generate(into: Path) -> None:
    """`into` holds the messages, their types, the stubs and the servicers.

    The files are named from the project's root, so that the generated imports
    are `from lightning.proto import …` and work from anywhere.
    """
    # A tool of development: the running server has no compiler installed.
    from grpc_tools import protoc

    protos = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in folder.glob("*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    outputs = [
        f"--python_out={into}",
        f"--grpc_python_out={into}",
        f"--mypy_out=quiet:{into}",
        f"--mypy_grpc_out=quiet:{into}",
    ]
    # protoc looks its plugins up beside the running interpreter only if told.
    plugins = [
        f"--plugin={name}={Path(sys.executable).parent / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *plugins, *outputs, *protos]):
        raise SystemExit("The .proto files do not compile.")


def differences() -> list[str]:
    """The names of generated files that are not what the .proto files give."""
    stale: list[str] = []
    with TemporaryDirectory() as temporary:
        generate(Path(temporary))
        for folder in FOLDERS:
            fresh = Path(temporary) / folder.relative_to(ROOT)
            names = {path.name for where in (fresh, folder) for path in where.glob("*_pb2*.py*")}
            _, mismatched, missing = cmpfiles(fresh, folder, sorted(names), shallow=False)
            stale += mismatched + missing
    return stale


def main() -> None:
    """Regenerates, or with --check fails naming the files that are stale."""
    if "--check" not in sys.argv[1:]:
        generate(ROOT)
    elif stale := differences():
        raise SystemExit("Stale, run python -m lightning.proto.generate: " + ", ".join(stale))


if __name__ == "__main__":
    main()
