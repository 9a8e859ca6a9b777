"""pass@1 by the real grader on what a model really generates."""

from typing import Any

import pytest

pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

import tiny_trl  # noqa: E402

from crestfall.core.errors import ConfigError, CrestfallWarning  # noqa: E402
from crestfall.core.types import CallCase, CallTests, Grade, Problem, Verdict  # noqa: E402
from crestfall.grading import CodeGrader, Limits  # noqa: E402
from crestfall.guard.code_evaluation import CodeEvaluation, program_of  # noqa: E402

pytestmark = pytest.mark.hf

PROBLEMS = [
    Problem(f"double/{i}", f"w{i} w3", CallTests("f", (CallCase((2,), 4), CallCase((0,), 0))), key=f"double/{i}")
    for i in range(3)
]


def as_program(problem: Problem, completion: str) -> str:
    """The tiny model cannot write Python: what it does write decides which of two programs is judged."""
    return f"def f(x):\n    return {'2 * x' if 'w1' in completion else 'x'}"


def test_counts_by_the_real_grader_repeat_and_leave_random_numbers_alone() -> None:
    model, tokenizer = tiny_trl.model().eval(), tiny_trl.tokenizer()
    with CodeGrader(Limits(workers=1)) as grader:
        evaluate = CodeEvaluation(
            PROBLEMS, tokenizer, samples=6, max_new_tokens=4, program=as_program, grader=grader, temperature=1.0
        )
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        first = evaluate(model, 1)
        assert torch.equal(torch.rand(3), expected)
        assert evaluate(model, 1) == first
        assert first is not None
        assert len(first["select"]) == 3
        assert 0 < sum(first["select"]) < 18
        assert first["n"] == 6
        assert 0 < first["eval_truncated"] <= 1
        assert any(evaluate(model, step) != first for step in (2, 3, 4))  # every step's noise is its own


def test_a_completion_that_stops_at_another_end_is_not_cut_off() -> None:
    model, tokenizer = tiny_trl.model().eval(), tiny_trl.tokenizer()
    words = set(range(2, len(tokenizer)))
    model.generation_config.eos_token_id = [1, *words]  # whatever it says, that is the end
    with CodeGrader(Limits(workers=1)) as grader:
        result = CodeEvaluation(PROBLEMS, tokenizer, samples=4, max_new_tokens=8, program=as_program, grader=grader)(
            model, 0
        )
    assert result is not None
    assert result["eval_truncated"] <= 0.25  # the padding token alone ends nothing


def test_problems_are_sampled_together_as_they_are_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_trl.model().eval(), tiny_trl.tokenizer()
    longer = [Problem(f"{i}", "w2 " * i + "w3", PROBLEMS[0].tests, key=f"{i}") for i in range(1, 6)]
    options: dict[str, Any] = {"samples": 2, "max_new_tokens": 3, "temperature": 1e-6}
    alone = CodeEvaluation(longer, tokenizer, at_once=1, **options)._sampled(model, longer, 0)
    generate, sizes = model.generate, []

    def short_of_memory(**given: Any) -> Any:
        sizes.append(len(given["input_ids"]))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError
        return generate(**given)

    monkeypatch.setattr(model, "generate", short_of_memory)
    assert CodeEvaluation(longer, tokenizer, at_once=8, **options)._sampled(model, longer, 0) == alone
    assert sizes == [4, 2, 2, 1]


def test_a_grader_at_fault_says_nothing_of_the_model() -> None:
    class Broken:
        def grade_batch(self, pairs: list[Any]) -> list[Grade]:
            return [Grade(Verdict.INFRA)] * len(pairs)

    evaluate = CodeEvaluation(PROBLEMS, tiny_trl.tokenizer(), samples=2, max_new_tokens=2, grader=Broken())
    with pytest.warns(CrestfallWarning, match="the grader failed on 6 programs"):
        assert evaluate(tiny_trl.model().eval(), 0) is None


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("return x", "return x"),
        ("Sure:\n```python\nx = 1\n```\nor better\n```py\nx = 2\n```\ndone", "x = 2\n"),
        ("```\nx = 3", "x = 3"),
    ],
)
def test_the_last_fenced_block_is_the_program(completion: str, program: str) -> None:
    assert program_of(PROBLEMS[0], completion) == program


def test_no_problems() -> None:
    with pytest.raises(ConfigError, match="at least one"):
        CodeEvaluation([], None)
