"""Make the gRPC code from the .proto files: `python -m proto.generate [--check]`."""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "proto").glob("*.proto"))


def generate(destination: Path) -> None:
    """Write the modules, with their type stubs, below `destination`/proto."""
    flags = [
        f"--proto_path={ROOT}",
        f"--python_out={destination}",
        f"--pyi_out={destination}",
        f"--grpc_python_out={destination}",
    ]
    if protoc.main(["protoc", *flags, *SOURCES]) != 0:
        sys.exit("protoc failed; its words are above")


def main() -> None:
    """Generate in place, or with --check compare and exit 1 when something is out of date."""
    parser = argparse.ArgumentParser(prog="python -m proto.generate", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    if not parser.parse_args().check:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as fresh:
        generate(Path(fresh))
        made = sorted(path.name for path in (Path(fresh) / "proto").iterdir())
        _, stale, missing = filecmp.cmpfiles(
            Path(fresh) / "proto", ROOT / "proto", made, shallow=False
        )
    if stale or missing:
        names = ", ".join(stale + missing)
        sys.exit(f"out of date: {names}; run python -m proto.generate")
    print(f"proto: {len(made)} generated files are up to date")


if __name__ == "__main__":
    main()
