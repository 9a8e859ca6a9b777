"""Configuration: frozen dataclasses, read from YAML plus `dotted.key=value` overrides.

The paper (arXiv 2606.21090) leaves a good deal open; where a default below settles such a gap, the text at the field
says so. A resolved configuration names every option, defaults included; its digest identifies it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import Field

from crestfall.control.base import Controller
from crestfall.control.care.base import ChainController
from crestfall.control.care.before import in_parts
from crestfall.core.build import INT64, Kind, build, default, plain
from crestfall.core.errors import ConfigError
from crestfall.core.registry import import_plugins, lookup, nearest
from crestfall.grading.limits import Limits
from crestfall.store import yaml
from crestfall.store.files import digest
from crestfall.store.origin import Origin
from crestfall.testbed.engines.base import Engine
from crestfall.testbed.overlay import overlaid
from crestfall.testbed.regimes import expanded
from crestfall.testbed.tasks.base import CampaignSets, Sizes, TaskSource

C = TypeVar("C")

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Problems = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=-INT64, lt=INT64)]


class EngineFactory(Protocol):
    """A registered component of kind `engine`: its fields are the engine's options."""

    name: ClassVar[str]

    def create(self, config: RunConfig) -> Engine:
        """The engine at the base policy. Heavy libraries are imported here and not before."""
        ...


@dataclass(frozen=True)
class CampaignConfig:
    """One campaign: training steps on one fixed set of problems, evaluated after every step."""

    steps: Count = 20
    """Number of training steps in a campaign, unless a controller sets another budget. The paper's main study has
    20."""
    train: Problems = 50
    """Number of training problems. The paper has 50."""
    select: Problems = 30
    """Number of problems whose score the controllers see. The paper has 30 held-out problems and does not say whether
    the set that picks the peak also reports it; here it never does."""
    report: Problems = 30
    """Number of problems that score what was decided on `select`. No controller sees them."""
    problems_per_step: Problems = 50
    """Number of training problems in a step's batch. The paper does not give it; with all 50, a step is one epoch. With
    fewer, every epoch is shuffled anew and cut into batches without repetition; problems that are left over wait for
    the next epoch."""
    group_size: Annotated[int, Field(ge=2, le=1_000_000)] = 16
    """Samples per problem in a batch. The paper has 16."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 0.7
    """Sampling temperature, in training and evaluation. The paper has 0.7."""
    eval_samples: Count = 16
    """Samples per problem in an evaluation. Below 16 the noise of pass@1 hides falls of 10 points."""
    greedy: bool = True
    """Also evaluate the greedy completion."""
    show: Annotated[int, Field(ge=0, le=100_000)] = 4
    """Number of greedy programs to keep from each evaluation on `report`, for people to read."""
    restore: Literal["weights_and_optimizer", "weights"] = "weights_and_optimizer"
    """State that a rollback puts back. `weights` leaves Adam's moments as they are after the steps that led down; this
    variant exists because `load_best_model_at_end` of transformers works that way."""
    hand_on: Literal["weights", "mean", "ema"] = "weights"
    """Final weights of a campaign: those of the step that the controller keeps, or the average of the campaign's
    weights up to it, step 0 included (mean or exponential). An average is scored on the final set like other final
    weights."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """Decay of the exponential average: a <- decay a + (1 - decay) w after every step. 0.8 looks back about 5 steps of
    20."""

    def __post_init__(self) -> None:
        if self.problems_per_step > self.train:
            raise ConfigError(f"problems_per_step ({self.problems_per_step}) cannot exceed train ({self.train})")

    @property
    def sizes(self) -> Sizes:
        return Sizes(self.train, self.select, self.report)


@dataclass(frozen=True)
class ChainConfig:
    """Campaigns in sequence, each starting from the final weights of the one before."""

    campaigns: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Number of campaigns in sequence. The paper's main study has 10."""
    final: Problems = 200
    """Number of problems in the final set, which is the same for every arm and seed. The paper scores the end of a
    chain on 30 problems, which leaves +-17 points on a single number."""
    final_samples: Count = 16
    """Samples per problem of the final set."""
    problems: Literal["fresh", "same"] = "fresh"
    """`fresh`: every campaign draws new disjoint sets from one distribution. `same`: all campaigns use the sets of the
    first. The paper does not say which. Fresh sets keep memorised problems out of the next campaign's scores."""
    start_from: str | None = None
    """Another run of the same policy whose weights the chain starts from, in place of the base policy: RUN, or
    RUN@last, RUN@best, RUN@handed_on (the default). `{seed}` in RUN is this run's seed. `last` of a collapsed run shows
    whether training recovers from there (the paper's Table 2 says that it does not). The optimizer starts fresh."""
    revisit: Count | None = None
    """Number of early campaigns whose report sets are evaluated again with the final weights of every later campaign
    (`revisit` events). If scores on old sets fall while those on new ones rise, the policy forgets. None: not measured;
    each set costs one evaluation per campaign."""
    hard_cases: Count | None = None
    """Number of samples of each problem with which the base policy finds the hardest third of every select and report
    set. None: accuracy on hard problems is not measured. The third is chosen on an evaluation of its own: the problems
    that did worst in the scored one would rise in the next by chance alone."""
    ood: Problems | None = None
    """Number of problems in the out-of-distribution slice (`ood` events). They are of the task source's `unseen` kind,
    the same in every campaign, and are evaluated at the start of the chain and with the final weights of each campaign.
    No controller sees them. The paper has such a slice and gives neither its size nor its problems. None: not
    measured."""

    def __post_init__(self) -> None:
        if self.start_from is not None:
            Origin.parse(self.start_from)
        if self.revisit is not None and self.problems == "same":
            raise ConfigError("revisit: needs problems: fresh (with `same` every campaign reports on the first's set)")


@dataclass(frozen=True)
class RunConfig:
    """Configuration of one chain."""

    seed: Seed = 0
    """Seed of the run: every random number follows from it and from where it is used."""
    method: str = "run"
    """Name of this arm in tables and figures."""
    tasks: Annotated[TaskSource, Kind("tasks")] = field(default_factory=default("tasks", "builtin"))
    """Source of the problems."""
    policy: Annotated[Any, Kind("policy")] = field(default_factory=default("policy", "tiny"))
    """The language model that is trained."""
    update: Annotated[Any, Kind("update")] = field(default_factory=default("update", "reinforce"))
    """The rule that turns graded samples into a gradient step."""
    control: Annotated[Controller, Kind("control")] = field(default_factory=default("control", "none"))
    """Controller within a campaign: when to stop or roll back, and which step is kept."""
    care: Annotated[ChainController, Kind("care")] = field(default_factory=default("care", "none"))
    """Controller between campaigns: the next campaign's budget and learning rate."""
    engine: Annotated[EngineFactory, Kind("engine")] = field(default_factory=default("engine", "native"))
    """Engine: holds weights and optimizer and performs the training step."""
    campaign: CampaignConfig = field(default_factory=CampaignConfig)
    """Steps, problems and samples of a campaign: `crestfall list config campaign`."""
    chain: ChainConfig = field(default_factory=ChainConfig)
    """Number of campaigns, and the final set: `crestfall list config chain`."""
    grader: Limits = field(default_factory=Limits)
    """Limits on a sampled program, and the grader's processes: `crestfall list config grader`."""
    plugins: tuple[str, ...] = ()
    """Modules to import first: they register components of your own."""

    def sets(self, campaign: int) -> CampaignSets:
        """The problems of a campaign: its own, or the first campaign's where all share them."""
        return self.tasks.campaign(self.seed, self.drawn_for(campaign), self.campaign.sizes)

    def drawn_for(self, campaign: int) -> int:
        """The campaign that this one's problems were drawn for."""
        return 0 if self.chain.problems == "same" else campaign

    def check_problems(self) -> None:
        """Raises ConfigError where there are fewer problems than the chain will draw, InputError for a broken file."""
        campaigns = 1 if self.chain.problems == "same" else self.chain.campaigns
        self.tasks.check(campaigns, self.campaign.sizes, self.chain.final)


@dataclass(frozen=True)
class StudyConfig:
    """Methods x seeds of chains. Beside its own keys a study's file holds the run options that all cells share."""

    seeds: tuple[Seed, ...]
    """Seeds: one chain of every method is trained for each."""
    methods: dict[str, dict[str, Any]]
    """Methods by name. Each holds the run options in which it differs from the shared ones; `seeds` among them gives
    the method seeds of its own. Methods with the same seeds run together, seed by seed. A file may name a method's own
    YAML file in place of options. With `regimes` (names with run options) in the file, every method is run in every
    regime and is called REGIME.METHOD here."""
    workers: Annotated[int, Field(ge=0, le=4096)] = 0
    """Number of cells that run at once. 0: as many as the executor has room for (one per CPU that this process may use,
    or Ray's count). The results do not depend on it."""
    base: dict[str, Any] = field(default_factory=dict)
    """The run options that all cells share: every other key of the file."""

    def __post_init__(self) -> None:
        for name, what in (("seeds", self.seeds), ("methods", self.methods)):
            if not what:
                raise ConfigError(f"{name}: at least one is needed")
        for method, own in self.methods.items():
            for key in ("seed", "method"):
                if key in own:
                    raise ConfigError(f"methods.{method}.{key}: a method has its name, and 'seeds' of its own")
            self.seeds_of(method)
            if not method or method.startswith(".") or not set(method) <= set(_METHOD_CHARACTERS):
                raise ConfigError(f"methods.{method}: a method's name is letters, digits, '_', '-', '+', '.'")

    def cells(self) -> list[RunConfig]:
        """One run configuration per cell, seed by seed within methods that have the same seeds, so that a study that is
        cut short can compare them."""
        together: dict[tuple[int, ...], list[str]] = {}
        for method in self.methods:
            together.setdefault(self.seeds_of(method), []).append(method)
        first = {method: self.cell(method, self.seeds_of(method)[0]) for method in self.methods}
        return [
            replace(first[method], seed=seed)
            for seeds, methods in together.items()
            for seed in seeds
            for method in methods
        ]

    def seeds_of(self, method: str) -> tuple[int, ...]:
        """The study's seeds, or the method's own. Raises ConfigError."""
        own = "seeds" in self.methods[method]
        seeds, where = (self.methods[method]["seeds"], f"methods.{method}.seeds") if own else (self.seeds, "seeds")
        whole = isinstance(seeds, list | tuple) and all(isinstance(s, int) and not isinstance(s, bool) for s in seeds)
        if not whole or not seeds or any(not -INT64 <= seed < INT64 for seed in seeds):
            raise ConfigError(f"{where}: expected a list of at least one whole number of 64 bits, found {seeds!r}")
        if len(set(seeds)) != len(seeds):
            raise ConfigError(f"{where}: each may be given once")
        return tuple(seeds)

    def cell(self, method: str, seed: int) -> RunConfig:
        own = {key: value for key, value in self.methods[method].items() if key != "seeds"}
        options = overlaid(self.base, own) | {"seed": seed, "method": method}
        try:
            return run_config(options)
        except ConfigError as error:
            raise ConfigError(f"method {method!r}: {error}") from None


_METHOD_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+."
_SHIPPED = Path(str(resources.files("crestfall.testbed") / "configs"))
_STUDY_KEYS = ("seeds", "methods", "workers")


def run_config(options: Mapping[str, Any]) -> RunConfig:
    """The run that plain options describe. Raises ConfigError that names the key."""
    import_plugins(options.get("plugins", ()))
    return build(RunConfig, options)


def study_config(options: Mapping[str, Any]) -> StudyConfig:
    """The study that plain options describe; every cell's options are checked too. Raises ConfigError."""
    keys = (*_STUDY_KEYS, "regimes")
    own = {key: value for key, value in options.items() if key in keys}
    base = {key: value for key, value in options.items() if key not in keys}
    for key, way_out in (("seed", "a study has 'seeds'"), ("method", "a study has 'methods'")):
        if key in base:
            raise ConfigError(f"{key}: {way_out}")
    study = build(StudyConfig, {**expanded(own, base), "base": base})
    study.cells()
    _check_shared_names(base)
    return study


def _check_shared_names(base: Mapping[str, Any]) -> None:
    """Raises ConfigError for a shared component that does not exist, also where every method names another."""
    for kind in ("tasks", "policy", "update", "control", "care", "engine"):
        shared = base.get(kind)
        if isinstance(shared, Mapping) and isinstance(shared.get("name"), str):
            lookup(kind, shared["name"])


def load_run(config: str, words: Sequence[str] = ()) -> RunConfig:
    """The run in a configuration file (or a shipped one) with `key=value` overrides; of a study, the cell that the
    overrides `method` and `seed` name. Raises ConfigError."""
    return _read(config, words, _run_of)


def load_study(config: str, words: Sequence[str] = ()) -> StudyConfig:
    """The study in a configuration file (or a shipped one) with `key=value` overrides. Raises ConfigError."""
    return _read(config, words, _study_of)


def _run_of(options: dict[str, Any]) -> RunConfig:
    if "methods" not in options and "seeds" not in options:
        return run_config(options)
    method, seed = options.pop("method", None), options.pop("seed", None)
    study = study_config(options)
    if method not in study.methods or not isinstance(seed, int):
        known = ", ".join(study.methods)
        raise ConfigError(
            "describes a study (methods x seeds): use crestfall study, or name one of its cells with "
            f"method=NAME seed=N; methods: {known}"
        )
    return study.cell(method, seed)


def _study_of(options: dict[str, Any]) -> StudyConfig:
    if "methods" not in options and "seeds" not in options:
        raise ConfigError("describes a single run (no methods, no seeds): use crestfall run")
    return study_config(options)


def _read(config: str, words: Sequence[str], make: Callable[[dict[str, Any]], C]) -> C:
    """Combine a file and the `key=value` words of the command line. An error names the one of the two at fault."""
    path = find(config)
    options, over = yaml.load(path), yaml.overrides(words)
    _reject_changes_of_nothing(options, over)
    try:
        return make(overlaid(options, over))
    except ConfigError as error:
        place = config if path.is_relative_to(_SHIPPED) else str(path)
        if _speaks_of(str(error), words) or (words and _is_sound(options, make)):
            place = f"command line over {place}"
        raise ConfigError(f"{place}: {error}") from None


def _speaks_of(message: str, words: Sequence[str]) -> bool:
    """Whether an error is about a `key=value` word, judged by the key at its beginning."""
    found = re.match(r"(?:method '([^']*)': )?([\w.]+)", message)
    if found is None:
        return False
    keys = [found[2]] if found[1] is None else [f"methods.{found[1]}.{found[2]}", found[2]]
    given = [word.partition("=")[0] for word in words]
    return any(key == g or key.startswith(f"{g}.") or g.startswith(f"{key}.") for key in keys for g in given)


def _is_sound(options: dict[str, Any], make: Callable[[dict[str, Any]], Any]) -> bool:
    try:
        make(dict(options))
    except ConfigError:
        return False
    return True


def _reject_changes_of_nothing(old: Mapping[str, Any], over: Mapping[str, Any], where: str = "") -> None:
    """Raises ConfigError for a word such as `methods={}`: options are laid over options, so it would change nothing."""
    for key, value in over.items():
        before = old.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            if not value:
                raise ConfigError(f"{where}{key}={{}}: changes nothing; name the options to change, or write a file")
            _reject_changes_of_nothing(before, value, f"{where}{key}.")


def shipped() -> list[str]:
    """Names of the configurations that come with the package; launch files for accelerate are none."""
    files = (file.relative_to(_SHIPPED) for file in _SHIPPED.rglob("*.yaml"))
    return sorted(str(file.with_suffix("")) for file in files if file.parts[0] != "accelerate")


def find(config: str) -> Path:
    """A configuration file by its path, or a shipped one by its name (`quickstart`, `paper/qwen2.5-3b.yaml`)."""
    path = Path(config)
    if path.is_file():
        return path
    names = shipped()
    stem = config.removesuffix(".yaml")
    if stem in names:
        return _SHIPPED / f"{stem}.yaml"
    if path.exists() and not path.is_dir():
        return path  # a pipe
    if path.is_dir():
        raise ConfigError(f"{config}: a directory, expected a YAML file; shipped configurations: {', '.join(names)}")
    raise ConfigError(f"{config}: no such file{nearest(stem, names)}; shipped configurations: {', '.join(names)}")


def resolved(config: RunConfig | StudyConfig) -> dict[str, Any]:
    """Every option as plain data, defaults included."""
    out: dict[str, Any] = plain(config)
    return out


def as_of_today(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """A resolved run configuration of an earlier version, with the options that it did not have; as it is, where one of
    its own is gone."""
    care = options.get("care")
    try:
        return resolved(run_config({**options, "care": in_parts(care)} if isinstance(care, Mapping) else options))
    except ConfigError:
        return options


def digest_of(config: RunConfig | StudyConfig) -> str:
    return digest(resolved(config))
