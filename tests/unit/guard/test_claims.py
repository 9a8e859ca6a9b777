# ruff: noqa: E501
"""What docs/guard.md and docs/trl_callback.md claim, each with the test that would fail if it were not so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUARD = {
    "or pass rates per problem with the same `n`": "test_pass_rates_are_counts",
    "cannot see a fall in the first 12 evaluations, and say so": "test_a_mean_without_n_says_what_cannot_be_seen",
    "Numbers may be Python's, numpy's or torch's": "test_numbers_of_every_make_are_numbers",
    "What could mean two things": "test_what_could_mean_two_things_is_refused",
    "`greater_is_better=False`": "test_a_loss_is_minimised",
    "A score that is NaN or infinite counts as the worst": "test_a_score_that_is_nan_is_the_worst",
    "that are not finite bring a rollback": "test_weights_that_are_nan_are_left",
    "A rollback puts back weights *and* optimizer": "test_rollback_restores_weights_adam_and_schedule_bit_for_bit_and_again",
    "after that many, a rollback becomes a stop": "test_rollbacks_are_bounded_and_said",
    'schedule="back"': "test_a_schedule_goes_back_or_on",
    "The rate stays reduced, whichever snapshot is restored later": "test_a_learning_rate_stays_reduced_whatever_is_put_back",
    "the values from which the schedulers in `state` compute it": "test_a_schedule_goes_on_as_ever_with_half_of_every_rate",
    "A controller may also change how training continues without a rollback": "test_a_learning_rate_is_raised_without_a_rollback_and_stays_so_after_one",
    "or the mean of the weights of steps that it keeps": "test_the_mean_of_kept_steps_takes_the_place_of_the_weights",
    "an optimizer that starts anew": "test_an_optimizer_that_is_forgotten_goes_on_like_a_new_one",
    "A guard that only decides (below) tells you what you have to do yourself": "test_a_guard_that_only_decides_says_what_to_do",
    "`on_rollback=[buffer.clear]` is called after every rollback": "test_a_rollback_to_a_mean_brings_back_the_target_s_optimizer",
    "ends with the average of the weights up to the step": "test_an_average_is_handed_on_up_to_the_peak",
    "`max_snapshots` (3) on disk, and the one being written": "test_disk_use_is_bounded",
    "A rollback writes none": "test_a_rollback_writes_no_second_snapshot",
    "Values, types and dtypes come back exactly": "test_a_tensor_of_every_dtype_comes_back",
    "float32 moments of bfloat16 weights do too": "test_float32_moments_of_bfloat16_weights_stay_float32",
    "are kept as the tensors that they are made of": "test_tensors_without_storage_are_kept_one_by_one",
    "A subclass without `__tensor_flatten__` is refused by name": "test_what_cannot_be_kept_is_refused_when_the_guard_is_made",
    "takes Python's, numpy's and torch's generators along": "test_global_rng_returns",
    "what it captures is put back at once and compared": "test_a_state_that_does_not_come_back_is_found_when_the_guard_is_made",
    "another run's directory or another model is refused there": "test_another_runs_directory_is_refused_at_once",
    "a damaged snapshot is set aside": "test_a_damaged_snapshot_is_passed_over",
    "earlier snapshots can no longer be targets": "test_a_model_that_changes_is_said_at_once_and_the_past_is_no_target",
    "and a snapshot is taken at once": "test_a_model_that_changes_at_a_worse_score_is_said_and_kept_from_there",
    "that were finite when the guard was made": "test_arrays_that_become_nan_are_left_and_those_that_were_are_not_looked_at",
    "Three better scores in a row with the same snapshot are said": "test_weights_that_never_change_are_said",
    "nothing is put back by halves": "test_an_optimizer_that_has_changed_since_is_never_half_put_back",
    "may come and go between restarts": "test_wrappers_come_and_go",
    "the best snapshot is not set back": "test_the_best_of_a_dead_attempt_is_neither_lost_nor_passed_over",
    "the controller is set back to that step": "test_a_restarted_run_decides_as_an_undisturbed_one",
    "SIGKILL at any instant": "test_killed_around_every_change_of_the_disk",
    "A full disk costs a warning": "test_a_full_disk_costs_a_warning_and_not_the_best",
    "Another run needs another directory": "test_a_new_run_in_a_used_directory_is_told",
    "so ranks cannot disagree": "test_ranks_cannot_disagree",
    "a restart with two processes, and a restart with one": "test_rollback_and_restart_with_two_and_with_one_process",
    "(`full_state_dict=True`) is refused": "test_a_state_gathered_on_rank_0_is_refused",
    "protects the trainer's own checkpoints of the steps that matter": "test_a_guard_that_only_decides_keeps_the_trainers_best_checkpoint",
    "has the sign that you gave it": "test_a_loss_is_reported_as_it_was_given",
    "better the other way round is refused": "test_a_directory_whose_scores_go_the_other_way_is_refused",
    "Gradients that are there when a snapshot is restored become zeros": "test_gradients_of_other_weights_are_not_stepped_along",
    "undoes the reduction, and the guard says so": "test_a_loop_that_sets_its_own_rates_is_told",
    "multiply by `guard.learning_rate_scale` there": "test_a_loop_that_takes_the_scale_along_is_not",
    "call `guard.check_rates()` right before `optimizer.step()` too": "test_a_rate_that_is_set_between_two_observations_is_seen_before_the_step",
    "If a decision is not carried out, a warning says so": "test_a_decision_that_nobody_carries_out_is_said",
    "changes no learning rate a second time": "test_a_decision_carried_out_twice_or_before_the_end_counts_once",
    "Optimizer state keeps its memory": "test_an_optimizer_s_tensors_stay_where_they_are",
    "a warning names such a buffer": "test_a_buffer_that_no_state_dict_has_is_said_to_stay",
    "`{parameter: optimizer}`": "test_training_goes_on_as_if_nothing_had_been_in_between",
    "carry out inside `torch.inference_mode`": "test_training_goes_on_after_a_rollback_in_inference_mode",
    "a warning names what is not as it was": "test_what_a_load_state_dict_ignores_is_said",
    "while the guard is at work, a warning names them": "test_what_somebody_deletes_in_the_run_is_said_and_written_again",
    "the first guard is closed and refuses to observe": "test_two_guards_in_one_directory_do_not_write_into_each_other",
    "A relative directory stays where it is": "test_the_working_directory_may_change",
}
CALLBACK = {
    "Adam's step counter included": "test_stop_hands_on_the_peak_and_training_goes_on_from_it",
    "a test shows the two side by side": "test_stock_load_best_beside_it_does_not_restore_adam",
    "rolls back inside a run": "test_rollback_inside_a_run",
    "with half the learning rate each time": "test_crest_goes_on_with_half_the_learning_rate",
    "is thrown away, attached or given as": "test_rollouts_are_forgotten_though_nobody_attached_it",
    "called at step 0, every `every` steps and after the last one": "test_the_last_step_is_evaluated_and_patience_counts_evaluations",
    "how often you look does not change where the run goes": "test_evaluating_does_not_change_the_run",
    "then nothing is observed": "test_an_evaluation_that_failed_is_not_observed",
    "With several evaluation sets name one": "test_which_of_several_evaluation_sets",
    'eval_strategy="no"': "test_a_trainer_that_never_evaluates_is_said_at_the_start",
    "are left alone": "test_evaluations_after_training_are_left_alone",
    "Which way is up": "test_a_loss_is_minimised_by_its_name",
    "**Patience** counts evaluations": "test_the_last_step_is_evaluated_and_patience_counts_evaluations",
    "The callback comes first": "test_it_comes_first_and_its_scores_are_logged",
    "goes on in the last one": "test_a_run_resumed_from_the_trainers_checkpoint",
    "`push_to_hub` leaves it out": "test_every_train_has_a_directory_that_is_not_uploaded",
    "**NaN weights** are left": "test_nan_weights_are_left_before_they_are_sampled_from",
    "snapshots hold the adapter alone": "test_lora_takes_snapshots_of_the_adapter_alone",
    "Layers that are unfrozen later are taken along": "test_layers_that_are_unfrozen_later_go_back_too",
    "an adapter merged and unmerged": "test_frozen_weights_that_are_written_are_kept_from_then_on",
    "the average of the weights up to the peak": "test_the_mean_of_the_weights_is_handed_on",
    "goes back with the weights": "test_a_reference_that_follows_goes_back_with_the_weights",
    "keeps the updates at one size": "test_steps_come_to_the_target_whatever_the_rate",
    "protects that checkpoint from `save_total_limit`": "test_keep_best_decides_and_protects_the_trainers_checkpoint",
    "two processes of DDP over gloo": "test_two_processes_agree_and_both_go_back",
    "a resumed run goes on with it": "test_a_resumed_run_goes_on_with_its_average",
    "it warns. `push_to_hub`": "test_a_run_resumed_elsewhere_is_told_that_its_peak_is_not_known",
    "a name that says the opposite of the trainer's": "test_a_direction_that_transformers_guessed_against_the_name_is_refused",
}
CLAIMS = [
    (page, claim, test)
    for page, table in (("guard", GUARD), ("trl_callback", CALLBACK))
    for claim, test in table.items()
]
TESTS = {
    name
    for folder in ("unit/guard", "resume")
    for path in (ROOT / "tests" / folder).glob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
}


@pytest.mark.parametrize(("page", "claim", "test"), CLAIMS, ids=[test for _, _, test in CLAIMS])
def test_a_claim_is_in_the_page_and_has_a_test(page: str, claim: str, test: str) -> None:
    text = " ".join((ROOT / "docs" / f"{page}.md").read_text().split())
    assert " ".join(claim.split()) in text
    assert test in TESTS


def test_every_bullet_of_what_the_callback_does_has_a_claim() -> None:
    bullets = (ROOT / "docs" / "trl_callback.md").read_text().split("\n* ")[1:]
    known = [" ".join(claim.split()) for claim in CALLBACK]
    free = [b[:40] for b in bullets if not any(claim in " ".join(b.split()) for claim in known)]
    assert free == ["Signals are taken from the trainer's log"]  # test_trl_callback looks at them beside other things
