"""The trl engine by itself: exact snapshots, campaigns that start afresh, nothing left over, clear refusals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("trl")
torch = pytest.importorskip("torch")

from small_engines import configured, train, trl_engine  # noqa: E402

from crestfall.core.errors import ConfigError  # noqa: E402
from crestfall.store.checkpoints import flat  # noqa: E402
from crestfall.testbed.engines.trl.batches import BLANK, layout  # noqa: E402
from crestfall.testbed.engines.trl.loss import loss_options  # noqa: E402
from crestfall.testbed.engines.trl.models import parts_of  # noqa: E402
from crestfall.testbed.updates.kl import FixedKL  # noqa: E402
from crestfall.testbed.updates.reinforce import Reinforce  # noqa: E402

pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore:.*:FutureWarning")]


@pytest.fixture(scope="module")
def problems() -> Any:
    return train()


def same(a: Any, b: Any) -> bool:
    a, b = dict(flat(a)), dict(flat(b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def step(engine: Any, problems: Any, number: int) -> Any:
    return engine.update(engine.rollout(problems, 0, number))


def test_restoring_a_snapshot_is_as_if_nothing_had_followed(problems: Any) -> None:
    engine = trl_engine(configured(baseline="running_mean", warmup_updates=3, schedule="linear"))
    step(engine, problems, 1)
    then = engine.snapshot()
    signals = step(engine, problems, 2)
    after = engine.snapshot()
    step(engine, problems, 3)
    engine.restore(then)
    assert same(engine.snapshot(), then)
    assert step(engine, problems, 2) == signals
    assert same(engine.snapshot(), after)

    other = trl_engine(configured(baseline="running_mean", warmup_updates=3, schedule="linear"))  # as after a kill
    other.restore(then)
    assert step(other, problems, 2) == signals
    assert same(other.snapshot(), after)


def test_a_forgotten_optimizer_counts_on_without_moments(problems: Any) -> None:
    engine = trl_engine(configured(warmup_updates=4))
    step(engine, problems, 1)
    engine.forget_optimizer()
    assert {name: int(value) for name, value in engine.snapshot()["optimizer"].items()} == {"updates": 1}
    assert step(engine, problems, 2)["rate_warmup"] == 0.5


def test_going_back_to_before_the_first_update(problems: Any) -> None:
    engine = trl_engine(configured())
    start = engine.snapshot()
    step(engine, problems, 1)
    engine.restore(start)
    assert same(engine.snapshot(), start)
    assert not any(name.endswith("exp_avg") for name in start["optimizer"])


def test_loading_weights_leaves_the_optimizer(problems: Any) -> None:
    engine = trl_engine(configured())
    step(engine, problems, 1)
    then = engine.snapshot()
    step(engine, problems, 2)
    before = engine.snapshot()
    engine.load_weights(then)
    now = engine.snapshot()
    assert same(now, {**before, "policy": then["policy"]})


@pytest.mark.parametrize("kept", [True, False])
def test_a_campaign_starts_with_the_optimizer_that_it_should(problems: Any, kept: bool) -> None:
    engine = trl_engine(configured(warmup_updates=4, optimizer_state="kept" if kept else "fresh"))
    step(engine, problems, 1)
    step(engine, problems, 2)
    moments = {name for name in engine.snapshot()["optimizer"] if name.endswith("exp_avg")}
    engine.begin_campaign(1, learning_rate_scale=0.5)
    assert {name for name in engine.snapshot()["optimizer"] if name.endswith("exp_avg")} == (moments if kept else set())
    rates = [step(engine, problems, n)["learning_rate"] for n in (1, 2)]
    assert rates == pytest.approx([0.5e-3 * (n + 2 * kept) / 4 for n in (1, 2)])


def test_a_scale_holds_over_a_restore(problems: Any) -> None:
    engine = trl_engine(configured(warmup_updates=2))
    then = engine.snapshot()
    assert step(engine, problems, 1)["learning_rate"] == pytest.approx(5e-4)
    engine.restore(then)
    engine.scale_learning_rate(0.5)
    assert [step(engine, problems, n)["learning_rate"] for n in (2, 3)] == pytest.approx([2.5e-4, 5e-4])


def test_evaluating_changes_nothing_and_uses_no_global_random_number(problems: Any) -> None:
    engine = trl_engine(configured())
    step(engine, problems, 1)
    torch.manual_seed(5)
    then, expected = engine.snapshot(), torch.rand(3)
    torch.manual_seed(5)
    engine.evaluate(problems, 3, ("evaluate", 1))
    assert torch.equal(torch.rand(3), expected)
    assert same(engine.snapshot(), then)


def test_the_size_of_microbatches_is_only_rounding(problems: Any) -> None:
    one, other = (trl_engine(configured(), microbatch=size, sample_rows=rows) for size, rows in ((12, 99), (2, 1)))
    frozen = one.rollout(problems, 0, 1)
    assert frozen.completions_PG == other.rollout(problems, 0, 1).completions_PG
    assert one.update(frozen) == pytest.approx(other.update(frozen), rel=1e-4)


def test_nothing_piles_up_in_the_trainer(problems: Any) -> None:
    engine = trl_engine(configured())
    step(engine, problems, 1)
    trainer = engine.trainer
    assert trainer._buffered_inputs is None
    assert not any(trainer._metrics.values())
    assert not trainer.model.training


def test_layout_deals_every_sample_out_once() -> None:
    samples = SimpleNamespace(tokens_N=[np.zeros(n) for n in (5, 1, 4, 2, 3, 9, 7)])
    plans = [layout(samples, np.arange(7), 2, rank, 2) for rank in (0, 1)]
    assert [plan.rows_KB.tolist() for plan in plans] == [[[5, 0], [4, 1]], [[6, 2], [3, BLANK]]]
    assert plans[0].factor(7) == 8 / 7


# --- what it refuses ---


@dataclass(frozen=True, kw_only=True)
class Squared(Reinforce):
    """A rule with an objective of its own."""

    name: ClassVar[str] = "squared"

    def objective(self, logprobs_RT: Any, old_RT: Any, advantages_R: Any) -> Any:
        return advantages_R[:, None] * logprobs_RT**2


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Reinforce(kl=FixedKL()), "update.kl: engine trl has no penalties"),
        (Squared(), "update 'squared': engine trl knows A log pi and the clipped ratio only"),
    ],
)
def test_what_trl_cannot_do_is_refused(rule: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loss_options(rule, 0.7)


def test_a_policy_that_is_no_transformers_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="engine trl cannot train policy 'fake'"):
        parts_of(SimpleNamespace(name="fake"))


def test_every_loss_option_is_written_down(tmp_path: Any) -> None:
    """What TRL's defaults become in its next version must not change a run."""
    from crestfall.testbed.engines.trl import Trl
    from crestfall.testbed.engines.trl.trainer import arguments

    rule = configured("grpo", clip_low=0.1, clip_high=0.3, logprob_temperature="one").update
    args = arguments(replace(configured(), update=rule), Trl(device="cpu"), tmp_path)
    # fmt: off
    wanted = {"loss_type": "grpo", "scale_rewards": "none", "beta": 0.0, "epsilon": 0.1, "epsilon_high": 0.3,
              "temperature": 1.0, "num_iterations": 1, "mask_truncated_completions": False, "max_grad_norm": 0.0}
    # fmt: on
    assert {name: getattr(args, name) for name in wanted} == wanted
