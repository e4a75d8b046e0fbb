"""Promise: whatever a user's day brings has a test that keeps its answer: the table of situations, and where each stands."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from helpers import ROOT

TESTS = Path(__file__).parent
SITUATIONS = {  # what happens: the tests that keep the answer, file: names; of a table of cases, test[case]
    # ---- a number that would be wrong in silence -------------------------------------------------------
    "bytes of 0 and 1 in a file are not divided by 255": "data: test_the_scale_is_that_of_what_is_there",
    "the cure for integers fits the range that is there": "data: test_the_cure_for_an_array_fits_what_is_in_it",
    "a DataFrame, a list, a masked array is what it holds": "training: test_whatever_holds_an_array_trains_as_the_array",
    "a sparse matrix is told how to be converted": "bad_input: test_bad_call[fit: sparse]",
    "images of any range have figures of that range": """figures: test_images_from_minus_one_to_one_are_not_clipped_and_the_figure_says_so
        test_a_run_on_data_of_any_range_has_figures_of_that_range""",
    "a rectangle that is a guess is said, a given one kept": "cli: test_a_guessed_rectangle_is_said_and_a_given_one_is_kept",
    "encode, loss and decode refuse what fit refuses": """bad_input: test_bad_call[encode: bytes as floats] test_bad_call[encode: NaN]
        test_bad_call[loss: NaN] test_bad_call[loss_and_grads: bytes as floats] test_bad_call[decode: NaN]""",
    "images as (N, 28, 28) are told how to be reshaped": "bad_input: test_bad_call[fit: images]",
    "NaN is reported with its row": "bad_input: test_bad_call[fit: NaN far down] test_bad_call[encode: NaN]",
    "pixels 0..255 under a Gaussian: a word about their scale": """training:
        test_bytes_as_floats_under_a_gaussian_are_told_to_be_rescaled""",
    "a figure is written as its name ends": """figures: test_a_file_holds_what_its_ending_says_and_the_same_bits_each_time
        test_other_endings_are_refused_and_nothing_is_written test_out_is_written_as_it_ends_and_refused_before_anything_is_computed""",
    "--out to a link, a pipe or a device": "figures: test_a_link_is_written_through test_a_pipe_is_written_through",
    "an ELBO beside log p(x) has its sampling error": "cli: test_evaluate_estimates_log_p_and_judges_silent_latents",
    "an .npz with several arrays": """data: test_arrays_are_found_by_the_names_that_others_give_them
        test_what_could_be_meant_in_two_ways_is_listed""",
    "a schedule or a callback moves the scale of the loss": """divergence: test_beta_zero_and_a_far_off_start_do_not_stop_a_run
        test_a_callback_that_changes_a_hyperparameter_changes_the_limit""",
    "a fit that is refused leaves the model as it was": "total_correlation: test_a_refused_fit_leaves_a_model_as_it_was",
    "two objectives are judged by the same draws": """evaluation:
        test_every_objective_is_judged_by_the_same_draws_of_z_in_batches_of_any_size""",
    "a setting of a sweep that changes nothing": "sweep: test_what_has_no_effect_is_said",
    "a copy of a model is a model of its own": """models: test_models_can_be_copied_and_trained_apart
        test_a_shallow_copy_is_a_whole_one""",
    # ---- a crash, or a way that ends -----------------------------------------------------------------
    "Numba finds nowhere to cache": "kernels: test_where_nothing_can_be_kept_kernels_are_compiled_all_the_same",
    "a damaged cache of kernels": "kernels: test_a_damaged_kernel_is_compiled_again_and_kept",
    "Numba cannot be imported, or cannot compile": "kernels: test_without_numba_it_says_so_once_and_works",
    "--backend numpy never imports Numba": "cli: test_the_numpy_backend_never_imports_numba",
    "MPLBACKEND and a matplotlibrc": """figures: test_figures_do_not_depend_on_a_backend_that_was_left_over
        test_figures_do_not_depend_on_a_matplotlibrc""",
    "a figure that fails is a note": """figures: test_numbers_are_printed_and_saved_before_anything_is_drawn
        test_a_figure_that_fails_is_a_note""",
    "labels of 5,000 values, labels of NaN": """figures: test_labels_of_many_values_are_one_scatter_on_a_scale
        test_examples_without_a_label_are_grey""",
    "a large file of bytes takes at most twice its size": """data: test_a_file_of_binary_values_takes_at_most_twice_its_size
        test_a_run_on_a_file_takes_at_most_twice_its_size""",
    "h5py, zarr, memory maps": """data: test_rows_on_a_disk_train_as_rows_in_memory_do
        test_indices_in_any_order_reach_rows_that_must_rise""",
    "data that are refused leave no checkpoint": "bad_input: test_bad_call[fit: nothing kept of bad data]",
    "the frames of a run that was stopped": """animate:
        test_a_run_that_was_stopped_and_goes_on_has_the_frames_of_one_that_was_not
        test_killed_while_writing_leaves_the_frames_before""",
    "a run that was stopped is looked at": """cli: test_a_stopped_run_is_looked_at_as_it_is
        test_a_stopped_run_with_known_factors_is_scored""",
    "a run is ended at fewer epochs": "cli: test_fewer_epochs_end_a_run",
    "Ctrl-C without a checkpoint": "checkpoints: test_ctrl_c_without_a_checkpoint_returns_what_there_is",
    "load(checkpoint.npz)": "checkpoints: test_load_takes_a_checkpoint_for_the_model_as_it_was_then",
    "a run whose data moved": """cli: test_a_run_goes_on_where_its_data_are_now
        test_pictures_need_no_data_of_a_run_that_knows_its_shape""",
    "a scanner holds a file for a moment": "files: test_a_file_that_is_held_for_a_moment_is_moved_after_it",
    "MNIST unzipped, dotted, in MNIST/raw": "data: test_the_mnist_family_is_found_as_other_programs_leave_it",
    "a local file that is not the known one": "data: test_a_file_that_is_not_the_known_one_is_named",
    "BLAS threads": """threads: test_one_inside_and_as_before_after test_omp_num_threads_alone_is_enough
        test_every_command_runs_in_it test_scores_are_computed_in_it""",
    "| head -1": "cli: test_nobody_reading_on_ends_a_command_in_silence",
    "standard output cannot be written": "cli: test_a_full_disk_behind_standard_output_is_one_line",
    "a user without a home": "data: test_a_user_without_a_home_is_told_what_to_set",
    # ---- what users expect ------------------------------------------------------------------------------
    "own photos": """data: test_photos_of_a_folder_in_colour_and_in_grey test_pictures_of_every_kind_are_converted
        test_a_picture_is_cropped_to_the_middle_and_resized test_pictures_that_cannot_be_read_are_named_and_counted
        test_a_run_takes_photos_in_the_size_that_it_is_told figures: test_colour_is_shown_in_colour""",
    "figures and bars in a notebook": """figures: test_a_notebook_shows_a_figure cli: test_the_bar_is_a_notebooks_own_only_in_a_notebook
        kernels: test_the_announcement_does_not_break_a_bar""",
    "what is printed of a model, a result, an optimizer, data": """cli: test_a_model_prints_as_a_few_lines
        printed: test_a_few_plain_lines_and_a_table test_an_optimizer_prints_as_it_is_written""",
    "the first hour as a notebook": "notebook: test_it_runs test_what_its_cells_give_is_there_and_small",
    "vae_from_scratch.plots after import": "figures: test_plots_is_there_after_import_and_still_imports_nothing_before",
    "compare": "cli: test_compare_sets_runs_side_by_side",
    "many runs": """sweep: test_two_runs_beside_each_other_their_table_and_never_again
        test_a_run_that_diverges_is_a_row_and_what_fails_is_tried_again test_a_killed_run_goes_on_from_its_checkpoint
        test_a_sweep_of_processes_is_killed_and_goes_on test_a_cluster_loses_a_worker_and_no_run""",
    "--hidden 500,500 in a sweep": "sweep: test_what_a_list_is",
    "a suspended run's seconds": "checkpoints: test_processor_time_counts_no_sleep_and_adds_up",
    "an objective of one's own": "examples: test_readme_objective_is_right_and_trains user_file: test_its_gradients_are_checked",
    "an activation, a layer, a likelihood of one's own": """user_file: test_its_gradients_are_checked
        test_it_learns_and_is_evaluated test_it_is_saved_and_loaded test_it_stops_and_goes_on""",
    "a data set of one's own": "user_file: test_a_data_set_of_ones_own_trains_from_python_and_from_the_command_line",
    "python -m vae_from_scratch": "situations: test_the_package_can_be_run",
    "--hidden 500 500": "cli: test_widths_with_spaces_are_those_with_commas",
    "VAE(..., beta=4)": "bad_input: test_bad_call[beta for a VAE]",
    "--likelihood squared-error": "bad_input: test_bad_command_line[train --likelihood squared-error]",
    "every example has --quick and writes under runs/": "situations: test_every_example_has_a_quick_form_and_writes_under_runs",
    "single images, and the way between two": "cli: test_single_images_and_the_way_between_two",
    "README says what the first run prints, and how long the suite takes": """situations:
        test_readme_shows_the_first_run_and_says_how_long_the_tests_take""",
    "norms of gradients": """gradient_norms: test_they_are_the_means_of_the_norms_of_what_the_steps_took
        test_the_figure_has_a_line_for_each_layer_on_a_logarithmic_scale test_the_command_keeps_and_draws_them""",
}  # fmt: skip


def named(tests):
    """(file, test, case or "") for each test in a cell of the table."""
    file = None
    for found, test, case in re.findall(r"(\w+):\s|(test_\w+)(?:\[([^]]+)\])?", tests + " "):
        file = found or file
        if test:
            yield file, test, case


def test_every_situation_names_tests_that_exist():
    known = {}
    for tests in SITUATIONS.values():
        for file, test, case in named(tests):
            path = TESTS / f"test_{file}.py"
            source = known.setdefault(path, path.read_text("utf-8"))
            assert f"\ndef {test}(" in source, f"{path.name} has no {test}"
            assert f'"{case}":' in source or not case, f"{path.name} has no case {case!r}"


def test_the_package_can_be_run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vae_from_scratch", "--version"])
    monkeypatch.delitem(sys.modules, "vae_from_scratch.__main__", raising=False)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("vae_from_scratch", run_name="__main__")
    assert end.value.code == 0 and capsys.readouterr().out.startswith("vae-from-scratch ")


def test_every_example_has_a_quick_form_and_writes_under_runs():
    for path in (ROOT / "examples").glob("*.py"):
        source = path.read_text("utf-8")
        if "def main(" in source:
            runner = "runner" in source  # which has both
            assert runner or ("--quick" in source and "runs" in source), path.name


def test_readme_shows_the_first_run_and_says_how_long_the_tests_take():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "training a beta-vae on digits: 1500 examples of 64 values, 300 epochs\ntrained for 4500 steps in " in readme
    assert "Install it with its tests and run them (a minute or two)" in readme
