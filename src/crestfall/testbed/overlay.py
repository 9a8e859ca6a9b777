"""Options over options: what a method of a study, or a `key=value` override, says instead of what stood there.

Another component takes nothing of the old one's along (`io.yaml.merge`), with one exception: an arm with another update
rule, of which no more is said, differs from the others in its rule and not, unnoticed, in its learning rate.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from crestfall.core.registry import import_plugins, lookup
from crestfall.store import yaml
from crestfall.testbed.updates.base import UpdateRule


def overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run or study, `base`, with those of `over`, section by section.

    An update rule of another name keeps the options that all rules have (rate, schedule, warm-up, Adam, penalties ...),
    but for those that are its very own (GRPO's normaliser); what only the old rule has is gone.

    Raises:
        ConfigError: no such plugin or rule.
    """
    out = yaml.merge(base, over)
    old, new = base.get("update"), over.get("update")
    if isinstance(old, Mapping) and isinstance(new, Mapping) and "name" in old:
        name = new.get("name", old["name"])
        if name != old["name"] and isinstance(name, str):
            import_plugins(out.get("plugins", ()))
            shared = _shared_by(lookup("update", name))
            out["update"] = yaml.merge({key: value for key, value in old.items() if key in shared}, new)
    return out


def _shared_by(rule: type[Any]) -> set[str]:
    """The options that a rule has from `UpdateRule` and gives no default of its own."""
    if not issubclass(rule, UpdateRule):
        return set()
    own = {key for cls in rule.__mro__[: rule.__mro__.index(UpdateRule)] for key in inspect.get_annotations(cls)}
    return {field.name for field in fields(UpdateRule)} - own
