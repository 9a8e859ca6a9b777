"""Entry point of a worker: `python -P -s -S .../sandbox/__main__.py SRC CONTROL_FD`.

`crestfall` and `crestfall.grading` are set up as bare packages, so that nothing but the sandbox's own modules is
loaded.
"""

import sys
import types

if __name__ == "__main__":
    source, control = sys.argv[1], int(sys.argv[2])
    for name in ("crestfall", "crestfall.grading"):
        package = types.ModuleType(name)
        package.__path__ = [f"{source}/{name.replace('.', '/')}"]
        sys.modules[name] = package
    from crestfall.grading.sandbox import worker

    worker.main(control)
