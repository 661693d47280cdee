# SPDX-License-Identifier: Apache-2.0
"""`keys`: make a CURVE key pair for a console or an agent, and say where its public half goes."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from console.exits import Exit, VerbError
from shared import curve


def keys(arguments: Namespace, name: str) -> int:
    """Exit 0.  Raises VerbError."""
    path = Path(arguments.file)
    try:
        if arguments.show:
            pair = curve.read(path)
        else:
            pair = curve.make()
            curve.write(path, pair)
    except curve.KeyFileError as error:
        raise VerbError(str(error), Exit.FAILED) from error
    print(f"public key    {pair.public}")
    print(f"in files      {path} (secret, mode 600), {curve.public_path(path)}")
    print("for a console: add this line to the authorised keys of every agent")
    print(f"  {arguments.role} {pair.public} {name}")
    print("for an agent: add this line to known_agents of every console")
    print(f"  HOST:PORT {pair.public}")
    return Exit.DONE
