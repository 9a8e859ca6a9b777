"""Tests that handle the program's objects, within the program's own process.

A program could forge what is sent from here: the judge knows that (`isolation: inside`), and asks for a nonce that is
told after the program has been loaded.
"""

from __future__ import annotations

import sys
from _json import encode_basestring_ascii
from functools import partial

from crestfall.grading.sandbox import discovery, pytest_shim
from crestfall.grading.sandbox.assertions import Assertions, Unsupported
from crestfall.grading.sandbox.harness import MODULE, Channel, described, find, is_of_program, load, main_function
from crestfall.grading.sandbox.processes import Refused


def serve(channel: Channel, source: str, header: str, every: bool) -> None:
    """Load the program, then run the tests that are sent, and send `["t", nonce, checks, results, kind, text]`."""
    namespace = load(source, MODULE, header)
    if isinstance(namespace, str):
        channel.send(namespace)
        return
    module = sys.modules[MODULE]
    channel.send('["v",null]')
    code, collected, entry, modules, nonce = channel.receive()
    candidate = partial(find, namespace, entry) if entry else partial(main_function, namespace)
    pytest_shim.provide()
    for name in ("__main__", "solution", *modules):  # the program is the module that the tests import or patch
        sys.modules[name] = module
    log = Assertions(every)
    namespace.update(log.names(), __name__="__main__", CACHE={})
    try:
        discovery.start(code, namespace, collected, candidate, log, every)
        kind, text = "passed", ""
    except BaseException as error:
        kind, text = _kind(error), _text(error)
    results = ",".join(
        f'[{encode_basestring_ascii(name)},"{_kind(error)}",{encode_basestring_ascii(_text(error))}]'
        for name, error in log.results
    )
    channel.send(f'["t","{nonce}",{log.checks},[{results}],"{kind}",{encode_basestring_ascii(text)}]')


def _kind(error: BaseException | None) -> str:
    """Whose fault: an assertion's, the program's, or a style of tests that does not run here."""
    if error is None:
        return "passed"
    if isinstance(error, MemoryError):
        return "memory_limit"
    if isinstance(error, Refused):
        return "violation"
    if is_of_program(error):
        return "wrong_answer" if isinstance(error, AssertionError) else "runtime_error"
    if isinstance(error, (Unsupported, ImportError)):
        return "unsupported"
    return "wrong_answer" if isinstance(error, AssertionError) else "runtime_error"


def _text(error: BaseException | None) -> str:
    if error is None:
        return ""
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<tests>":
            line = f"line {trace.tb_lineno} of the tests: "
        trace = trace.tb_next
    return line + described(error)
