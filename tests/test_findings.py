"""Findings: no sentence claims more than the tests over scans and the spread over draws allow."""

import math

import made_runs
import numpy as np
import pandas as pd
import pytest

from ssl_hip.reporting import ablations, coverage, findings, significance, tables
from ssl_hip.reporting.findings import BASE, NO_DIFFERENCE

ALPHA = 0.05
SCORES = ["draws", "iou_mean", "iou_sd", "hd95_mean_mm", "hd95_sd_mm"]


def table1(*rows, subset="50"):
    """Rows of (method, IoU, HD95, sd of HD95); the IoU's spread is a hundredth of it."""
    made = [(name, subset, 2, iou, sd / 100, hd95, sd) for name, iou, hd95, sd in rows]
    table = pd.DataFrame(made, columns=["method", "labelled_patches", *SCORES])
    return table.assign(iterations=1000)


def compared(p, *rivals, subset="50"):
    """Tests of embedding matching over scans and, all significant, over patches."""
    rows = [
        (subset, rival, metric, unit, p if unit == "scan" else 1e-9)
        for rival in rivals
        for metric in significance.METRICS
        for unit in ("scan", "patch")
    ]
    return pd.DataFrame(rows, columns=["labelled_patches", "rival", "metric", "unit", "p_holm"])


CLEAR = table1((BASE, 0.8, 5.0, 0.1), ("uamt", 0.6, 9.0, 0.1), ("mtc", 0.9, 3.0, 0.1))


def claims(sentence):
    """Words that claim a difference."""
    sentence = sentence.replace("better by the test alone", "").replace("worse by the test alone", "")
    return [word for word in ("better", "worse", "more rightly", "less rightly", "apart by") if word in sentence]


@pytest.mark.parametrize("sd, p", [(0.1, 0.2), (0.1, math.nan), (5.0, 0.001), (math.nan, 0.001)])
def test_a_difference_needs_the_test_and_the_spread(sd, p):
    table = CLEAR.assign(hd95_sd_mm=sd, iou_sd=sd)
    sentence = findings.leader(table, compared(p, "uamt", "mtc"), "50", ALPHA)
    assert NO_DIFFERENCE in sentence and not claims(sentence)


def test_what_the_test_alone_says_is_told_as_such():
    table = CLEAR.assign(hd95_sd_mm=5.0, iou_sd=math.nan)
    sentence = findings.leader(table, compared(0.001, "uamt", "mtc"), "50", ALPHA)
    said = f"{NO_DIFFERENCE} from uamt (better by the test alone), mtc (worse by the test alone)"
    assert sentence.count(said) == 2


def test_both_together_are_a_difference_in_the_right_direction():
    sentence = findings.leader(CLEAR, compared(0.001, "uamt", "mtc"), "50", ALPHA)
    assert "that of mtc, 3.00 ± 0.10 mm, 2.00 mm below embedding_matching" in sentence
    assert sentence.count("better than uamt; worse than mtc") == 2 and NO_DIFFERENCE not in sentence


def test_without_embedding_matching_nothing_is_tested():
    others = CLEAR[CLEAR.method != BASE]
    sentence = findings.leader(others, compared(0.001), "50", ALPHA)
    assert "Not tested" in sentence and not claims(sentence)
    assert "1 draw(s)" in findings.leader(others[:1].assign(draws=1), compared(0.001), "50", ALPHA)


def test_more_labels_are_judged_by_the_spread():
    few, many = table1(("supervised", 0.5, 9.0, 0.1)), table1(("supervised", 0.7, 8.95, 0.1), subset="150")
    every = table1(("ceiling", 0.8, 8.0, math.nan), subset="all")
    table = pd.concat([few, many, every])
    sentence = findings.trend(table, "supervised", "iou")
    assert "from 50 to 150 better by more than" in sentence and "from 150 to all better by more than" in sentence
    assert f"from 50 to 150 {NO_DIFFERENCE}" in findings.trend(table, "supervised", "hd95_mm")
    assert "nothing to compare" in findings.trend(few, "supervised", "iou")
    assert "to all" not in findings.trend(table, BASE, "iou")


def test_trainings_of_different_length_are_told():
    few, every = table1(("supervised", 0.5, 9.0, 0.1)), table1(("ceiling", 0.8, 8.0, math.nan), subset="all")
    told = "not all trained as long: 1,000 to 3,000 iterations"
    assert told in findings.trend(pd.concat([few, every.assign(iterations=3000)]), "supervised", "iou")
    assert "trained as long" not in findings.trend(pd.concat([few, every]), "supervised", "iou")


def test_the_threshold_is_beaten_after_correction_only():
    differences = {"iou_difference": [0.2, 0.1, -0.2], "hd95_difference_mm": 0.0, "hd95_p": 0.5}
    above = CLEAR[["method", "labelled_patches"]].assign(**differences, iou_p=[0.001, 0.03, 0.001])
    sentence = findings.above_threshold(CLEAR, above, "iou", ALPHA)
    assert f"better: {BASE}-50, uamt-50; worse: mtc-50" in sentence
    sentence = findings.above_threshold(CLEAR, above.assign(iou_p=[0.02, 0.03, 0.04]), "iou", ALPHA)
    assert "better: none; worse: none" in sentence


def test_variants_are_compared_with_the_method_itself():
    p = {f"{metric}_p_scan": [math.nan, 0.01, 0.9] for metric in ("iou", "hd95")}
    table = CLEAR.assign(**p).rename(columns={"method": "variant"})
    hd95, iou = findings.variants(table, ALPHA)
    assert f"better: none; worse: uamt (+4.00); {NO_DIFFERENCE}: mtc (-2.00)" in hd95 and "uamt (-0.200)" in iou
    assert findings.variants(table[:1], ALPHA) == findings.variants(table[:0], ALPHA) == ["No variant was trained."]
    assert "itself was not trained" in findings.variants(table[1:], ALPHA)[0]


def test_matching_is_right_where_it_is_apart_from_the_argmax():
    row = {"method": BASE, "labelled_patches": "50", "third": 3}
    row |= {f"near_surface_{name}_mean": value for name, value in (("uncertain_share", 0.3), ("accuracy_pseudo", 0.6))}
    row |= {"near_surface_accuracy_matched_mean": 0.7, "near_surface_accuracy_matched_sd": 0.01}
    known = pd.DataFrame([row]).assign(near_surface_accuracy_pseudo_sd=0.01)
    assert "30.0% of the voxels" in findings.filling(known)[0] and "more rightly" in findings.filling(known)[0]
    assert not claims(findings.filling(known.assign(near_surface_accuracy_matched_sd=0.2))[0])
    assert "not available" in findings.filling(known.assign(near_surface_accuracy_matched_mean=math.nan))[0]
    assert "not available" in findings.filling(known[:0])[0]


def test_a_ranking_names_the_next_and_claims_nothing_of_one_draw():
    table = pd.DataFrame({"method": ["a", "a", "b", "b"], "labelled_patches": "50", "ece": [0.1, 0.12, 0.3, 0.32]})
    sentence = findings.ranking(table, "ece", "ECE", highest=False)[0]
    assert "lowest ECE is that of a, 0.110" in sentence and "b has 0.310" in sentence and "apart by" in sentence
    assert "is that of b" in findings.ranking(table, "ece", "ECE", highest=True)[0]
    assert NO_DIFFERENCE in findings.ranking(table[::2], "ece", "ECE", highest=False)[0]
    assert findings.ranking(table.assign(ece=math.nan), "ece", "ECE", True) == ["ECE: not available: no labels."]


@pytest.mark.parametrize("scored", [True, False])
def test_sentences_stand_for_results_with_and_without_scores(tmp_path, scored):
    runs = made_runs.read(tmp_path, scored)
    chosen, scores = tables.only(runs, tables.grid(made_runs.TRAIN)), tables.reported(runs)
    table, compared = tables.summary(chosen), significance.wilcoxon(tables.reported(chosen), BASE)
    bar = scores[scores.method == "supervised"].drop_duplicates("patch")
    above = significance.against_threshold(tables.reported(chosen), bar)
    said = [findings.leader(table, compared, "4", ALPHA), findings.trend(table, BASE, "iou")]
    said += [findings.above_threshold(table, above, metric, ALPHA) for metric in findings.MEAN]
    settings = ablations.settings(made_runs.BASE, made_runs.VARIANTS, made_runs.ABLATIONS.variants)
    parts = tables.only(runs, ablations.compared(made_runs.TRAIN, made_runs.ABLATIONS))
    said += findings.variants(ablations.table3(parts, settings), ALPHA)
    said += findings.filling(coverage.coverage(runs, [BASE]))
    assert all(sentence.endswith(".") and "nan" not in sentence for sentence in said)


def test_a_table_in_markdown_keeps_its_cells():
    table = pd.DataFrame({"method": ["a|b", "c_d"], "HD95": [1.5, np.nan]})
    head, sides, *rows = findings.markdown_table(table).splitlines()
    assert head == "| method | HD95 |" and sides == "| :-- | --: |" and rows == ["| a\\|b | 1.5 |", "| c_d |  |"]
