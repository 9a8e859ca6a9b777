"""Both engines on the tiny policy and three problems, graded in no time."""

from dataclasses import replace
from typing import Any

from crestfall.core.registry import components
from crestfall.core.types import Grade, Verdict
from crestfall.testbed.config import CampaignConfig, RunConfig
from crestfall.testbed.engines.native import NativeEngine
from crestfall.testbed.engines.trl import Trl
from crestfall.testbed.engines.trl.engine import TrlEngine
from crestfall.testbed.tasks.base import Sizes
from crestfall.testbed.tasks.builtin import Builtin

PROBLEMS, GROUP = 3, 4


class Parity:
    """Passes programs by their length: instant, and mixed within most groups."""

    def grade_batch(self, pairs: Any) -> list[Grade]:
        return [Grade(Verdict.PASSED if len(program) % 2 else Verdict.WRONG_ANSWER) for _, program in pairs]

    def close(self) -> None: ...


def train() -> Any:
    return Builtin(levels=(2,)).campaign(0, 0, Sizes(PROBLEMS, 2, 2)).train


def configured(rule: str = "reinforce", **options: Any) -> RunConfig:
    update = components("update")[rule](**({"learning_rate": 1e-3, "clip_norm": 0.0} | options))
    campaign = CampaignConfig(group_size=GROUP, problems_per_step=PROBLEMS)
    return replace(RunConfig(), campaign=campaign, update=update)


def trl_engine(config: RunConfig, **options: Any) -> TrlEngine:
    engine = TrlEngine(config, Trl(**({"microbatch": 5, "sample_rows": 7, "device": "cpu"} | options)), Parity())
    engine.begin_campaign(0)
    return engine


def both(rule: str = "reinforce", **options: Any) -> tuple[NativeEngine, TrlEngine]:
    """One engine of each kind; 12 samples in microbatches of 5 leave blank rows."""
    config = configured(rule, **options)
    native = NativeEngine(config.policy.load(), config.update, config.tasks, Parity(), config)
    native.begin_campaign(0)
    return native, trl_engine(config)
